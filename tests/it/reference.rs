//! Every rule and every defect of the reference system: the test that covers it, or the reason why
//! it does not apply. The list is `docs/reference-coverage.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::harness::snapshot::assert_committed;

mod reasons;

use reasons::REASONS;

/// The rules by family, and how many each has.
const FAMILIES: &[(&str, u32)] = &[
    ("T-NEW-", 23),
    ("T-UPD-", 12),
    ("T-DEL-", 6),
    ("T-INFO-", 6),
    ("T-BLK-", 3),
    ("T-LIST-", 8),
    ("T-AVAIL-", 3),
    ("T-FILTER-", 2),
    ("M-ADD-", 14),
    ("M-DEL-", 8),
    ("M-UPD-", 8),
    ("C-T", 32),
    ("P-NEW-", 12),
    ("P-UPD-", 9),
    ("P-DEL-", 3),
    ("P-INFO-", 1),
    ("P-LIST-", 1),
    ("C-P", 15),
    ("MD-NEW-", 9),
    ("MD-PATCH-", 3),
    ("MD-UPD-", 3),
    ("MD-DEL-", 3),
    ("C-M", 10),
    ("AC-", 17),
    ("C-A", 16),
];

/// What users of the reference system value, as far as it is managed.
const VALUED: &[u32] = &[4, 5, 6, 7, 16, 17, 18, 19, 21, 22, 23, 24, 27];

fn ids() -> Vec<String> {
    let family = |(name, count): &(&str, u32)| -> Vec<String> {
        (1..=*count).map(|number| format!("{name}{number}")).collect()
    };
    let valued = VALUED.iter().map(|number| format!("D{number}"));
    FAMILIES.iter().flat_map(family).chain(valued).collect()
}

/// The ids that a comment cites.
fn cited(comment: &str, known: &BTreeSet<String>) -> Vec<String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    comment.split(word).filter(|word| known.contains(*word)).map(str::to_owned).collect()
}

/// The tests that cite ids in their doc comments, by id.
fn coverage(known: &BTreeSet<String>) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let module = path.file_stem().unwrap().to_string_lossy().into_owned();
            let mut pending: Vec<String> = Vec::new();
            for line in fs::read_to_string(&path).unwrap().lines() {
                let line = line.trim();
                if let Some(comment) = line.strip_prefix("///") {
                    pending.extend(cited(comment, known));
                } else if let Some(rest) =
                    line.strip_prefix("async fn ").or(line.strip_prefix("fn "))
                {
                    let name = rest.split('(').next().unwrap_or(rest);
                    for id in pending.drain(..) {
                        found.entry(id).or_default().push(format!("{module}::{name}"));
                    }
                } else if !line.starts_with("#[") {
                    pending.clear();
                }
            }
        }
    }
    found
}

#[test]
fn every_rule_of_the_reference_has_a_test_or_a_reason() {
    let known: BTreeSet<_> = ids().into_iter().collect();
    let coverage = coverage(&known);
    let reasons: BTreeMap<_, _> = REASONS.iter().copied().collect();
    let mut text = String::from(
        "# Coverage of the reference system's rules\n\n\
         The rules of LiteLLM's endpoints for teams, memberships, projects and models (T, M, P, MD) and of its\n\
         checks of calls (AC), their defects (C-T, C-P, C-M, C-A), and what its users value (D), by the ids that the\n\
         tests cite. Each has a test, or a reason why it does not apply. This file is written by `UPDATE_SNAPSHOTS=1 cargo test --test it reference`.\n\n\
         | Rule | Tests, or the reason why there is none |\n| --- | --- |\n",
    );
    let mut open = Vec::new();
    for id in ids() {
        match (coverage.get(&id), reasons.get(id.as_str())) {
            (Some(tests), _) => {
                let mut tests = tests.clone();
                tests.sort();
                tests.dedup();
                let tests: Vec<_> = tests.iter().map(|test| format!("`{test}`")).collect();
                let _ = writeln!(text, "| {id} | {} |", tests.join(", "));
            }
            (None, Some(reason)) => {
                let _ = writeln!(text, "| {id} | {reason} |");
            }
            (None, None) => open.push(id),
        }
    }
    assert!(open.is_empty(), "neither a test nor a reason: {open:?}");
    let stale: Vec<_> = reasons.keys().filter(|id| coverage.contains_key(**id)).collect();
    assert!(stale.is_empty(), "these have a test, so they need no reason: {stale:?}");
    assert_committed("docs/reference-coverage.md", &text);
}
