//! Who is told of what this process commits, before the caller has its answer.

use std::sync::{Arc, OnceLock};

use crate::audit::Touched;

type Follower = Box<dyn Fn(&[Touched]) + Send + Sync>;

/// Tells one follower of every commit. Clones share it.
#[derive(Clone, Default)]
pub struct Commits(Arc<OnceLock<Follower>>);

impl std::fmt::Debug for Commits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commits").field("followed", &self.0.get().is_some()).finish()
    }
}

impl Commits {
    /// Sets the follower, who gets what changed and may not take long; there is one for each process.
    pub fn follow(&self, follower: impl Fn(&[Touched]) + Send + Sync + 'static) {
        // A second follower would be a second service of enforcement on one set of connections.
        let _ = self.0.set(Box::new(follower));
    }

    pub(super) fn tell(&self, changed: &[Touched]) {
        if let Some(follower) = self.0.get() {
            follower(changed);
        }
    }
}
