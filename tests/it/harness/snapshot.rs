//! Texts that are committed, read by people, and compared whole.

use std::fs;
use std::path::PathBuf;

/// Compares a text with the committed one; `UPDATE_SNAPSHOTS=1` writes it instead.
#[track_caller]
pub(crate) fn assert_committed(path: &str, text: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&file, text).unwrap();
        return;
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    if committed == text {
        return;
    }
    let differs = committed
        .lines()
        .zip(text.lines())
        .find(|(old, new)| old != new)
        .map_or_else(String::new, |(old, new)| format!("\n  committed: {old}\n  now:       {new}"));
    panic!("{path} is out of date; read the change, then UPDATE_SNAPSHOTS=1 cargo test{differs}");
}
