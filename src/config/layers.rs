//! The layers of a configuration: each source adds settings, a later source wins, and what is
//! wrong is collected. Each setting is checked alone before the whole is put together, so that
//! one bad value hides no other.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use toml::de::DeTable;
use toml::{Table, Value};
use zeroize::Zeroizing;

use super::faults::Faults;
use super::known::{self, Known, Target};
use super::{Config, Origins, Overrides};

/// The most bytes that are read of a configuration file or a secret's file.
const LARGEST_FILE: u64 = 1 << 20;

/// A setting that some source gave.
struct Given {
    value: Value,
    origin: String,
    layer: u8,
}

/// The sources that were read so far.
pub(super) struct Layers<'a> {
    known: &'a Known,
    given: BTreeMap<String, Given>,
    faults: Faults,
    layer: u8,
}

impl<'a> Layers<'a> {
    pub(super) fn new(known: &'a Known) -> Self {
        let faults = Faults::new(Origins::new());
        Self { known, given: BTreeMap::new(), faults, layer: 0 }
    }

    /// Reads a configuration file that must exist.
    pub(super) fn read_file(&mut self, path: &Path) {
        self.layer += 1;
        let name = path.display().to_string();
        match read_text(path) {
            Ok(text) => self.read_toml(&name, &text),
            Err(error) => self.faults.add(&name, format_args!("cannot be read: {error}")),
        }
    }

    /// Reads a configuration file; none is as good as an empty one.
    pub(super) fn read_file_if_there(&mut self, path: &Path) {
        if fs::symlink_metadata(path).is_ok() {
            self.read_file(path);
        }
    }

    /// Reads the variables that are ours. Those without a value count as absent.
    pub(super) fn read_environment(&mut self, all: impl IntoIterator<Item = (String, String)>) {
        self.layer += 1;
        let mut ours: Vec<_> = all.into_iter().filter(|(name, _)| known::is_ours(name)).collect();
        ours.sort();
        for (name, value) in ours {
            match self.known.variable(&name).cloned() {
                Some(_) if value.is_empty() => {}
                Some(target) => self.put(&target, Value::String(value), &name, true),
                None if known::is_passed_over(&name, &value) => {}
                None => self.unknown(&name, None, self.known.nearest_variable(&name)),
            }
        }
    }

    /// Reads what the command line says.
    pub(super) fn read_flags(&mut self, flags: &Overrides) {
        self.layer += 1;
        if let Some(path) = &flags.data_dir {
            match path.to_str() {
                Some(path) => self.flag("data_dir", "--data-dir", path),
                None => self.faults.add("--data-dir", "must be a path in UTF-8"),
            }
        }
        if let Some(url) = &flags.database_url {
            self.flag("database.url", "--database-url", url.expose());
        }
        if let Some(migrate) = flags.migrate {
            self.flag("database.migrate", "--migrate", &migrate.to_string());
        }
        if let Some(listen) = &flags.listen {
            self.flag("http.listen", "--listen", listen);
        }
        if let Some(log) = &flags.log {
            self.flag("telemetry.log", "--log", log);
        }
    }

    /// Puts the sources over the defaults. Settings that were bad stay at their defaults, which
    /// are sound, so the caller can go on and look for further faults.
    pub(super) fn finish(mut self) -> (Config, Faults) {
        let mut tree = Table::new();
        let mut origins = Origins::new();
        for (setting, given) in self.given {
            place(&mut tree, &setting, given.value);
            origins.insert(setting, given.origin);
        }
        self.faults.know_origins(origins.clone());
        match tree.try_into::<Config>() {
            Ok(config) => (Config { origins, ..config }, self.faults),
            Err(error) => {
                self.faults.add("the configuration", error.message());
                (Config::default(), self.faults)
            }
        }
    }

    fn read_toml(&mut self, file: &str, text: &str) {
        let (spans, tree) = match (DeTable::parse(text), toml::from_str::<Table>(text)) {
            (Ok(spans), Ok(tree)) => (spans.into_inner(), tree),
            (Err(error), _) | (_, Err(error)) => {
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                let what = format_args!("is not TOML: {}", error.message());
                return self.faults.add(&format!("{file}, line {line}"), what);
            }
        };
        for (name, value) in tree {
            let span = spans.get_key_value(name.as_str());
            let line = span.map_or(1, |(key, _)| line_of(text, key.span().start));
            let origin = format!("{file}, line {line}");
            match value {
                Value::Table(section) if self.known.is_section(&name) || !section.is_empty() => {
                    let lines = span.and_then(|(_, value)| value.get_ref().as_table());
                    for (key, value) in section {
                        let at = lines.and_then(|table| table.get_key_value(key.as_str()));
                        let line = at.map_or(line, |(key, _)| line_of(text, key.span().start));
                        let origin = format!("{file}, line {line}");
                        self.named_in_file(&format!("{name}.{key}"), value, &origin);
                    }
                }
                _ if self.known.is_section(&name) => {
                    self.faults.add_from(&name, Some(&origin), "is a section, not a setting");
                }
                value => self.named_in_file(&name, value, &origin),
            }
        }
    }

    fn named_in_file(&mut self, name: &str, value: Value, origin: &str) {
        match self.known.in_file(name) {
            Some(target) if known::is_secret(&target.setting) && value.as_str() == Some("") => {}
            Some(target) => self.put(&target, value, origin, false),
            None => self.unknown(name, Some(origin), self.known.nearest(name)),
        }
    }

    fn flag(&mut self, setting: &str, flag: &str, text: &str) {
        let target = Target { setting: setting.to_owned(), is_file: false };
        self.put(&target, Value::String(text.to_owned()), flag, true);
    }

    fn unknown(&mut self, name: &str, origin: Option<&str>, nearest: Option<String>) {
        let what = match nearest {
            Some(nearest) => format!("is not a setting: did you mean {nearest}?"),
            None => "is not a setting".to_owned(),
        };
        self.faults.add_from(name, origin, what);
    }

    /// Takes a value over from a source. `as_text` says that the source knows only texts, so that
    /// numbers and lists have to be read out of them.
    fn put(&mut self, target: &Target, value: Value, origin: &str, as_text: bool) {
        let setting = &target.setting;
        let Some(default) = self.known.default_of(setting) else { return };
        let (value, origin) = if target.is_file {
            let Some(path) = value.as_str() else {
                return self.faults.add_from(setting, Some(origin), "must name a file by a text");
            };
            match read_secret(Path::new(path)) {
                Ok(secret) => (Value::String(secret), format!("{path}, named by {origin}")),
                Err(reason) => {
                    let what = format!("cannot be read from {path}: {reason}");
                    return self.faults.add_from(setting, Some(origin), what);
                }
            }
        } else if as_text {
            (from_text(value, default), origin.to_owned())
        } else {
            (value, origin.to_owned())
        };

        if let Some(first) = self.given.get(setting).filter(|first| first.layer == self.layer) {
            let what = format!("is also given by {}: keep one of them", first.origin);
            return self.faults.add_from(setting, Some(&origin), what);
        }
        if let Err(what) = check(setting, &value, default) {
            return self.faults.add_from(setting, Some(&origin), what);
        }
        self.given.insert(setting.clone(), Given { value, origin, layer: self.layer });
    }
}

/// Whether the value alone can be read as this setting; the error ends a sentence about it.
fn check(setting: &str, value: &Value, default: &Value) -> Result<(), String> {
    let mut tree = Table::new();
    place(&mut tree, setting, value.clone());
    let Err(error) = tree.try_into::<Config>() else { return Ok(()) };

    // Serde's own words are about Rust types; those of our readers begin with "must" or "has".
    let message = error.message();
    let of_ours = ["must ", "has ", "is "].iter().any(|start| message.starts_with(start));
    let what = match (message.split_once(", expected "), default) {
        _ if of_ours => message.to_owned(),
        (Some((start, choices)), Value::String(_)) if start.starts_with("unknown variant") => {
            format!("must be {}", choices.replace('`', "\""))
        }
        (_, Value::Integer(_)) => "must be a whole number, 0 or more".to_owned(),
        (_, Value::Boolean(_)) => "must be true or false".to_owned(),
        (_, Value::Array(_)) => "must be a list of texts".to_owned(),
        _ => "must be a text".to_owned(),
    };
    if known::is_secret(setting) || value.is_array() || value.is_table() {
        return Err(what);
    }
    Err(format!("{what}, not {value}"))
}

/// Reads a text as the kind of value that the setting's default is. What does not fit stays a
/// text, which the check then refuses.
fn from_text(value: Value, default: &Value) -> Value {
    let Value::String(text) = value else { return value };
    let read = match default {
        Value::Integer(_) => text.parse().map(Value::Integer).ok(),
        Value::Boolean(_) => text.parse().map(Value::Boolean).ok(),
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Some(Value::Array(parts.map(|part| Value::String(part.to_owned())).collect()))
        }
        _ => None,
    };
    read.unwrap_or(Value::String(text))
}

fn place(tree: &mut Table, setting: &str, value: Value) {
    let Some((section, key)) = setting.split_once('.') else {
        tree.insert(setting.to_owned(), value);
        return;
    };
    let section = tree.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(section) = section {
        section.insert(key.to_owned(), value);
    }
}

fn read_text(path: &Path) -> Result<Zeroizing<String>, io::Error> {
    let mut text = Zeroizing::new(String::new());
    let read = fs::File::open(path)?.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    if read as u64 > LARGEST_FILE {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

/// A secret's file is the secret, and perhaps the line end that an editor put there.
fn read_secret(path: &Path) -> Result<String, String> {
    let text = read_text(path).map_err(|error| error.to_string())?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("the file is empty".to_owned()),
        secret => Ok(secret.to_owned()),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
