//! What the load knows: each call noted before it is sent, and what was acknowledged. It is kept in
//! this process, which no fault touches, and at the end the database has to agree with it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The faults that are told apart; more are counted only.
const FAULTS: usize = 20;

/// How long after its revocation was acknowledged a key may be let through, whatever happens.
const REVOCATION: Duration = Duration::from_secs(5);

/// Everything that was sent and answered.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Entries>);

#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// By request id.
    pub(crate) events: HashMap<String, Event>,
    /// By request id.
    pub(crate) holds: HashMap<String, Hold>,
    /// The calls whose release was acknowledged.
    pub(crate) released: HashSet<String>,
    /// When a revocation was acknowledged, if it was, by the secret.
    pub(crate) revoked: HashMap<String, Option<Instant>>,
    /// How long after the acknowledgement a revoked key was let through at most.
    pub(crate) latest: Duration,
    pub(crate) faults: Vec<String>,
    pub(crate) more_faults: u64,
    /// Answers that told the client to come back, and requests without an answer.
    pub(crate) retries: u64,
}

/// Usage that was reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// In billionths of a dollar.
    pub(crate) cost: i64,
    pub(crate) is_acknowledged: bool,
}

/// An amount that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    /// In billionths of a dollar.
    pub(crate) amount: i64,
    pub(crate) is_granted: bool,
    /// Whether anything was sent that ends it, or its lease is a short one.
    pub(crate) may_be_over: bool,
}

impl Journal {
    pub(crate) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap()
    }

    /// Something happened that must not.
    pub(crate) fn fault(&self, text: String) {
        self.entries().fault(text);
    }

    pub(crate) fn retry(&self) {
        self.entries().retries += 1;
    }

    /// Before it is sent.
    pub(crate) fn reports(&self, request: &str, cost: i64) {
        let mut entries = self.entries();
        if let Some(hold) = entries.holds.get_mut(request) {
            hold.may_be_over = true;
        }
        let event = Event { cost, is_acknowledged: false };
        entries.events.entry(request.to_owned()).or_insert(event);
    }

    pub(crate) fn recorded(&self, request: &str) {
        if let Some(event) = self.entries().events.get_mut(request) {
            event.is_acknowledged = true;
        }
    }

    /// Before it is sent.
    pub(crate) fn asks(&self, request: &str, amount: i64, is_short: bool) {
        let hold = Hold { amount, is_granted: false, may_be_over: is_short };
        self.entries().holds.insert(request.to_owned(), hold);
    }

    pub(crate) fn granted(&self, request: &str) {
        if let Some(hold) = self.entries().holds.get_mut(request) {
            hold.is_granted = true;
        }
    }

    /// Before it is sent.
    pub(crate) fn releases(&self, request: &str) {
        if let Some(hold) = self.entries().holds.get_mut(request) {
            hold.may_be_over = true;
        }
    }

    pub(crate) fn released(&self, request: String) {
        self.entries().released.insert(request);
    }

    /// A call that was asked about at this moment was let through.
    pub(crate) fn let_through(&self, secret: &str, asked: Instant) {
        let mut entries = self.entries();
        let revoked = entries.revoked.get(secret).copied().flatten();
        let Some(late) = revoked.and_then(|at| asked.checked_duration_since(at)) else { return };
        entries.latest = entries.latest.max(late);
        if late > REVOCATION {
            entries.fault(format!("let through {late:?} after its revocation"));
        }
    }

    /// Whether a secret's revocation was sent.
    pub(crate) fn is_revoking(&self, secret: &str) -> bool {
        self.entries().revoked.contains_key(secret)
    }

    /// Before the revocation is sent, and when it is acknowledged.
    pub(crate) fn revoke(&self, secret: &str, acknowledged: Option<Instant>) {
        self.entries().revoked.insert(secret.to_owned(), acknowledged);
    }
}

impl Entries {
    pub(crate) fn fault(&mut self, text: String) {
        if self.faults.len() < FAULTS {
            self.faults.push(text);
        } else {
            self.more_faults += 1;
        }
    }
}
