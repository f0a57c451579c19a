//! One transaction of the ledger: many events recorded, amounts held and let go of.
//!
//! Rows are locked in one order: reservations, events, the roll-up, totals, windows. Nothing is
//! decided before the windows are locked, and everything is written under those locks, so that what
//! is granted never exceeds what there is.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::id::{BudgetAlertId, BudgetId, BudgetWindowId, Id, UsageEventId};
use entity::role::{CostSource, EntityKind};
use entity::usage_event;
use entity::value::{Ids, Usd};
use sea_orm::{ActiveEnum, ConnectionTrait};
use uuid::Uuid;

use super::alert::Alert;
use super::counters::{Counters, Meanwhile};
use super::prepare::{NO_KEY, Posting, placed};
use super::reservation::{CallName, New, Taken, name_of, named, take, unmake};
use super::standing::Standing;
use super::sums::{Sums, tags_json};
use super::window::Charged;
use super::{Charge, Code, Reserved, TokenUse, Verdict};
use crate::db::Deployment;
use crate::db::bulk::Bulk;
use crate::error::{Error, Result};

/// An amount that is to be held.
#[derive(Clone, Debug)]
pub(super) struct Holding {
    pub(super) row: New,
    /// The model that is called; none for a route without a model.
    pub(super) model: Option<String>,
    /// The charges that it is for.
    pub(super) charges: Vec<Charge>,
    /// The windows, in the order of the charges; none where a budget is no more.
    pub(super) windows: Vec<Option<BudgetWindowId>>,
}

/// What one transaction does.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) postings: Vec<Posting>,
    pub(super) holdings: Vec<Holding>,
    pub(super) releases: Vec<CallName>,
    /// The windows that count for a budget although a fork took them along.
    pub(super) moved: HashSet<(BudgetId, BudgetWindowId)>,
}

/// What came of it, in the order of the group.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) verdicts: Vec<Verdict>,
    pub(super) reserved: Vec<Reserved>,
    pub(super) released: Vec<bool>,
}

/// What ended a transaction.
#[derive(Debug)]
pub(super) enum Applied {
    /// It may be committed.
    Done(Outcome),
    /// Windows that were meant to be current have newer ones: it must be rolled back, and tried
    /// again with these.
    Superseded(HashMap<BudgetWindowId, BudgetWindowId>),
    /// Windows of charges are another budget's or no more: it must be rolled back, and tried again
    /// with those that there are.
    Stale(Vec<(Charge, BudgetWindowId)>),
}

/// The error of a sum that cannot be stored.
pub(super) fn overflow() -> Error {
    Error::internal(Overflow)
}

/// A sum that cannot be stored.
#[derive(Debug, thiserror::Error)]
#[error("a sum is larger than can be stored")]
struct Overflow;

/// Whether an error says that a sum cannot be stored.
pub(super) fn is_overflow(error: &Error) -> bool {
    match error {
        Error::Internal(source) => source.is::<Overflow>(),
        // Out of range, or a check: SQLite makes a floating-point number of what does not fit.
        Error::Database(error) => {
            matches!(crate::error::database_code(error).as_deref(), Some("22003" | "275"))
        }
        _ => false,
    }
}

/// Does the work of a group in the transaction of a connection.
pub(super) async fn apply(
    db: &impl ConnectionTrait,
    deployment: &Deployment,
    mut group: Group,
) -> Result<Applied> {
    let now = deployment.clock.now();
    // Of a key of which nothing is known, only what was held for it.
    let settling = group
        .postings
        .iter()
        .map(|posting| (&posting.name, (!posting.is_known).then_some(posting.event.api_key_id)));
    let called = settling.chain(group.releases.iter().map(|name| (name, None)));
    let taken =
        if called.clone().next().is_some() { take(db, called).await? } else { HashMap::new() };
    for posting in &mut group.postings {
        if let Some(held) = taken.get(&posting.name)
            && held.attribution.api_key == posting.event.api_key_id
        {
            posting.charge(&held.attribution, held.windows.clone());
        }
    }
    let standing = Standing::make(db, &group, now).await?;
    let recorded = record(db, &mut group.postings).await?;
    let mut sums = Sums::default();
    for posting in fresh(&group.postings, &recorded) {
        sums.add(&posting.event, 1, posting.scopes.iter().copied())?;
    }
    sums.write(db).await?;
    let mut counters = Counters::lock(db, locks(&group, &taken, &standing), now).await?;
    let stale = stale(&group, &standing, &recorded, &counters);
    if !stale.is_empty() {
        return Ok(Applied::Stale(stale));
    }
    let newer = superseded(&group, &counters);
    if !newer.is_empty() {
        return Ok(Applied::Superseded(newer));
    }
    for held in taken.values().chain(standing.lapsed.values()) {
        for window in &held.windows {
            counters.let_go(*window, held.amount);
        }
    }
    for posting in fresh(&group.postings, &recorded) {
        for window in &posting.windows {
            counters.spend(*window, posting.event.cost)?;
        }
    }
    let reserved = standing.decide(&group.holdings, &mut counters);
    let refused = standing.refused(&group.holdings, &reserved);
    if !refused.is_empty() {
        unmake(db, refused.into_iter()).await?;
    }
    let meanwhile = Meanwhile {
        held: standing.granted(&group.holdings, &reserved).collect(),
        settled: fresh(&group.postings, &recorded)
            .map(|posting| &posting.name)
            .filter(|name| !taken.contains_key(name))
            .collect(),
    };
    let alerts = counters.write(db, &meanwhile).await?;
    raise(db, || deployment.clock.id(), &alerts, now).await?;
    let released = group.releases.iter().map(|name| taken.contains_key(name)).collect();
    Ok(Applied::Done(Outcome {
        verdicts: verdicts(&group.postings, &recorded, &taken),
        reserved,
        released,
    }))
}

/// The windows that a group reads or moves.
fn locks(
    group: &Group,
    taken: &HashMap<CallName, Taken>,
    standing: &Standing,
) -> impl Iterator<Item = BudgetWindowId> {
    let held = taken.values().chain(standing.lapsed.values()).flat_map(|held| held.windows.iter());
    let charged = group.postings.iter().flat_map(|posting| posting.windows.iter());
    let wanted = group
        .holdings
        .iter()
        .filter(|holding| standing.is_new(holding))
        .flat_map(|holding| holding.windows.iter().flatten());
    let all: std::collections::BTreeSet<_> = held.chain(charged).chain(wanted).copied().collect();
    all.into_iter()
}

/// The windows that were meant to be current and are not the newest of their counters: the clock
/// went back, or a period was changed a moment ago.
fn superseded(group: &Group, counters: &Counters) -> HashMap<BudgetWindowId, BudgetWindowId> {
    let newer = |id: BudgetWindowId| Some((id, counters.get(id)?.newer?));
    group.current().filter_map(newer).collect()
}

/// The charges that are new, and whose windows are not their budgets'. What is settled counts where
/// it was held, or nowhere if that budget is no more.
fn stale(
    group: &Group,
    standing: &Standing,
    recorded: &Recorded,
    counters: &Counters,
) -> Vec<(Charge, BudgetWindowId)> {
    let charged = fresh(&group.postings, recorded)
        .flat_map(|posting| posting.charges.iter().zip(posting.windows.iter().copied()));
    let holdings = group.holdings.iter().filter(|holding| standing.is_new(holding));
    let wanted = holdings
        .flat_map(|holding| holding.charges.iter().zip(&holding.windows))
        .filter_map(|(charge, id)| Some((charge, (*id)?)));
    let is_stale = |(charge, id): &(&Charge, BudgetWindowId)| match counters.get(*id) {
        Some(row) => row.budget != charge.budget && !group.moved.contains(&(charge.budget, *id)),
        None => true,
    };
    charged.chain(wanted).filter(is_stale).map(|(charge, id)| (charge.clone(), id)).collect()
}

impl Outcome {
    /// Takes on what came of further parts.
    pub(super) fn append(&mut self, mut other: Self) {
        self.verdicts.append(&mut other.verdicts);
        self.reserved.append(&mut other.reserved);
        self.released.append(&mut other.released);
    }
}

impl Group {
    /// Every part of it by itself, in its order.
    pub(super) fn parts(&self) -> impl Iterator<Item = Self> {
        let postings = self
            .postings
            .iter()
            .map(|posting| Self { postings: vec![posting.clone()], ..Self::default() });
        let holdings = self
            .holdings
            .iter()
            .map(|holding| Self { holdings: vec![holding.clone()], ..Self::default() });
        let releases = self
            .releases
            .iter()
            .map(|name| Self { releases: vec![name.clone()], ..Self::default() });
        postings.chain(holdings).chain(releases)
    }

    /// The windows that are meant to be current.
    pub(super) fn current(&self) -> impl Iterator<Item = BudgetWindowId> {
        let postings = self.postings.iter().filter(|posting| posting.is_current);
        let charged = postings.flat_map(|posting| posting.windows.iter());
        let held = self.holdings.iter().flat_map(|holding| holding.windows.iter().flatten());
        charged.chain(held).copied()
    }

    /// The calls of all its parts, with what they were charged to when they were judged.
    pub(super) fn calls(&self) -> Vec<Charged<'_>> {
        let postings = self.postings.iter().map(|posting| {
            let event = &posting.event;
            Charged::new(event.model_name(), event.authorized_at, posting.charges.clone())
        });
        let holdings = self.holdings.iter().map(|holding| {
            Charged::new(holding.model.as_deref(), holding.row.created_at, holding.charges.clone())
        });
        postings.chain(holdings).collect()
    }

    /// The same with what its calls are charged to now, in the order of these.
    pub(super) fn place(&mut self, charged: Vec<(Vec<Charge>, Vec<Option<BudgetWindowId>>)>) {
        let mut charged = charged.into_iter();
        for (posting, (charges, windows)) in self.postings.iter_mut().zip(&mut charged) {
            (posting.charges, posting.windows) = placed(charges, windows);
        }
        for (holding, (charges, windows)) in self.holdings.iter_mut().zip(charged) {
            holding.row.windows = windows.iter().flatten().copied().collect();
            holding.charges = charges;
            holding.windows = windows;
        }
    }

    /// The same without charges whose window a fork took along, where the fork is charged too: a call
    /// counts in a window once.
    pub(super) fn count_once(&mut self) {
        let postings = self.postings.iter().map(|posting| {
            let windows = posting.windows.iter().copied().map(Some).collect();
            (posting.charges.clone(), windows)
        });
        let holdings = self.holdings.iter();
        let held = holdings.map(|holding| (holding.charges.clone(), holding.windows.clone()));
        let all = postings.chain(held).map(|(charges, windows)| self.once(charges, windows));
        let all = all.collect();
        self.place(all);
    }

    fn once(
        &self,
        charges: Vec<Charge>,
        windows: Vec<Option<BudgetWindowId>>,
    ) -> (Vec<Charge>, Vec<Option<BudgetWindowId>>) {
        let is_moved = |charge: &Charge, window: &Option<BudgetWindowId>| {
            window.is_some_and(|id| self.moved.contains(&(charge.budget, id)))
        };
        let both = charges.iter().zip(&windows);
        let mut counted: HashSet<_> = both
            .filter(|(charge, window)| !is_moved(charge, window))
            .filter_map(|(_, window)| *window)
            .collect();
        let both = charges.into_iter().zip(windows);
        both.filter(|(charge, window)| {
            !is_moved(charge, window) || window.is_some_and(|id| counted.insert(id))
        })
        .unzip()
    }

    /// The same with other windows in the place of some.
    pub(super) fn redirect(&mut self, newer: &HashMap<BudgetWindowId, BudgetWindowId>) {
        let redirect = |id: &mut BudgetWindowId| {
            if let Some(newer) = newer.get(id) {
                *id = *newer;
            }
        };
        for posting in self.postings.iter_mut().filter(|posting| posting.is_current) {
            posting.windows.iter_mut().for_each(redirect);
        }
        for holding in &mut self.holdings {
            holding.windows.iter_mut().flatten().for_each(redirect);
            holding.row.windows.iter_mut().for_each(redirect);
        }
    }
}

/// What stands under the request ids of the postings of a group.
struct Recorded {
    new: HashSet<UsageEventId>,
    present: HashMap<CallName, Kept>,
}

/// An event that is recorded.
#[derive(Clone, Copy, Debug)]
struct Kept {
    id: UsageEventId,
    hash: Uuid,
    cost: Usd,
    source: CostSource,
}

/// The postings that this transaction recorded.
fn fresh<'a>(postings: &'a [Posting], recorded: &'a Recorded) -> impl Iterator<Item = &'a Posting> {
    postings.iter().filter(|posting| recorded.new.contains(&posting.event.id))
}

/// Records those postings whose request ids are not taken.
async fn record(db: &impl ConnectionTrait, postings: &mut [Posting]) -> Result<Recorded> {
    for posting in postings.iter_mut() {
        posting.event.window_ids = Ids(posting.windows.iter().map(|id| id.uuid()).collect());
    }
    // In one order, and of several with one request id the first.
    let mut wanted: BTreeMap<&CallName, &usage_event::Model> = BTreeMap::new();
    for posting in postings.iter().filter(|posting| posting.is_known) {
        wanted.entry(&posting.name).or_insert(&posting.event);
    }
    let mut recorded = Recorded { new: HashSet::new(), present: HashMap::new() };
    if !wanted.is_empty() {
        let rows: Vec<_> = wanted.values().copied().collect();
        recorded.new = insert(db, &rows).await?.into_iter().collect();
        let taken = wanted.iter().filter(|(_, event)| !recorded.new.contains(&event.id));
        let taken: Vec<_> = taken.map(|(name, _)| *name).collect();
        if !taken.is_empty() {
            recorded.present = kept(db, taken.iter().copied()).await?;
        }
    }
    let new = postings.iter().filter(|posting| recorded.new.contains(&posting.event.id));
    let new: Vec<_> = new.map(|posting| (posting.name.clone(), Kept::of(&posting.event))).collect();
    recorded.present.extend(new);
    Ok(recorded)
}

impl Kept {
    fn of(event: &usage_event::Model) -> Self {
        Self { id: event.id, hash: event.payload_hash, cost: event.cost, source: event.cost_source }
    }
}

fn verdicts(
    postings: &[Posting],
    recorded: &Recorded,
    taken: &HashMap<CallName, Taken>,
) -> Vec<Verdict> {
    let verdict = |posting: &Posting| {
        let request = &posting.event.request_id;
        let Some(kept) = recorded.present.get(&posting.name) else {
            return Verdict::fault(request, Code::NotFound, "apiKeyId", NO_KEY);
        };
        let code = if kept.id == posting.event.id {
            Code::Recorded
        } else if kept.hash == posting.event.payload_hash {
            Code::Duplicate
        } else {
            let message = "another event with this request id was recorded before";
            return Verdict::fault(request, Code::Conflict, "requestId", message);
        };
        let cost = Some((kept.cost, kept.source));
        let is_counted = code == Code::Recorded && !posting.token_limits.is_empty();
        let tokens = is_counted.then(|| Box::new(token_use(posting, taken.get(&posting.name))));
        Verdict { event: Some(kept.id), cost, tokens, ..Verdict::new(request, code) }
    };
    postings.iter().map(verdict).collect()
}

/// The tokens of an event that is recorded now.
fn token_use(posting: &Posting, held: Option<&Taken>) -> TokenUse {
    let event = &posting.event;
    let used = event.input_tokens.saturating_add(event.output_tokens);
    TokenUse {
        limits: posting.token_limits.clone(),
        used: u64::try_from(used).unwrap_or_default(),
        counted: held.map(|held| (u64::try_from(held.tokens.0).unwrap_or_default(), held.tokens.1)),
    }
}

async fn kept(
    db: &impl ConnectionTrait,
    names: impl Iterator<Item = &CallName> + Clone,
) -> Result<HashMap<CallName, Kept>> {
    let statement = named(names).statement(
        db.get_database_backend(),
        "SELECT e.gateway_id, e.request_id, e.id, e.payload_hash, e.cost, e.cost_source FROM v \
         JOIN usage_events e ON e.gateway_id = v.gateway AND e.request_id = v.request",
    );
    let rows = db.query_all_raw(statement).await?;
    let kept = rows.iter().map(|row| {
        let kept = Kept {
            id: UsageEventId::from_uuid(row.try_get("", "id")?),
            hash: row.try_get("", "payload_hash")?,
            cost: row.try_get("", "cost")?,
            source: row.try_get("", "cost_source")?,
        };
        Ok((name_of(row)?, kept))
    });
    kept.collect()
}

/// Inserts events whose request ids are not taken, and returns the ids of those. It waits for
/// transactions that are about to take one.
pub(super) async fn insert(
    db: &impl ConnectionTrait,
    events: &[&usage_event::Model],
) -> Result<Vec<UsageEventId>> {
    const COLUMNS: &str = "id, kind, gateway_id, request_id, payload_hash, api_key_id, \
        organization_id, team_id, team_membership_id, project_id, user_id, end_user_id, end_user, \
        tags, tag_ids, model, provider, input_tokens, cache_read_tokens, cache_write_tokens, \
        output_tokens, reasoning_tokens, cost, cost_source, price_ref, authorized_at, \
        occurred_at, recorded_at, window_ids, corrects_id, reason";
    let id = |id: fn(&usage_event::Model) -> Option<Uuid>| events.iter().map(move |row| id(row));
    let text = |text: fn(&usage_event::Model) -> &Option<String>| {
        events.iter().map(move |row| text(row).clone())
    };
    let number = |number: fn(&usage_event::Model) -> i64| events.iter().map(move |row| number(row));
    let bulk = Bulk::new()
        .uuid("id", events.iter().map(|row| row.id.uuid()))
        .text("kind", events.iter().map(|row| row.kind.to_value()))
        .uuid("gateway_id", events.iter().map(|row| row.gateway_id.uuid()))
        .text("request_id", events.iter().map(|row| row.request_id.clone()))
        .uuid("payload_hash", events.iter().map(|row| row.payload_hash))
        .uuid("api_key_id", events.iter().map(|row| row.api_key_id.uuid()))
        .uuid_or_null("organization_id", id(|row| row.organization_id.map(Id::uuid)))
        .uuid_or_null("team_id", id(|row| row.team_id.map(Id::uuid)))
        .uuid_or_null("team_membership_id", id(|row| row.team_membership_id.map(Id::uuid)))
        .uuid_or_null("project_id", id(|row| row.project_id.map(Id::uuid)))
        .uuid_or_null("user_id", id(|row| row.user_id.map(Id::uuid)))
        .uuid_or_null("end_user_id", id(|row| row.end_user_id.map(Id::uuid)))
        .text_or_null("end_user", text(|row| &row.end_user))
        .json("tags", events.iter().map(|row| tags_json(row)))
        .bytes("tag_ids", events.iter().map(|row| row.tag_ids.to_bytes()))
        .text("model", events.iter().map(|row| row.model.clone()))
        .text_or_null("provider", text(|row| &row.provider))
        .big_int("input_tokens", number(|row| row.input_tokens))
        .big_int("cache_read_tokens", number(|row| row.cache_read_tokens))
        .big_int("cache_write_tokens", number(|row| row.cache_write_tokens))
        .big_int("output_tokens", number(|row| row.output_tokens))
        .big_int("reasoning_tokens", number(|row| row.reasoning_tokens))
        .big_int("cost", number(|row| row.cost.nanos()))
        .text("cost_source", events.iter().map(|row| row.cost_source.to_value()))
        .text_or_null("price_ref", text(|row| &row.price_ref))
        .instant("authorized_at", events.iter().map(|row| row.authorized_at))
        .instant("occurred_at", events.iter().map(|row| row.occurred_at))
        .instant("recorded_at", events.iter().map(|row| row.recorded_at))
        .bytes("window_ids", events.iter().map(|row| row.window_ids.to_bytes()))
        .uuid_or_null("corrects_id", id(|row| row.corrects_id.map(Id::uuid)))
        .text_or_null("reason", text(|row| &row.reason));
    let rest = format!(
        "INSERT INTO usage_events ({COLUMNS}) SELECT {COLUMNS} FROM v WHERE true \
         ON CONFLICT (gateway_id, request_id) DO NOTHING RETURNING id"
    );
    let statement = bulk.statement(db.get_database_backend(), &rest);
    let rows = db.query_all_raw(statement).await?;
    rows.iter().map(|row| Ok(UsageEventId::from_uuid(row.try_get("", "id")?))).collect()
}

/// Stores warnings, and tells those who follow the change log.
pub(super) async fn raise(
    db: &impl ConnectionTrait,
    id: impl Fn() -> BudgetAlertId,
    alerts: &[Alert],
    now: DateTime<Utc>,
) -> Result<()> {
    if alerts.is_empty() {
        return Ok(());
    }
    let ids: Vec<BudgetAlertId> = alerts.iter().map(|_| id()).collect();
    let backend = db.get_database_backend();
    let statement = Bulk::new()
        .uuid("id", ids.iter().map(|id| id.uuid()))
        .uuid("budget_window_id", alerts.iter().map(|alert| alert.window.uuid()))
        .uuid("budget_id", alerts.iter().map(|alert| alert.budget.uuid()))
        .uuid("scope_id", alerts.iter().map(|alert| alert.counter))
        .text("threshold", alerts.iter().map(|alert| alert.threshold.to_value()))
        .big_int("spent", alerts.iter().map(|alert| alert.spent.nanos()))
        .big_int("threshold_spend", alerts.iter().map(|alert| alert.at.nanos()))
        .instant("raised_at", alerts.iter().map(|_| now))
        .statement(
            backend,
            "INSERT INTO budget_alerts (id, budget_window_id, budget_id, scope_id, threshold, \
             spent, threshold_spend, raised_at) SELECT id, budget_window_id, budget_id, scope_id, \
             threshold, spent, threshold_spend, raised_at FROM v",
        );
    db.execute_raw(statement).await?;
    let statement = Bulk::new()
        .text("entity_kind", ids.iter().map(|_| EntityKind::BudgetAlert.to_value()))
        .uuid("entity_id", ids.iter().map(|id| id.uuid()))
        .instant("occurred_at", ids.iter().map(|_| now))
        .statement(
            backend,
            "INSERT INTO change_log (entity_kind, entity_id, occurred_at) \
             SELECT entity_kind, entity_id, occurred_at FROM v",
        );
    db.execute_raw(statement).await?;
    Ok(())
}
