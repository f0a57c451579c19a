//! What a call names: one rule for those who ask about a call and for those who report it, so that the
//! usage of whatever is let through can be recorded.

use entity::value::Usd;

use super::field::{Faults, TAGS};

/// The most characters of the name of a model or of an end user, as calls write them. Names that the
/// platform gives out are shorter.
pub const NAME_LENGTH: usize = 256;

/// The most characters of a gateway's id of a call.
pub const REQUEST_ID: usize = 128;

/// The most that one call costs: a million dollars. A report or an estimate of more is an error, and of
/// prices that make more of a call this much is counted.
pub const MOST: Usd = Usd::from_nanos(1_000_000_000_000_000);

/// The names in a call.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The model; none for a route without a model.
    pub model: Option<&'a str>,
    /// The end user; empty is none (REFERENCE C-A14).
    pub end_user: Option<&'a str>,
    /// The tags that it brings. One that is given twice counts once.
    pub tags: &'a [String],
}

impl Names<'_> {
    /// Notes what is wrong with them; `within` is the path of the members of the call.
    pub fn check(&self, within: &str, faults: &mut Faults) {
        let end_user = self.end_user.filter(|name| !name.is_empty());
        for (field, name) in [("model", self.model), ("endUser", end_user)] {
            if let Some(name) = name {
                check_name(&format!("{within}{field}"), name, faults);
            }
        }
        if self.tags.len() > TAGS {
            faults.add(format!("{within}tags"), format!("give at most {TAGS}"));
        }
        for (index, tag) in self.tags.iter().enumerate().take(TAGS) {
            faults.word(&format!("{within}tags.{index}"), tag);
        }
    }
}

/// Notes what is wrong with the name of a model or of an end user.
pub fn check_name(field: &str, name: &str, faults: &mut Faults) {
    if !is_text(name, NAME_LENGTH) {
        let message =
            format!("write 1 to {NAME_LENGTH} characters, none of them a control character");
        faults.add(field, message);
    }
}

/// Whether it is a text of so many characters, none of them a control character.
pub fn is_text(text: &str, most: usize) -> bool {
    let length = text.chars().count();
    (1..=most).contains(&length) && !text.chars().any(char::is_control)
}
