//! What a deployment chooses of the rules that others leave open.

use std::time::Duration;

/// The rules that a deployment chooses.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whether people may make teams of their own (SECURITY 3, footnote 2).
    pub self_serve_teams: bool,
    /// The most bytes that a metadata object may have as JSON.
    pub metadata_bytes: usize,
    /// The longest time for which a rotated secret may stay valid.
    pub max_rotation_grace: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            self_serve_teams: false,
            metadata_bytes: 16_384,
            max_rotation_grace: Duration::from_hours(168),
        }
    }
}
