//! The names of all settings, read off the default configuration so that a setting is declared
//! once, in its struct. Only the short names and the secrets are listed here.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::Config;

/// Names that stay the same for ever, because scripts use them.
const SHORT_NAMES: [(&str, &str); 5] = [
    ("DATABASE_URL", "database.url"),
    ("REDIS_URL", "rate_limits.redis_url"),
    ("TOLLKEEP_ADMIN_KEY", "auth.admin_key"),
    ("TOLLKEEP_DATA_DIR", "data_dir"),
    ("TOLLKEEP_LISTEN", "http.listen"),
];

/// Settings whose value is never shown, and that may also be read from a file.
const SECRETS: [&str; 6] = [
    "auth.admin_key",
    "auth.former_keks",
    "auth.kek",
    "auth.pepper",
    "database.url",
    "rate_limits.redis_url",
];

/// What people look for under another name.
const SYNONYMS: [(&str, &str); 11] = [
    ("address", "http.listen"),
    ("bind", "http.listen"),
    ("database", "database.url"),
    ("host", "http.listen"),
    ("level", "telemetry.log"),
    ("log_level", "telemetry.log"),
    ("master_key", "auth.admin_key"),
    ("port", "http.listen"),
    ("redis", "rate_limits.redis_url"),
    ("salt_key", "auth.pepper"),
    ("workdir", "data_dir"),
];

/// What a name in the environment or in the file stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) setting: String,
    /// Whether the value is the path of a file that holds the secret.
    pub(super) is_file: bool,
}

/// The settings and their names.
pub(super) struct Known {
    defaults: BTreeMap<String, Value>,
    variables: BTreeMap<String, Target>,
}

impl Known {
    pub(super) fn new() -> Self {
        let tree = Table::try_from(Config::default())
            .expect("the default configuration is numbers, texts and tables, which TOML can hold");
        let mut defaults = BTreeMap::new();
        for (name, value) in tree {
            if let Value::Table(section) = value {
                defaults.extend(section.into_iter().map(|(key, v)| (format!("{name}.{key}"), v)));
            } else {
                defaults.insert(name, value);
            }
        }

        let long_names = defaults.keys().map(|setting| (long_name(setting), setting.as_str()));
        let short_names = SHORT_NAMES.into_iter().map(|(name, setting)| (name.to_owned(), setting));
        let mut variables = BTreeMap::new();
        for (name, setting) in long_names.chain(short_names) {
            if is_secret(setting) {
                let target = Target { setting: setting.to_owned(), is_file: true };
                variables.insert(format!("{name}_FILE"), target);
            }
            variables.insert(name, Target { setting: setting.to_owned(), is_file: false });
        }
        Self { defaults, variables }
    }

    /// Every setting with its default.
    pub(super) fn default_of(&self, setting: &str) -> Option<&Value> {
        self.defaults.get(setting)
    }

    pub(super) fn is_section(&self, name: &str) -> bool {
        self.defaults.keys().any(|setting| setting.split_once('.').is_some_and(|s| s.0 == name))
    }

    /// What a variable of the environment stands for.
    pub(super) fn variable(&self, name: &str) -> Option<&Target> {
        self.variables.get(name)
    }

    /// What a name in the configuration file stands for.
    pub(super) fn in_file(&self, name: &str) -> Option<Target> {
        if self.defaults.contains_key(name) {
            return Some(Target { setting: name.to_owned(), is_file: false });
        }
        let setting = name.strip_suffix("_file").filter(|setting| is_secret(setting))?;
        Some(Target { setting: setting.to_owned(), is_file: true })
    }

    /// Every name that the configuration file may hold.
    pub(super) fn file_names(&self) -> impl Iterator<Item = String> {
        let secret_files = SECRETS.into_iter().map(|setting| format!("{setting}_file"));
        self.defaults.keys().cloned().chain(secret_files)
    }

    /// The known name that the unknown one was probably meant to be.
    pub(super) fn nearest(&self, unknown: &str) -> Option<String> {
        let key = last_part(unknown);
        if let Some((_, setting)) = SYNONYMS.into_iter().find(|(name, _)| *name == key) {
            return Some(setting.to_owned());
        }
        self.file_names()
            .map(|name| {
                let whole = strsim::normalized_damerau_levenshtein(unknown, &name);
                let end = strsim::normalized_damerau_levenshtein(key, last_part(&name));
                (whole.max(end * 0.95), name)
            })
            .filter(|(likeness, _)| *likeness >= 0.7)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, name)| name)
    }

    /// Like [`nearest`](Self::nearest), for a variable: the answer is a variable's name.
    pub(super) fn nearest_variable(&self, unknown: &str) -> Option<String> {
        let plain = unknown.strip_prefix("TOLLKEEP").unwrap_or(unknown).trim_start_matches('_');
        let name = self.nearest(&plain.to_ascii_lowercase().replace("__", "."))?;
        let Target { setting, is_file } = self.in_file(&name)?;
        let short = SHORT_NAMES.into_iter().find(|(_, known)| *known == setting);
        let variable = short.map_or_else(|| long_name(&setting), |(name, _)| name.to_owned());
        Some(if is_file { format!("{variable}_FILE") } else { variable })
    }
}

/// Whether the setting's value must not be shown.
pub(super) fn is_secret(setting: &str) -> bool {
    SECRETS.contains(&setting)
}

/// Whether a variable is meant for Tollkeep, whatever it says.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with("TOLLKEEP_")
        || matches!(name, "DATABASE_URL" | "DATABASE_URL_FILE" | "REDIS_URL" | "REDIS_URL_FILE")
}

/// Variables with our prefix that no person set: those of the tests, and those that Kubernetes
/// puts into every pod of a namespace with a service called `tollkeep` (or `tollkeep-…`).
pub(super) fn is_passed_over(name: &str, value: &str) -> bool {
    let before_digits = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    name.starts_with("TOLLKEEP_TEST_")
        || name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && value.contains("://"))
        || name.rsplit_once("_PORT_").is_some_and(|(_, port)| before_digits(port))
        || name.split("_PORT_").skip(1).any(before_digits)
}

fn long_name(setting: &str) -> String {
    format!("TOLLKEEP__{}", setting.to_ascii_uppercase().replace('.', "__"))
}

fn last_part(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_name_real_settings() {
        let known = Known::new();
        let listed = SHORT_NAMES.iter().chain(&SYNONYMS).map(|(_, setting)| *setting);
        for setting in listed.chain(SECRETS) {
            assert!(known.default_of(setting).is_some(), "{setting}");
        }
    }

    #[test]
    fn a_typing_error_is_recognised() {
        let known = Known::new();
        let cases = [
            ("http.listn", Some("http.listen")),
            ("server.listen", Some("http.listen")),
            ("listen", Some("http.listen")),
            ("htpp.max_connections", Some("http.max_connections")),
            ("auth.adminkey", Some("auth.admin_key")),
            ("auth.admin_key_fil", Some("auth.admin_key_file")),
            ("http.port", Some("http.listen")),
            ("datadir", Some("data_dir")),
            ("http.colour", None),
        ];
        for (unknown, expected) in cases {
            assert_eq!(known.nearest(unknown).as_deref(), expected, "{unknown}");
        }
        let cases = [
            ("TOLLKEEP_LISTN", Some("TOLLKEEP_LISTEN")),
            ("TOLLKEEP_HTTP_LISTEN", Some("TOLLKEEP_LISTEN")),
            ("TOLLKEEP_HTTP_BODY_LIMIT", Some("TOLLKEEP__HTTP__BODY_LIMIT")),
            ("TOLLKEEP_DATABASE_URL", Some("DATABASE_URL")),
            ("TOLLKEEP__AUTH__PEPER_FILE", Some("TOLLKEEP__AUTH__PEPPER_FILE")),
            ("TOLLKEEP_MASTER_KEY", Some("TOLLKEEP_ADMIN_KEY")),
            ("TOLLKEEP_REDIS_URL", Some("REDIS_URL")),
            ("TOLLKEEP_COLOUR", None),
        ];
        for (unknown, expected) in cases {
            assert_eq!(known.nearest_variable(unknown).as_deref(), expected, "{unknown}");
        }
    }

    #[test]
    fn variables_of_machines_are_passed_over() {
        for (name, value) in [
            ("TOLLKEEP_TEST_POSTGRES", "x"),
            ("TOLLKEEP_SERVICE_HOST", "10.0.0.1"),
            ("TOLLKEEP_SERVICE_PORT", "4000"),
            ("TOLLKEEP_SERVICE_PORT_HTTP", "4000"),
            ("TOLLKEEP_PORT", "tcp://10.0.0.1:4000"),
            ("TOLLKEEP_PORT_4000_TCP", "tcp://10.0.0.1:4000"),
            ("TOLLKEEP_PORT_4000_TCP_ADDR", "10.0.0.1"),
            ("TOLLKEEP_METRICS_SERVICE_HOST", "10.0.0.2"),
        ] {
            assert!(is_passed_over(name, value), "{name}");
        }
        for (name, value) in [("TOLLKEEP_PORT", "4000"), ("TOLLKEEP_LISTN", "x")] {
            assert!(!is_passed_over(name, value), "{name}");
        }
    }
}
