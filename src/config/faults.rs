//! What is wrong with a configuration. Faults are collected, never thrown one by one, so that one
//! start shows all of them. A sentence names the setting and its source; it never holds a secret.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Origins, duration};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The setting, such as `http.listen`, or what stands in its place: an unknown name, a file.
    pub setting: String,
    /// The whole sentence, without a closing period.
    pub sentence: String,
}

/// Everything that is wrong with a configuration, in the order of the layers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// At least one fault.
    pub faults: Vec<Fault>,
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.len() {
            1 => f.write_str("the configuration has a fault:")?,
            count => write!(f, "the configuration has {count} faults:")?,
        }
        self.faults.iter().try_for_each(|fault| write!(f, "\n  - {}", fault.sentence))
    }
}

/// The faults so far, and where each setting came from.
pub(super) struct Faults {
    found: Vec<Fault>,
    origins: Origins,
}

impl Faults {
    pub(super) fn new(origins: Origins) -> Self {
        Self { found: Vec::new(), origins }
    }

    pub(super) fn know_origins(&mut self, origins: Origins) {
        self.origins = origins;
    }

    /// Adds a fault of a setting, with the source when that is known.
    pub(super) fn add(&mut self, setting: &str, what: impl Display) {
        let origin = self.origins.get(setting).cloned();
        self.add_from(setting, origin.as_deref(), what);
    }

    /// Adds a fault of something that came from a named source.
    pub(super) fn add_from(&mut self, setting: &str, origin: Option<&str>, what: impl Display) {
        let sentence = match origin {
            Some(origin) if origin != setting => format!("{setting} ({origin}) {what}"),
            _ => format!("{setting} {what}"),
        };
        self.found.push(Fault { setting: setting.to_owned(), sentence });
    }

    /// Adds a fault when the number is outside the range.
    pub(super) fn range<T: Copy + PartialOrd + Display>(
        &mut self,
        setting: &str,
        value: T,
        allowed: RangeInclusive<T>,
    ) {
        if !allowed.contains(&value) {
            let (from, to) = allowed.into_inner();
            self.add(setting, format_args!("must be from {from} to {to}, not {value}"));
        }
    }

    /// Adds a fault when the duration is outside the range.
    pub(super) fn span(&mut self, setting: &str, value: Duration, from: Duration, to: Duration) {
        if value < from || value > to {
            let [value, from, to] = [value, from, to].map(duration::format);
            self.add(setting, format_args!("must be from {from} to {to}, not {value}"));
        }
    }

    pub(super) fn into_result<T>(self, value: T) -> Result<T, ConfigError> {
        if self.found.is_empty() { Ok(value) } else { Err(ConfigError { faults: self.found }) }
    }
}
