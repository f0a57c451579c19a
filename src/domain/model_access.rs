//! Lists of models: what one allows, and whether one lies within another.
//!
//! `*` stands for any text, every other character for itself; a pattern covers the whole name
//! (REFERENCE F2, with its unescaped regular expressions put right). The mode ALL means all that
//! the parents allow, so that a child with ALL is never wider than its parent.

use entity::value::{ModelAccess, ModelAccessMode};

/// Whether a pattern covers a text, in time linear in both for each `*`.
pub fn covers(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    let mut rest = rest;
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// The entries of `child` that `parent` does not allow.
pub fn excess(child: &ModelAccess, parent: &ModelAccess) -> Vec<String> {
    if child.mode != ModelAccessMode::List || parent.mode == ModelAccessMode::All {
        return Vec::new();
    }
    let allowed = |model: &String| {
        parent.mode == ModelAccessMode::List && parent.models.iter().any(|own| covers(own, model))
    };
    let models = child.models.iter().filter(|model| !allowed(model));
    let groups = child.access_groups.iter().filter(|group| !parent.access_groups.contains(group));
    models.chain(groups).cloned().collect()
}

/// The part of `child` that `parent` allows.
pub fn clamped(child: &ModelAccess, parent: &ModelAccess) -> ModelAccess {
    let beyond = excess(child, parent);
    let keep = |words: &[String]| -> Vec<String> {
        words.iter().filter(|word| !beyond.contains(word)).cloned().collect()
    };
    let models = keep(&child.models);
    let access_groups = keep(&child.access_groups);
    let mode = match child.mode {
        ModelAccessMode::List if models.is_empty() && access_groups.is_empty() => {
            ModelAccessMode::None
        }
        mode => mode,
    };
    ModelAccess { mode, models, access_groups }
}

/// The access without some access groups; a list that is left empty becomes NONE.
pub fn without_groups(access: &ModelAccess, gone: &[String]) -> ModelAccess {
    let mut left = access.clone();
    left.access_groups.retain(|group| !gone.contains(group));
    if left.mode == ModelAccessMode::List && left.models.is_empty() && left.access_groups.is_empty()
    {
        left.mode = ModelAccessMode::None;
    }
    left
}

/// What two accesses both allow, as far as entries of one cover entries of the other.
pub fn common(one: &ModelAccess, other: &ModelAccess) -> ModelAccess {
    match (one.mode, other.mode) {
        (ModelAccessMode::All, _) => other.clone(),
        (_, ModelAccessMode::All) => one.clone(),
        (ModelAccessMode::None, _) | (_, ModelAccessMode::None) => {
            ModelAccess { mode: ModelAccessMode::None, ..ModelAccess::default() }
        }
        (ModelAccessMode::List, ModelAccessMode::List) => {
            let mut both = clamped(one, other);
            let added = clamped(other, one).models.into_iter();
            let added: Vec<_> = added.filter(|model| !both.models.contains(model)).collect();
            both.models.extend(added);
            if !both.models.is_empty() {
                both.mode = ModelAccessMode::List;
            }
            both
        }
    }
}

/// Whether `child` allows nothing that `own` does not: for things that are not children of each
/// other, where ALL on one side is wider than a list on the other.
pub fn is_within(child: &ModelAccess, own: &ModelAccess) -> bool {
    match (child.mode, own.mode) {
        (ModelAccessMode::None, _) | (_, ModelAccessMode::All) => true,
        (ModelAccessMode::All, _) | (ModelAccessMode::List, ModelAccessMode::None) => false,
        (ModelAccessMode::List, ModelAccessMode::List) => excess(child, own).is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(models: &[&str]) -> ModelAccess {
        let models = models.iter().map(|model| (*model).to_owned()).collect();
        ModelAccess { mode: ModelAccessMode::List, models, access_groups: Vec::new() }
    }

    /// F2, C-A12.
    #[test]
    fn a_star_stands_for_any_text_and_nothing_else_is_special() {
        for (pattern, text, covered) in [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-*", "gpt-4o", true),
            ("*", "", true),
            ("*", "anything/at all", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*-mini", "gpt-4o-mini", true),
            ("o.1", "oX1", false),
            ("[a-z]+", "abc", false),
            ("openai/*", "azure/openai/x", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "acb", false),
            ("gpt-*", "gpt-*", true),
            ("gpt-4*", "gpt-*", false),
        ] {
            assert_eq!(covers(pattern, text), covered, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_child_that_takes_all_takes_what_its_parent_allows() {
        assert!(excess(&ModelAccess::default(), &list(&["gpt-4o"])).is_empty());
        assert_eq!(excess(&list(&["o3", "gpt-4o"]), &list(&["gpt-*"])), ["o3"]);
        assert_eq!(clamped(&list(&["o3", "gpt-4o"]), &list(&["gpt-*"])), list(&["gpt-4o"]));
        assert_eq!(clamped(&list(&["o3"]), &list(&["gpt-*"])).mode, ModelAccessMode::None);
    }

    #[test]
    fn what_two_lists_have_in_common_is_within_both() {
        let none = ModelAccess { mode: ModelAccessMode::None, ..ModelAccess::default() };
        let all = ModelAccess::default();
        for (one, other, both) in [
            (&all, &list(&["a"]), &list(&["a"])),
            (&list(&["a"]), &all, &list(&["a"])),
            (&all, &all, &all),
            (&none, &all, &none),
            (&list(&["gpt-*", "o3"]), &list(&["gpt-4o", "o*"]), &list(&["o3", "gpt-4o"])),
            (&list(&["gpt-4o"]), &list(&["gpt-*"]), &list(&["gpt-4o"])),
            (&list(&["a"]), &list(&["b"]), &none),
            (&list(&["gpt-*"]), &list(&["*-mini"]), &none),
        ] {
            assert_eq!(&common(one, other), both);
            assert!(is_within(both, one) && is_within(both, other));
        }
    }

    #[test]
    fn a_stranger_that_takes_all_is_wider_than_a_list() {
        assert!(!is_within(&ModelAccess::default(), &list(&["gpt-4o"])));
        assert!(is_within(&list(&["gpt-4o"]), &ModelAccess::default()));
    }
}
