//! The decision against a slow and obvious one of its own, over random worlds.

mod reference;
mod spec;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use entity::value::Usd;
use tollkeep::domain::access::{
    BoundBudget, Catalogue, Change, Check, Counted, Counters, Decision, Depth, Presence, World,
    decide, remedies, resolve,
};

use spec::{Built, Dice, Spec};

/// The counters of a made-up world.
pub(crate) struct Fixed(BTreeMap<uuid::Uuid, Counted>);

impl Counters for Fixed {
    fn of(&self, bound: &BoundBudget, _: DateTime<Utc>) -> Counted {
        self.0.get(&entity::id::Id::uuid(bound.budget.id)).copied().unwrap_or_default()
    }
}

fn run(built: &Built, depth: Depth) -> Decision {
    let world = World {
        facts: &built.facts,
        end_user: built.end_user.as_ref(),
        tags: &built.tags,
        catalogue: &built.catalogue,
        settings: &built.settings,
        counters: &built.counters,
        now: built.now,
    };
    decide(&world, &built.request, depth)
}

/// AC-1, AC-2, AC-3, AC-4, AC-5, AC-6, AC-7, AC-8, AC-9, C-A1, C-A2, C-A12, C-A13, C-A14, F2, F5: 100,000 random worlds and calls, judged by two
/// functions that share no code: the same verdict, by the same rule of the same scope. With every rule
/// evaluated, the verdict stays; and nothing that was left out says no.
#[test]
fn the_decision_is_that_of_the_reference_in_every_world() {
    let mut reasons: BTreeMap<Check, u32> = BTreeMap::new();
    let mut allowed = 0;
    for seed in 0..100_000 {
        let spec = Spec::random(&mut Dice::new(seed));
        let built = spec.build();
        let decision = run(&built, Depth::Answer);
        let found = decision.refused_by().map(|rule| (rule.check, rule.scope));
        assert_eq!(found, reference::verdict(&spec), "seed {seed}: {spec:#?}");
        let explained = run(&built, Depth::Explanation);
        let told = explained.refused_by().map(|rule| (rule.check, rule.scope));
        assert_eq!(found, told, "seed {seed}: {spec:#?}");
        match found {
            Some((check, _)) => *reasons.entry(check).or_default() += 1,
            None => allowed += 1,
        }
    }
    // The worlds are not all of one kind: every rule says no in hundreds of them.
    assert!(allowed > 5_000, "{allowed}");
    for check in [
        Check::Kind,
        Check::Expiry,
        Check::Block,
        Check::Membership,
        Check::Route,
        Check::EndUser,
        Check::Model,
        Check::Deployment,
        Check::Budget,
    ] {
        assert!(reasons.get(&check).is_some_and(|count| *count > 300), "{check:?}: {reasons:?}");
    }
}

/// DESIGN 5: what an explanation proposes turns the verdict around, all of it together, and nothing of
/// it is more than is needed.
#[test]
fn the_smallest_changes_flip_the_verdict_and_smaller_ones_do_not() {
    let mut flipped = 0;
    for seed in 0..20_000 {
        let spec = Spec::random(&mut Dice::new(seed));
        let built = spec.build();
        let decision = run(&built, Depth::Explanation);
        let proposed = remedies(&built.request, &decision);
        if proposed
            .iter()
            .any(|remedy| matches!(remedy.change, Change::AnotherKey | Change::Membership))
        {
            continue;
        }
        if decision.is_allowed() {
            let Some(remedy) = proposed.first() else { continue };
            let Change::Exhaust { more, .. } = remedy.change else { panic!("{remedy:?}") };
            let with = |more: i64| {
                let mut dearer = spec.clone();
                dearer.estimate += more;
                reference::verdict(&dearer)
            };
            // Either the estimate grows beyond what is left, or what is spent reaches the cap.
            let spends = |more: i64| {
                let mut spent = spec.clone();
                for budget in &mut spent.budgets {
                    budget.spent += more;
                }
                reference::verdict(&spent)
            };
            let more = more.nanos();
            assert!(with(more).is_some() || spends(more).is_some(), "seed {seed}: {spec:#?}");
            assert!(more <= 1 || with(more - 1).is_none(), "seed {seed}: {spec:#?}");
            continue;
        }
        let mended = proposed.iter().fold(spec.clone(), |spec, remedy| spec.with(remedy, 0));
        let left = reference::verdict(&mended);
        assert_eq!(left, None, "seed {seed}: {proposed:#?} of {spec:#?}");
        for skipped in 0..proposed.len() {
            let without = proposed.iter().enumerate().filter(|(at, _)| *at != skipped);
            let rest = without.fold(spec.clone(), |spec, (_, remedy)| spec.with(remedy, 0));
            let same = |remedy: &&tollkeep::domain::access::Remedy| **remedy == proposed[skipped];
            let twice = proposed.iter().filter(same).count() > 1;
            let shared = matches!(proposed[skipped].change, Change::Spend { .. });
            assert!(
                twice || shared || reference::verdict(&rest).is_some(),
                "seed {seed}: {:?} is not needed in {spec:#?}",
                proposed[skipped]
            );
        }
        let short = proposed.iter().fold(spec.clone(), |spec, remedy| spec.with(remedy, 1));
        let spends = proposed.iter().any(|remedy| matches!(remedy.change, Change::Spend { .. }));
        // A model that is opened may turn out to cost nothing.
        let opens = proposed.iter().any(|remedy| matches!(remedy.change, Change::Deployment(_)));
        assert!(!spends || opens || reference::verdict(&short).is_some(), "seed {seed}: {spec:#?}");
        flipped += 1;
    }
    assert!(flipped > 5_000, "{flipped}");
}

/// DESIGN D12: a name is listed if and only if it may be called and the catalogue has it.
#[test]
fn what_is_listed_is_what_is_judged_along_whole_chains() {
    for seed in 0..20_000 {
        let spec = Spec::random(&mut Dice::new(seed));
        if !spec.known {
            continue;
        }
        let built = spec.build();
        let (chain, catalogue): (_, &Catalogue) = (&built.facts.chain, &built.catalogue);
        let listed = tollkeep::domain::access::effective(chain, catalogue);
        for name in spec::NAMES {
            let found = resolve(chain, catalogue, name);
            let callable = found.is_allowed() && found.presence != Presence::Unknown;
            let is_listed = listed.iter().any(|model| model.name == *name);
            let known = spec.names().any(|known| known == *name);
            assert_eq!(callable && known, is_listed && known, "seed {seed}, {name}: {spec:#?}");
            assert!(!is_listed || callable, "seed {seed}, {name}: {spec:#?}");
        }
    }
}

/// C-A2, E-17: the boundaries of a budget.
#[test]
fn a_budget_that_is_reached_refuses() {
    for (max, spent, reserved, estimate, room) in [
        (10, 9, 0, 0, true),
        (10, 10, 0, 0, false),
        (10, 0, 10, 0, false),
        (10, 4, 5, 0, true),
        (10, 4, 5, 1, true),
        (10, 4, 5, 2, false),
        (10, 0, 0, 10, true),
        (10, 0, 0, 11, false),
        (0, 0, 0, 0, false),
        (1, 0, 0, 1, true),
        (10, 12, 0, 0, false),
        (i64::MAX, i64::MAX - 1, 0, 1, true),
        (i64::MAX, i64::MAX, i64::MAX, i64::MAX, false),
    ] {
        let [max, spent, reserved, estimate] =
            [max, spent, reserved, estimate].map(Usd::from_nanos);
        let found = tollkeep::domain::access::decision::has_room(max, spent, reserved, estimate);
        assert_eq!(found, room, "{max} {spent} {reserved} {estimate}");
    }
}
