//! The effective configuration as text that may be shown: `tollkeep config` prints it.

use std::fmt::Write;

use super::{Config, database, known};

pub(super) fn masked_toml(config: &Config) -> String {
    // Serde writes settings in the order of declaration and secrets as "***" or "".
    let plain = match toml::to_string(config) {
        Ok(plain) => plain,
        Err(error) => return format!("# the configuration cannot be written as TOML: {error}\n"),
    };

    let mut text = String::new();
    let mut section = String::new();
    for line in plain.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        }
        let shown = match line.split_once(" = ") {
            Some((key, value)) => {
                let setting = format!("{section}{key}");
                let origin = config.origins.get(&setting).map(String::as_str);
                if known::is_secret(&setting) {
                    secret_line(config, key, !value.contains("\"\""), origin)
                } else {
                    format!("{line}  # {}", origin_note(origin))
                }
            }
            None => line.to_owned(),
        };
        text.push_str(&shown);
        text.push('\n');
    }
    text
}

fn origin_note(origin: Option<&str>) -> String {
    // A file's name may hold anything, a line end too, and must not get out of the comment.
    let safe = |text: &str| text.replace(char::is_control, "?");
    origin.map_or_else(|| "default".to_owned(), |origin| format!("from {}", safe(origin)))
}

fn secret_line(config: &Config, key: &str, is_set: bool, origin: Option<&str>) -> String {
    let mut line = format!("# {key}: ");
    if !is_set {
        line.push_str("not set");
        return line;
    }
    line.push_str("set");
    let source = origin.map_or_else(String::new, |_| format!(" ({})", origin_note(origin)));
    line.push_str(&source);
    if key == "url"
        && let Some(url) = &config.database.url
    {
        // Writing to a String cannot fail.
        let _ = write!(line, " to {}", database::masked_url(url.expose()));
    }
    line
}
