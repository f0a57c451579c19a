//! The source tree keeps its shape: who may use whom, a sentence at the head of every file, files
//! that can be read in one sitting, and documents that name what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each module of `src/` may use, beside what everybody may.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["app", "db", "graphql", "http", "telemetry", "secrets_file", "config"]),
    (
        "app",
        &[
            "audit",
            "authn",
            "authz",
            "clock",
            "config",
            "db",
            "domain",
            "enforcement",
            "graphql",
            "http",
            "rate_limit",
            "rules",
            "sealing",
            "secret",
            "secrets_file",
        ],
    ),
    (
        "http",
        &[
            "app",
            "authn",
            "authz",
            "clock",
            "config",
            "db",
            "domain",
            "enforcement",
            "graphql",
            "secret",
            "session",
        ],
    ),
    ("graphql", &["audit", "authz", "db", "domain", "enforcement", "http", "sealing", "session"]),
    ("session", &["audit", "authn", "authz", "db", "enforcement"]),
    ("enforcement", &["audit", "authz", "clock", "db", "domain", "rate_limit", "secret"]),
    ("domain", &["audit", "authz", "db", "sealing", "secret"]),
    ("authn", &["authz", "clock", "db", "secret"]),
    ("authz", &["db"]),
    ("audit", &["authz"]),
    ("db", &["audit", "authz", "clock", "rules", "sealing", "secret"]),
    ("rate_limit", &["clock", "config", "db"]),
    ("sealing", &["clock", "secret"]),
    ("secret", &["clock"]),
    ("error", &["authz"]),
    ("telemetry", &["config"]),
    ("secrets_file", &["config"]),
    ("clock", &[]),
    ("config", &[]),
    ("rules", &[]),
    ("lib", &[]),
];

/// The leaves that every module may use.
const LEAVES: &[&str] = &["error"];

/// The most lines of a file.
const LINES: usize = 650;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// The top module of a file of `src/`.
fn module(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn modules_use_only_what_they_may() {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut wrong = BTreeSet::new();
    for path in rust_files("src") {
        let from = module(&path);
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let text = code.collect::<Vec<_>>().join("\n");
        let Some(may) = allowed.get(from.as_str()) else {
            panic!("src/{from} has no row in tests/it/architecture.rs");
        };
        for part in text.split("crate::").skip(1) {
            let to: String =
                part.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let known = allowed.contains_key(to.as_str());
            if known && to != from && !LEAVES.contains(&to.as_str()) && !may.contains(&to.as_str())
            {
                wrong.insert(format!("{from} -> {to} in {}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that are not allowed: {wrong:#?}");
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    for folder in ["src", "entity/src", "migration/src", "tests", "benches", "examples"] {
        for path in rust_files(folder) {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("//!"), "{}", path.display());
        }
    }
}

#[test]
fn files_can_be_read_in_one_sitting() {
    for folder in ["src", "entity/src", "migration/src", "tests", "benches", "examples"] {
        for path in rust_files(folder) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= LINES, "{} has {lines} lines", path.display());
        }
    }
}

/// The entities know neither the API nor the rules.
#[test]
fn entities_know_only_the_database() {
    for path in rust_files("entity/src") {
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("async_graphql"), "{}", path.display());
    }
}

/// Every path that the documents for maintainers name exists.
#[test]
fn documents_name_what_exists() {
    let mut missing = Vec::new();
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let folders = [
                "src/",
                "entity/",
                "migration/",
                "tests/",
                "docs/",
                "benches/",
                "examples/",
                ".ci/",
            ];
            let plain = !quoted.contains(['*', '<', '{', ' ', '…', '$']);
            if plain && folders.iter().any(|folder| quoted.starts_with(folder)) {
                let path = quoted.split(['#', ':']).next().unwrap_or(quoted);
                if !root().join(path).exists() {
                    missing.push(format!("{document}: {quoted}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
