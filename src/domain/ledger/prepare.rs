//! What is worked out of reports before a transaction begins: whom each is charged to, in which
//! windows, and what it cost. Nothing here holds a lock.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use entity::id::{ApiKeyId, BudgetId, BudgetWindowId, Id, ModelId, UsageEventId};
use entity::role::{CostSource, UsageKind};
use entity::value::{Ids, Words};
use entity::{llm_model, usage_event};
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use super::attribution::{Attribution, Caller, Found, bound, find};
use super::cost::{Call, Priced, price};
use super::report::Checked;
use super::reservation::CallName;
use super::window::{Charged, Windows};
use super::{Charge, Code, Verdict, charges};
use crate::db::Deployment;
use crate::db::bulk::Bulk;
use crate::domain::access::decision::is_bound;
use crate::domain::access::facts::BoundBudget;
use crate::domain::model_access::covers;
use crate::domain::scope::Scope;
use crate::error::Result;

/// A report that waits, with the key of the gateway that sent it.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) gateway: ApiKeyId,
    pub(super) report: Checked,
}

/// An event that is ready to be recorded.
#[derive(Clone, Debug)]
pub(super) struct Posting {
    pub(super) name: CallName,
    pub(super) event: usage_event::Model,
    /// The scopes whose totals grow.
    pub(super) scopes: Vec<Scope>,
    /// The windows that are charged.
    pub(super) windows: Vec<BudgetWindowId>,
    /// What these windows are, unless a reservation says it.
    pub(super) charges: Vec<Charge>,
    /// The budgets with limits of tokens a minute, and what counts.
    pub(super) token_limits: Vec<(BudgetId, Uuid)>,
    /// Whether anything is known of the key; else only a reservation can say whom to charge.
    pub(super) is_known: bool,
    /// Whether the newest windows are meant, whatever the clock says.
    pub(super) is_current: bool,
}

impl Posting {
    /// Charges the event as its call was when it was let through.
    pub(super) fn charge(&mut self, attribution: &Attribution, windows: Vec<BudgetWindowId>) {
        let event = &mut self.event;
        event.organization_id = attribution.organization;
        event.team_id = attribution.team;
        event.team_membership_id = attribution.membership;
        event.project_id = attribution.project;
        event.user_id = attribution.user;
        event.end_user_id = attribution.end_user;
        event.tag_ids = Ids(attribution.tags.iter().map(|tag| tag.uuid()).collect());
        self.scopes = attribution.scopes().collect();
        self.windows = windows;
        self.charges = Vec::new();
        self.is_known = true;
        self.is_current = false;
    }
}

/// Makes reports ready to be recorded; the verdicts on those that cannot be.
pub(super) async fn prepare(
    deployment: &Deployment,
    windows: &Windows,
    waiting: &[Waiting],
) -> Result<Vec<Result<Posting, Verdict>>> {
    let db = deployment.database.checking();
    let keys = keys(db, waiting).await?;
    let callers: Vec<_> = waiting.iter().zip(&keys).map(caller).collect();
    let asked: Vec<_> = callers.iter().flatten().copied().collect();
    let mut found = find(db, &asked).await?.into_iter();
    let found: Vec<Option<Found>> =
        callers.iter().map(|caller| caller.and_then(|_| found.next().flatten())).collect();
    let scopes: BTreeSet<Scope> =
        found.iter().flatten().flat_map(|found| found.bound.iter().copied()).collect();
    let budgets = bound(db, &scopes).await?;
    let (charges, limits): (Vec<Vec<Charge>>, Vec<_>) = waiting
        .iter()
        .zip(&found)
        .map(|(waiting, found)| {
            let report = &waiting.report;
            let bound = found.iter().flat_map(|found| &found.bound);
            let budgets = bound.filter_map(|scope| budgets.get(scope)).flatten();
            let model = report.report.model.as_deref();
            let limits = token_limits(budgets.clone(), model);
            (charges(budgets, model, report.authorized_at), limits)
        })
        .unzip();
    let mut calls: Vec<_> = waiting.iter().zip(charges).map(charged).collect();
    windows.place(&mut calls).await?;
    let deployments = Deployments::find(db, waiting).await?;
    let now = deployment.clock.now();
    let placed = calls.into_iter().map(Charged::parts);
    let placed = placed.map(|(charges, windows)| self::placed(charges, windows));
    let ready = waiting.iter().zip(keys).zip(found.into_iter().zip(placed.zip(limits)));
    Ok(ready
        .map(|((waiting, key), (found, ((charges, windows), limits)))| {
            let key = key?;
            let id = deployment.clock.id();
            let posting = posting(id, now, waiting, key, found, windows, &deployments);
            Ok(Posting { charges, token_limits: limits, ..posting })
        })
        .collect())
}

fn charged((waiting, charges): (&Waiting, Vec<Charge>)) -> Charged<'_> {
    let report = &waiting.report;
    Charged::new(report.report.model.as_deref(), report.authorized_at, charges)
}

/// The charges whose budgets are still there, and their windows.
pub(super) fn placed(
    charges: Vec<Charge>,
    windows: Vec<Option<BudgetWindowId>>,
) -> (Vec<Charge>, Vec<BudgetWindowId>) {
    charges.into_iter().zip(windows).filter_map(|(charge, id)| Some((charge, id?))).unzip()
}

/// The budgets that limit the tokens of a model's calls in a minute, each counter once.
fn token_limits<'a>(
    budgets: impl Iterator<Item = &'a BoundBudget>,
    model: Option<&str>,
) -> Vec<(BudgetId, Uuid)> {
    let limited =
        |bound: &&BoundBudget| bound.budget.tokens_per_minute.is_some() && is_bound(bound, model);
    let all: BTreeSet<_> =
        budgets.filter(limited).map(|bound| (bound.budget.id, bound.counter)).collect();
    all.into_iter().collect()
}

/// What is looked up of a report whose key has a name.
fn caller<'a>((waiting, key): (&'a Waiting, &Result<ApiKeyId, Verdict>)) -> Option<Caller<'a>> {
    let report = &waiting.report.report;
    let (end_user, tags) = (report.end_user.as_deref(), report.tags.as_slice());
    key.as_ref().ok().map(|key| Caller { key: *key, end_user, tags })
}

fn posting(
    id: UsageEventId,
    now: DateTime<Utc>,
    waiting: &Waiting,
    key: ApiKeyId,
    found: Option<Found>,
    windows: Vec<BudgetWindowId>,
    deployments: &Deployments,
) -> Posting {
    let checked = &waiting.report;
    let report = &checked.report;
    let is_known = found.is_some();
    let (attribution, labels) = if let Some(found) = found {
        (found.attribution, found.labels)
    } else {
        let labels: BTreeSet<_> = report.tags.iter().cloned().collect();
        (Attribution::of_key(key), Words(labels.into_iter().collect()))
    };
    let model = report.model.as_deref();
    let deployment = deployments.of(checked.model_id, model, &attribution);
    let priced = match checked.cost {
        Some(cost) => Priced { cost, source: CostSource::Reported, price: None },
        None => price(
            &Call {
                model,
                provider: report.provider.as_deref(),
                tokens: report.tokens,
                at: checked.occurred_at,
            },
            deployment,
        ),
    };
    let provider = report.provider.clone().or(deployment.map(|model| model.provider.clone()));
    let event = usage_event::Model {
        id,
        kind: UsageKind::Usage,
        gateway_id: waiting.gateway,
        request_id: report.request_id.clone(),
        payload_hash: checked.hash,
        api_key_id: key,
        organization_id: None,
        team_id: None,
        team_membership_id: None,
        project_id: None,
        user_id: None,
        end_user_id: None,
        end_user: report.end_user.clone(),
        tags: labels,
        tag_ids: Ids::default(),
        model: report.model.clone().unwrap_or_default(),
        provider,
        input_tokens: report.tokens.input,
        cache_read_tokens: report.tokens.cache_read,
        cache_write_tokens: report.tokens.cache_write,
        output_tokens: report.tokens.output,
        reasoning_tokens: report.tokens.reasoning,
        cost: priced.cost,
        cost_source: priced.source,
        price_ref: priced.price,
        authorized_at: checked.authorized_at,
        occurred_at: checked.occurred_at,
        recorded_at: now,
        window_ids: Ids::default(),
        corrects_id: None,
        reason: None,
    };
    let name = (waiting.gateway, report.request_id.clone());
    let mut posting = Posting {
        name,
        event,
        scopes: Vec::new(),
        windows: Vec::new(),
        charges: Vec::new(),
        token_limits: Vec::new(),
        is_known,
        is_current: false,
    };
    posting.charge(&attribution, windows);
    posting.is_known = is_known;
    posting.is_current = checked.is_current;
    posting
}

/// The keys that reports name: by id, or by an external id that only one key has.
async fn keys(
    db: &impl ConnectionTrait,
    waiting: &[Waiting],
) -> Result<Vec<Result<ApiKeyId, Verdict>>> {
    let external: BTreeSet<&str> =
        waiting.iter().filter_map(|waiting| waiting.report.report.api_key.external()).collect();
    let mut named: HashMap<String, Vec<ApiKeyId>> = HashMap::new();
    if !external.is_empty() {
        let statement =
            Bulk::new().text("name", external.iter().map(|name| (*name).to_owned())).statement(
                db.get_database_backend(),
                "SELECT k.id, k.external_id FROM v JOIN api_keys k ON k.external_id = v.name",
            );
        for row in db.query_all_raw(statement).await? {
            let id = ApiKeyId::from_uuid(row.try_get("", "id")?);
            named.entry(row.try_get("", "external_id")?).or_default().push(id);
        }
    }
    let key = |waiting: &Waiting| {
        let report = &waiting.report.report;
        let fault =
            |code, message: &str| Verdict::fault(&report.request_id, code, "apiKeyId", message);
        // The nil id is nobody's, and stands for none in statements.
        let id = report.api_key.id::<ApiKeyId>();
        if let Some(id) = id.filter(|id| !id.uuid().is_nil()) {
            return Ok(id);
        }
        let found = report.api_key.external().and_then(|name| named.get(name));
        match found.map(Vec::as_slice) {
            Some([id]) => Ok(*id),
            Some([_, _, ..]) => {
                Err(fault(Code::Invalid, "several keys have this external id: use the id"))
            }
            _ => Err(fault(Code::NotFound, NO_KEY)),
        }
    };
    Ok(waiting.iter().map(key).collect())
}

/// What is said of a key that nobody knows.
pub(super) const NO_KEY: &str = "no such API key";

/// The models that can have answered calls of which no cost was reported.
struct Deployments(Vec<llm_model::Model>);

impl Deployments {
    async fn find(db: &impl ConnectionTrait, waiting: &[Waiting]) -> Result<Self> {
        let unpriced = || waiting.iter().filter(|waiting| waiting.report.cost.is_none());
        let names: BTreeSet<_> =
            unpriced().filter_map(|waiting| waiting.report.report.model.clone()).collect();
        let ids: BTreeSet<_> = unpriced().filter_map(|waiting| waiting.report.model_id).collect();
        let backend = db.get_database_backend();
        let mut rows = Vec::new();
        if !names.is_empty() {
            let rest = "SELECT m.* FROM models m WHERE m.name IN (SELECT v.name FROM v) \
                        OR m.name LIKE '%*%' ORDER BY m.id";
            rows.extend(
                db.query_all_raw(
                    Bulk::new().text("name", names.into_iter()).statement(backend, rest),
                )
                .await?,
            );
        }
        if !ids.is_empty() {
            let rest = "SELECT m.* FROM v JOIN models m ON m.id = v.id ORDER BY m.id";
            let ids = ids.into_iter().map(Id::uuid);
            rows.extend(
                db.query_all_raw(Bulk::new().uuid("id", ids).statement(backend, rest)).await?,
            );
        }
        let models = rows.iter().map(|row| llm_model::Model::from_query_result(row, ""));
        Ok(Self(models.collect::<Result<_, _>>()?))
    }

    /// The model that answered: the one that the report names, else one of the team's own with the
    /// name, else one of the platform's, else one whose name stands for it; of several, the first with
    /// prices of its own.
    fn of(
        &self,
        id: Option<ModelId>,
        name: Option<&str>,
        attribution: &Attribution,
    ) -> Option<&llm_model::Model> {
        let named = self.0.iter().find(|model| Some(model.id) == id);
        let mine = self.0.iter().filter(|model| {
            name.is_some_and(|name| covers(&model.name, name))
                && (model.team_id.is_none() || model.team_id == attribution.team)
        });
        let rank = |model: &&llm_model::Model| {
            let has_prices = model.input_price.is_some() || model.output_price.is_some();
            let stands_for_it = Some(model.name.as_str()) != name;
            (stands_for_it, model.team_id.is_none(), !has_prices, model.id)
        };
        named.or_else(|| mine.min_by_key(rank))
    }
}
