//! The rules of single fields: lengths, forms, sizes. All faults of an input are reported at once.

use chrono::{DateTime, Datelike, Utc};
use entity::id;
use entity::value::{ModelAccess, ModelAccessMode, Words};
use serde_json::Value;

use crate::authz::reference::EXTERNAL_ID_LENGTH;
use crate::error::{Error, Fault, Result};

/// The most characters of a name.
pub const NAME_LENGTH: usize = 200;
/// The most characters of a search text.
pub const SEARCH_LENGTH: usize = 256;
/// The most tags on an object.
pub const TAGS: usize = 50;
/// The most characters of a tag, a model name, an alias or a guardrail.
pub const WORD_LENGTH: usize = 128;
/// The most models, or access groups, in a list.
pub const MODELS: usize = 500;
/// The most ids in an input.
pub const IDS: usize = 100;

/// Collects what is wrong with an input.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Notes a fault.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Fault { field: field.into(), message: message.into() });
    }

    /// Ends the inspection.
    ///
    /// # Errors
    /// [`Error::BadInput`] with all faults that were noted.
    pub fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::BadInput(self.0)) }
    }

    /// A display name: 1 to 200 characters, none of them a control character.
    pub fn name(&mut self, field: &str, name: &str) {
        let length = name.chars().count();
        if length == 0 || length > NAME_LENGTH || name.trim().is_empty() {
            self.add(field, format!("write 1 to {NAME_LENGTH} characters"));
        } else if name.chars().any(char::is_control) {
            self.add(field, "leave out control characters");
        }
    }

    /// A longer text.
    pub fn text(&mut self, field: &str, text: &str, most: usize) {
        if text.chars().count() > most {
            self.add(field, format!("write at most {most} characters"));
        } else if text.contains('\0') {
            self.add(field, "leave out the character U+0000");
        }
    }

    /// An external id: 1 to 128 visible characters, never of the form of our own ids.
    pub fn external_id(&mut self, field: &str, text: &str) {
        let length = text.chars().count();
        if length == 0 || length > EXTERNAL_ID_LENGTH {
            self.add(field, format!("write 1 to {EXTERNAL_ID_LENGTH} characters"));
        } else if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            self.add(field, "leave out spaces and control characters");
        } else if id::split(text).is_some() {
            self.add(field, "an external id may not have the form of an id of this platform");
        }
    }

    /// An e-mail address: something, an at sign, something; at most 254 characters.
    pub fn email(&mut self, field: &str, text: &str) {
        let well_formed = text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && !domain.is_empty()
                && !domain.contains('@')
                && !domain.starts_with('.')
                && !domain.ends_with('.')
        });
        let clean = !text.chars().any(|c| c.is_control() || c.is_whitespace());
        if !well_formed || !clean || text.len() > 254 {
            self.add(field, "write an e-mail address such as ada@example.com");
        }
    }

    /// A JSON object within the size that the deployment allows.
    pub fn metadata(&mut self, field: &str, value: &Value, most: usize) {
        if !value.is_object() {
            self.add(field, "write a JSON object");
        } else if has_nul(value) {
            self.add(field, "leave out the character U+0000");
        } else if value.to_string().len() > most {
            self.add(field, format!("the object may have at most {most} bytes as JSON"));
        }
    }

    /// An instant that both databases can hold and compare: in the years 1970 to 9999.
    pub fn instant(&mut self, field: &str, at: DateTime<Utc>) {
        if !(1970..=9999).contains(&at.year()) {
            self.add(field, "write an instant in the years 1970 to 9999");
        }
    }

    /// A list of labels: at most 50, each once, each 1 to 128 characters.
    pub fn words(&mut self, field: &str, words: &[String]) {
        if words.len() > TAGS {
            self.add(field, format!("give at most {TAGS}"));
        }
        for (index, word) in words.iter().enumerate().take(TAGS) {
            self.word(&format!("{field}.{index}"), word);
            if words[..index].contains(word) {
                self.add(format!("{field}.{index}"), "this is listed twice");
            }
        }
    }

    /// A model name, a tag, an alias: 1 to 128 characters without spaces at the ends.
    pub fn word(&mut self, field: &str, word: &str) {
        let length = word.chars().count();
        if length == 0 || length > WORD_LENGTH || word.trim() != word {
            let message =
                format!("write 1 to {WORD_LENGTH} characters, without spaces at the ends");
            self.add(field, message);
        } else if word.chars().any(char::is_control) {
            self.add(field, "leave out control characters");
        }
    }

    /// A model access: lists only, and at least one entry, with the mode LIST.
    pub fn model_access(&mut self, field: &str, access: &ModelAccess) {
        let entries = access.models.len() + access.access_groups.len();
        if access.mode != ModelAccessMode::List && entries > 0 {
            self.add(field, "models and accessGroups go with the mode LIST");
        }
        if access.mode == ModelAccessMode::List && entries == 0 {
            self.add(field, "an empty list allows nothing: say NONE, or list models");
        }
        if access.models.len() > MODELS || access.access_groups.len() > MODELS {
            self.add(field, format!("list at most {MODELS} models and {MODELS} access groups"));
        }
        for (list, words) in [("models", &access.models), ("accessGroups", &access.access_groups)] {
            for (index, word) in words.iter().enumerate().take(MODELS) {
                self.word(&format!("{field}.{list}.{index}"), word);
            }
        }
    }

    /// A list of ids: 1 to 100.
    pub fn ids(&mut self, field: &str, count: usize) {
        if count == 0 || count > IDS {
            self.add(field, format!("give 1 to {IDS} ids"));
        }
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => {
            members.iter().any(|(key, value)| key.contains('\0') || has_nul(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The text that searches look at, and that lists are ordered by: the parts in lower case.
pub fn search_text(parts: &[Option<&str>]) -> String {
    let parts: Vec<_> = parts.iter().map(|part| part.unwrap_or("").to_lowercase()).collect();
    parts.join("\u{1f}").trim_end_matches('\u{1f}').to_owned()
}

/// A list of words without repeats, in the order given.
pub fn distinct(words: Vec<String>) -> Words {
    let mut distinct: Vec<String> = Vec::with_capacity(words.len());
    for word in words {
        if !distinct.contains(&word) {
            distinct.push(word);
        }
    }
    Words(distinct)
}

/// Checks the version that a caller expects against the one there is.
///
/// # Errors
/// [`Error::Conflict`] when somebody else changed the object meanwhile.
pub fn expect_version(expected: Option<i32>, actual: i32) -> Result<()> {
    match expected {
        Some(expected) if expected != actual => Err(Error::conflict(format!(
            "the object has version {actual}, not {expected}: read it again and repeat the change"
        ))),
        _ => Ok(()),
    }
}
