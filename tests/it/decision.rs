//! The decision against a slow and obvious one of its own, over random worlds.

mod budgets;
mod reference;
mod spec;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use entity::id::BudgetId;
use entity::value::Usd;
use tollkeep::domain::access::room::has_room;
use tollkeep::domain::access::{
    Catalogue, Change, Check, Decision, Depth, Numbers, Presence, Rule, World, decide, remedies,
    resolve,
};
use tollkeep::domain::scope::Scope;

use budgets::budget_id;
use reference::{Judged, Seen};
use spec::{Built, Dice, Spec};

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

/// What a decision has to say of a budget.
fn told(built: &Built, seen: &Seen) -> Rule {
    let instant = |seconds: Option<i64>| Some(built.now + TimeDelta::seconds(seconds?));
    Rule {
        check: Check::Budget,
        scope: seen.scope,
        passed: seen.passed,
        numbers: Numbers::Budget {
            budget: budget_id(seen.budget),
            max: Usd::from_nanos(seen.max),
            increase: Usd::from_nanos(seen.increase),
            spent: Usd::from_nanos(seen.spent),
            reserved: Usd::from_nanos(seen.reserved),
            estimate: built.request.estimate,
            resets_at: instant(seen.resets_in),
            next_room: instant(seen.room_in),
        },
    }
}

/// Compares all that is told of budgets: those that were judged, the least that is left, for how long to
/// wait, what has rates, and whether anything is spent.
fn compare(
    built: &Built,
    judged: &Judged,
    decision: &Decision,
    depth: Depth,
    case: &dyn Fn() -> String,
) {
    let rates: Vec<(Scope, BudgetId)> =
        decision.rates.iter().map(|bound| (bound.scope, bound.budget.id)).collect();
    let expected: Vec<_> =
        judged.rates.iter().map(|(scope, at)| (*scope, budget_id(*at))).collect();
    assert_eq!(rates, expected, "{}", case());
    assert_eq!(decision.spends, judged.spends, "{}", case());
    let remaining = judged.remaining.map(Usd::from_nanos);
    assert_eq!(decision.remaining, remaining, "{}", case());
    let room_at = judged.room_in.map(|seconds| built.now + TimeDelta::seconds(seconds));
    assert_eq!(decision.room_at, room_at, "{}", case());
    let found: Vec<_> =
        decision.rules.iter().filter(|rule| rule.check == Check::Budget).cloned().collect();
    let seen = judged.seen.iter().filter(|seen| depth == Depth::Explanation || !seen.passed);
    let expected: Vec<_> = seen.map(|seen| told(built, seen)).collect();
    assert_eq!(found, expected, "{}", case());
}

/// AC-1, AC-2, AC-3, AC-4, AC-5, AC-6, AC-7, AC-8, AC-9, C-A1, C-A2, C-A11, C-A12, C-A13, C-A14, E-12,
/// E-14, F2, F5: 100,000 random worlds and calls, judged by two functions that share no code: the same
/// verdict, by the same rule of the same scope, with the same budgets and numbers, the same wait and the
/// same rates. With every rule evaluated, the verdict stays.
#[test]
fn the_decision_is_that_of_the_reference_in_every_world() {
    let mut reasons: BTreeMap<Check, u32> = BTreeMap::new();
    let (mut allowed, mut waits, mut vain, mut last) = (0, 0, 0, 0);
    for seed in 0..100_000 {
        let spec = Spec::random(&mut Dice::new(seed));
        let built = spec.build();
        let judged = reference::judge(&spec);
        let case = || format!("seed {seed}: {judged:#?} in {spec:#?}");
        for depth in [Depth::Answer, Depth::Explanation] {
            let decision = run(&built, depth);
            let found = decision.refused_by().map(|rule| (rule.check, rule.scope));
            assert_eq!(found, judged.refused, "{depth:?} {}", case());
            if judged.is_counted || depth == Depth::Answer {
                compare(&built, &judged, &decision, depth, &case);
            }
        }
        match judged.refused {
            Some((check, _)) => *reasons.entry(check).or_default() += 1,
            None => allowed += 1,
        }
        let short = || judged.seen.iter().filter(|seen| !seen.passed);
        if short().next().is_some() {
            let is_vain = judged.room_in.is_none();
            *(if is_vain { &mut vain } else { &mut waits }) += 1;
            last += u32::from(!is_vain && short().any(|seen| seen.room_in != judged.room_in));
        }
    }
    // Calls wait, in vain or not, and not always for the budget that says no first.
    let counts = format!("{waits} {vain} {last}, {allowed}: {reasons:?}");
    assert!(waits > 1_000 && vain > 500 && last > 50, "{counts}");
    // The worlds are not all of one kind: every rule says no in hundreds of them.
    assert!(allowed > 2_000, "{counts}");
    for check in [
        Check::Kind,
        Check::Block,
        Check::Expiry,
        Check::Route,
        Check::Membership,
        Check::Model,
        Check::Deployment,
        Check::Budget,
        Check::EndUser,
    ] {
        assert!(reasons.get(&check).is_some_and(|count| *count > 300), "{check:?}: {counts}");
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
                for [_, (current, _), _] in
                    spent.budgets.iter_mut().flat_map(|budget| &mut budget.counts)
                {
                    *current += more;
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
        let found = has_room(max, spent, reserved, estimate);
        assert_eq!(found, room, "{max} {spent} {reserved} {estimate}");
    }
}
