//! The sums that are kept of events: the daily roll-up, and the totals of scopes. Both are added up
//! in memory first, and written in one order.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use entity::id::{Id, UsageDayId};
use entity::usage_event;
use entity::value::Usd;
use sea_orm::{ActiveEnum, ConnectionTrait};
use uuid::Uuid;

use super::cost::Tokens;
use super::post::overflow;
use super::report::digest;
use crate::db::bulk::Bulk;
use crate::domain::scope::Scope;
use crate::error::Result;

/// What was used and spent.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    requests: i64,
    tokens: Tokens,
    spent: Usd,
}

impl Sum {
    fn add(&mut self, requests: i64, event: &usage_event::Model) -> Result<()> {
        let add = |sum: i64, more: i64| sum.checked_add(more).ok_or_else(overflow);
        let tokens = self.tokens;
        self.requests = add(self.requests, requests)?;
        self.tokens = Tokens {
            input: add(tokens.input, event.input_tokens)?,
            cache_read: add(tokens.cache_read, event.cache_read_tokens)?,
            cache_write: add(tokens.cache_write, event.cache_write_tokens)?,
            output: add(tokens.output, event.output_tokens)?,
            reasoning: add(tokens.reasoning, event.reasoning_tokens)?,
        };
        self.spent = self.spent.checked_add(event.cost).ok_or_else(overflow)?;
        Ok(())
    }
}

/// Sums that are about to be written.
#[derive(Debug, Default)]
pub(super) struct Sums<'a> {
    days: BTreeMap<UsageDayId, (NaiveDate, &'a usage_event::Model, Sum)>,
    scopes: BTreeMap<Scope, Sum>,
}

impl<'a> Sums<'a> {
    /// Adds an event, which stands for so many calls, to its day and to scopes.
    pub(super) fn add(
        &mut self,
        event: &'a usage_event::Model,
        requests: i64,
        scopes: impl Iterator<Item = Scope>,
    ) -> Result<()> {
        let fresh = (event.occurred_at.date_naive(), event, Sum::default());
        let (_, _, sum) = self.days.entry(day_of(event)).or_insert(fresh);
        sum.add(requests, event)?;
        for scope in scopes {
            self.scopes.entry(scope).or_default().add(requests, event)?;
        }
        Ok(())
    }

    /// Writes the sums.
    pub(super) async fn write(self, db: &impl ConnectionTrait) -> Result<()> {
        if self.days.is_empty() {
            return Ok(());
        }
        write_days(db, &self.days).await?;
        write_scopes(db, &self.scopes).await
    }

    /// Writes the sums of corrections, whose rows are there and may be taken from.
    pub(super) async fn correct(self, db: &impl ConnectionTrait) -> Result<()> {
        let days = Bulk::new()
            .uuid("id", self.days.keys().map(|id| id.uuid()))
            .big_int("spent", self.days.values().map(|(_, _, sum)| sum.spent.nanos()))
            .statement(
                db.get_database_backend(),
                "UPDATE usage_daily SET spent = usage_daily.spent + v.spent FROM v \
                 WHERE usage_daily.id = v.id",
            );
        db.execute_raw(days).await?;
        let scopes = Bulk::new()
            .uuid("scope", self.scopes.keys().map(|scope| scope.id))
            .text("kind", self.scopes.keys().map(|scope| scope.kind.to_value()))
            .big_int("spent", self.scopes.values().map(|sum| sum.spent.nanos()))
            .statement(
                db.get_database_backend(),
                "UPDATE spend_totals SET spent = spend_totals.spent + v.spent FROM v \
                 WHERE spend_totals.scope_id = v.scope AND spend_totals.scope_kind = v.kind",
            );
        db.execute_raw(scopes).await?;
        Ok(())
    }
}

/// The row of the roll-up to which an event is added: its id is what its dimensions are, in short.
pub(crate) fn day_of(event: &usage_event::Model) -> UsageDayId {
    let id = |id: Option<Uuid>| id.map(|id| id.simple().to_string());
    let fields = [
        Some(event.occurred_at.date_naive().to_string()),
        id(Some(event.api_key_id.uuid())),
        id(event.organization_id.map(Id::uuid)),
        id(event.team_id.map(Id::uuid)),
        id(event.project_id.map(Id::uuid)),
        id(event.user_id.map(Id::uuid)),
        id(event.end_user_id.map(Id::uuid)),
        event.end_user.clone(),
        Some(event.model.clone()),
        event.provider.clone(),
    ];
    let tags = event.tags.0.iter().map(|tag| Some(tag.as_str()));
    let fields = fields.iter().map(Option::as_deref).chain(tags);
    UsageDayId::from_uuid(digest("usage day", fields))
}

async fn write_days(
    db: &impl ConnectionTrait,
    days: &BTreeMap<UsageDayId, (NaiveDate, &usage_event::Model, Sum)>,
) -> Result<()> {
    let of = |id: fn(&usage_event::Model) -> Option<Uuid>| {
        days.values().map(move |(_, event, _)| id(event))
    };
    let sum = |part: fn(&Sum) -> i64| days.values().map(move |(_, _, sum)| part(sum));
    let bulk = Bulk::new()
        .uuid("id", days.keys().map(|id| id.uuid()))
        .date("day", days.values().map(|(day, ..)| *day))
        .uuid("api_key_id", days.values().map(|(_, event, _)| event.api_key_id.uuid()))
        .uuid_or_null("organization_id", of(|event| event.organization_id.map(Id::uuid)))
        .uuid_or_null("team_id", of(|event| event.team_id.map(Id::uuid)))
        .uuid_or_null("project_id", of(|event| event.project_id.map(Id::uuid)))
        .uuid_or_null("user_id", of(|event| event.user_id.map(Id::uuid)))
        .uuid_or_null("end_user_id", of(|event| event.end_user_id.map(Id::uuid)))
        .text_or_null("end_user", days.values().map(|(_, event, _)| event.end_user.clone()))
        .json("tags", days.values().map(|(_, event, _)| tags_json(event)))
        .text("model", days.values().map(|(_, event, _)| event.model.clone()))
        .text_or_null("provider", days.values().map(|(_, event, _)| event.provider.clone()))
        .big_int("requests", sum(|sum| sum.requests))
        .big_int("input_tokens", sum(|sum| sum.tokens.input))
        .big_int("cache_read_tokens", sum(|sum| sum.tokens.cache_read))
        .big_int("cache_write_tokens", sum(|sum| sum.tokens.cache_write))
        .big_int("output_tokens", sum(|sum| sum.tokens.output))
        .big_int("reasoning_tokens", sum(|sum| sum.tokens.reasoning))
        .big_int("spent", sum(|sum| sum.spent.nanos()));
    let statement = bulk.statement(
        db.get_database_backend(),
        "INSERT INTO usage_daily (id, day, api_key_id, organization_id, team_id, project_id, \
         user_id, end_user_id, end_user, tags, model, provider, requests, input_tokens, \
         cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, spent) \
         SELECT id, day, api_key_id, organization_id, team_id, project_id, \
         user_id, end_user_id, end_user, tags, model, provider, requests, input_tokens, \
         cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, spent \
         FROM v WHERE true ON CONFLICT (id) DO UPDATE SET \
         requests = usage_daily.requests + excluded.requests, \
         input_tokens = usage_daily.input_tokens + excluded.input_tokens, \
         cache_read_tokens = usage_daily.cache_read_tokens + excluded.cache_read_tokens, \
         cache_write_tokens = usage_daily.cache_write_tokens + excluded.cache_write_tokens, \
         output_tokens = usage_daily.output_tokens + excluded.output_tokens, \
         reasoning_tokens = usage_daily.reasoning_tokens + excluded.reasoning_tokens, \
         spent = usage_daily.spent + excluded.spent",
    );
    db.execute_raw(statement).await?;
    Ok(())
}

async fn write_scopes(db: &impl ConnectionTrait, scopes: &BTreeMap<Scope, Sum>) -> Result<()> {
    let sum = |part: fn(&Sum) -> i64| scopes.values().map(part);
    let bulk = Bulk::new()
        .uuid("scope_id", scopes.keys().map(|scope| scope.id))
        .text("scope_kind", scopes.keys().map(|scope| scope.kind.to_value()))
        .big_int("requests", sum(|sum| sum.requests))
        .big_int("input_tokens", sum(|sum| sum.tokens.input))
        .big_int("output_tokens", sum(|sum| sum.tokens.output))
        .big_int("spent", sum(|sum| sum.spent.nanos()));
    let statement = bulk.statement(
        db.get_database_backend(),
        "INSERT INTO spend_totals (scope_id, scope_kind, requests, input_tokens, output_tokens, \
         spent) SELECT scope_id, scope_kind, requests, input_tokens, output_tokens, spent \
         FROM v WHERE true ON CONFLICT (scope_id, scope_kind) DO UPDATE SET \
         requests = spend_totals.requests + excluded.requests, \
         input_tokens = spend_totals.input_tokens + excluded.input_tokens, \
         output_tokens = spend_totals.output_tokens + excluded.output_tokens, \
         spent = spend_totals.spent + excluded.spent",
    );
    db.execute_raw(statement).await?;
    Ok(())
}

/// The labels of an event in the form in which they are stored.
pub(super) fn tags_json(event: &usage_event::Model) -> String {
    serde_json::to_string(&event.tags).unwrap_or_else(|_| "[]".to_owned())
}
