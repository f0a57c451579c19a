//! Which routes a key may use, and which of them call a model.

use entity::value::Words;

use crate::domain::model_access::covers;

/// The path of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a>(Option<&'a str>);

/// Routes that list and look, and call no model: neither budgets nor the required end user hold there
/// (REFERENCE AC-6, AC-7). Every other route counts, so that a new one is never a way around.
const LOOKING: &[&str] = &[
    "/models",
    "/v1/models",
    "/models/*",
    "/v1/models/*",
    "/model/info",
    "/v1/model/info",
    "/v2/model/info",
    "/model_group/info",
];

impl<'a> Route<'a> {
    /// The route of a path; without one, a call of a model. What follows a `?` is not looked at.
    pub fn of(path: Option<&'a str>) -> Self {
        Self(path.map(|path| path.split(['?', '#']).next().unwrap_or(path)))
    }

    /// Whether it only looks. A colon in the last part of a path is how some APIs call a model by its own
    /// path (`/v1/models/gemini-2.5-pro:generateContent`).
    pub fn is_free(self) -> bool {
        let looks = |path: &str| LOOKING.iter().any(|known| covers(known, path));
        self.0.is_some_and(|path| looks(path) && !path.contains(':') && is_plain(path))
    }

    /// Whether a key with these routes may use it: all that calls models with the group `llm`, and
    /// paths, where `*` stands for any text (REFERENCE AC-9). A key without a list may use all. A path
    /// that leads elsewhere than it seems to is covered by no other.
    pub fn is_open(self, allowed: Option<&Words>) -> bool {
        let Some(allowed) = allowed else { return true };
        let opens = |entry: &String| match (entry.as_str(), self.0) {
            ("llm", _) => true,
            (entry, Some(path)) => entry.starts_with('/') && covers(entry, path) && is_plain(path),
            (_, None) => false,
        };
        allowed.0.iter().any(opens)
    }
}

/// Whether a path is what it seems to be: one with steps to the parent, however they are written, is
/// another one to a server that follows them.
fn is_plain(path: &str) -> bool {
    if !path.contains(['%', '\\']) && !path.contains("/.") {
        return true;
    }
    let text = path.to_ascii_lowercase().replace("%2e", ".");
    let text = text.replace("%2f", "/").replace(['\\'], "/").replace("%5c", "/");
    let steps = |part: &str| [".", ".."].contains(&part.split(';').next().unwrap_or(part));
    // What is encoded twice is decoded twice by some.
    !text.contains("%25") && !text.split('/').any(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AC-6, AC-7, AC-9, C-A14.
    #[test]
    fn a_path_is_matched_as_a_whole_and_without_its_query() {
        let words = |words: &[&str]| Words(words.iter().map(|word| (*word).to_owned()).collect());
        for (path, allowed, open, free) in [
            (Some("/v1/chat/completions"), &["llm"][..], true, false),
            (Some("/v1/chat/completions"), &["management"], false, false),
            (Some("/v1/chat/completions"), &["/v1/chat/*"], true, false),
            (Some("/v1/chat/completions"), &["/v1/chat"], false, false),
            (Some("/v1/chat?x=/v1/models"), &["/v1/chat"], true, false),
            (Some("/v1/models"), &["/v1/chat"], false, true),
            (Some("/v1/models/gpt-4o"), &["llm"], true, true),
            (Some("/v1/models?limit=1"), &["llm"], true, true),
            (Some("/v1/models/meta-llama/Llama-3.1"), &["/v1/models/*"], true, true),
            (Some("/v1/models/meta-llama%2FLlama-3.1"), &["/v1/models/*"], true, true),
            (Some("/v1/models/gemini-2.5-pro:generateContent"), &["/v1/models/*"], true, false),
            (Some("/v1/models/../chat/completions"), &["/v1/models/*"], false, false),
            (Some("/v1/models/%2e%2E/chat/completions"), &["/v1/models/*"], false, false),
            (Some("/v1/models/..%2fchat/completions"), &["/v1/models/*"], false, false),
            (Some("/v1/models/..%5Cchat"), &["/v1/models/*"], false, false),
            (Some("/v1/models/..\\chat"), &["/v1/models/*"], false, false),
            (Some("/v1/models/..;/chat"), &["/v1/models/*"], false, false),
            (Some("/v1/models/%252e%252e/chat"), &["/v1/models/*"], false, false),
            (Some("/v1/models/../chat/completions"), &["llm"], true, false),
            (None, &["llm"], true, false),
            (None, &["/v1/chat/*"], false, false),
        ] {
            let route = Route::of(path);
            assert_eq!(
                (route.is_open(Some(&words(allowed))), route.is_free()),
                (open, free),
                "{path:?}"
            );
            assert!(route.is_open(None));
        }
    }
}
