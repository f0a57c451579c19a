//! The samples of the root fields that ask whether calls may be made.

use serde_json::{Value, json};

use super::cases::{Case, case};

/// One case for each of them: about every key, and about whoever asks.
pub(super) fn cases(keys: &[(&'static str, String)]) -> Vec<Case> {
    let object = |(name, id): &(&'static str, String)| (*name, id.clone(), json!({ "id": id }));
    let objects = || {
        let itself = ("itself", String::new(), json!({ "id": Value::Null }));
        keys.iter().map(object).chain([itself]).collect::<Vec<_>>()
    };
    vec![
        case(
            "accessCheck",
            "query($id: ID) {
                accessCheck(input: { apiKeyId: $id, call: { model: \"m\" } }) { isAllowed }
            }",
            objects(),
            &[("BAD_USER_INPUT", "input.credential")],
        ),
        case(
            "accessExplain",
            "query($id: ID) {
                accessExplain(input: { apiKeyId: $id, call: { model: \"m\" } }) {
                    decision { isAllowed }
                }
            }",
            objects(),
            &[],
        ),
    ]
}
