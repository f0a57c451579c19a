//! The section `telemetry`: what is logged, and in which form. Starting the log is in the
//! crate's own `telemetry` module.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::faults::Faults;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What the process says about itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// What is logged: a level (`off`, `error`, `warn`, `info`, `debug`, `trace`), and then
    /// exceptions by module, as in `info,tollkeep::http=debug`. Default `info`.
    pub log: String,
    /// The form of the log on standard error. Default `auto`.
    pub log_format: LogFormat,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text when standard error is a terminal, JSON otherwise.
    Auto,
    /// One line of text per event.
    Text,
    /// One JSON object per event and line.
    Json,
}

impl Telemetry {
    pub(super) fn check(&self, faults: &mut Faults) {
        if let Err(reason) = check_filter(&self.log) {
            faults.add("telemetry.log", reason);
        }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: "info".to_owned(), log_format: LogFormat::Auto }
    }
}

/// A bare word that is no level would be read as a module, and would silence all the others: that
/// is a typing error far more often than a wish.
fn check_filter(filter: &str) -> Result<(), String> {
    let shape = || {
        format!(
            "must be a level ({}) and then exceptions such as tollkeep::http=debug, not {filter:?}",
            LEVELS.join(", ")
        )
    };
    for part in filter.split(',') {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        if !LEVELS.iter().any(|known| level.eq_ignore_ascii_case(known)) {
            return Err(shape());
        }
    }
    EnvFilter::builder().parse(filter).map(|_| ()).map_err(|_| shape())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_levels_and_exceptions() {
        for good in ["info", "OFF", "info,tollkeep::http=debug", "warn,sqlx=off", "a=trace"] {
            assert!(check_filter(good).is_ok(), "{good}");
        }
        for bad in ["", "inof", "info,", "warn, a=off", "tollkeep", "info,sqlx=loud", "[=info", "="]
        {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }
}
