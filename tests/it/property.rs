//! Random trees of organizations, teams, projects, keys and budgets, changed at random by people of
//! every role: whatever is accepted leaves all invariants standing, and whatever is refused leaves
//! everything as it was (DESIGN 3).
//!
//! A step is abstract: it names what it is about by a number, which is resolved against what exists
//! when its turn comes. So any part of a run can be left out, and a failing run shrinks to the few
//! steps that matter. Runs repeat: the seed is fixed, is printed with a failure, and can be set by
//! `TOLLKEEP_PROPERTY_SEED`; `TOLLKEEP_PROPERTY_TREES` makes a run longer.

mod digest;
mod oracle;
mod plan;
mod stage;
mod state;
mod step;

use std::cell::RefCell;

use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use self::stage::{Outcomes, Stage};
use crate::harness::TestApp;
use crate::harness::database::{Kind, TestDatabase, kinds};

/// The steps of a tree.
const STEPS: usize = 80;
/// The seed of a run that is not told another one.
const SEED: u64 = 20_261_121;
/// The most runs that look for a smaller failure.
const SHRINKING: u32 = 600;

fn from_environment(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}: write a number")),
        Err(_) => default,
    }
}

/// Runs so many trees, and returns what became of their steps.
fn run(kind: Kind, trees: u64) -> Outcomes {
    let seed = from_environment("TOLLKEEP_PROPERTY_SEED", SEED);
    let trees = from_environment("TOLLKEEP_PROPERTY_TREES", trees);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (database, stage) = runtime.block_on(async {
        let database = TestDatabase::create(kind).await;
        let app = TestApp::start(&database, &[]).await;
        let stage = Stage::new(app).await;
        (database, stage)
    });
    let stage = RefCell::new(stage);
    let config = Config {
        cases: u32::try_from(trees).unwrap(),
        max_shrink_iters: SHRINKING,
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&vec(step::step(), STEPS), |steps| {
        let tree = runtime.block_on(stage.borrow_mut().run(&steps));
        tree.map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, _)) => {
            panic!("seed {seed} on {kind:?} (repeat with TOLLKEEP_PROPERTY_SEED={seed})\n{reason}")
        }
        Err(TestError::Abort(reason)) => panic!("seed {seed} on {kind:?}: {reason}"),
    }
    let stage = stage.into_inner();
    runtime.block_on(async {
        let outcomes = stage.end().await;
        database.drop().await;
        outcomes
    })
}

/// DESIGN 3; REFERENCE C-A12, C-T16, C-P1, C-P7: 10,000 steps.
#[test]
fn random_changes_keep_every_invariant() {
    if !kinds().contains(&Kind::Sqlite) {
        return;
    }
    let outcomes = run(Kind::Sqlite, 150);
    eprintln!("{outcomes:#?}");
    outcomes.assert_that_all_was_tried();
    assert!(outcomes.steps() >= 10_000, "{outcomes:?}");
}

/// The same on PostgreSQL, in fewer steps.
#[test]
fn random_changes_keep_every_invariant_on_postgresql() {
    if kinds().contains(&Kind::Postgres) {
        eprintln!("{:#?}", run(Kind::Postgres, 12));
    }
}
