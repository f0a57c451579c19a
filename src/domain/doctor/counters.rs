//! Counters against what they count: the windows of budgets, the totals of scopes and the daily roll-up
//! are sums of events and reservations. They are added up anew by the functions that the ledger uses,
//! for a limited number of counters at a time.

use std::fmt::Write as _;

use entity::id::{Id, UsageDayId};
use entity::role::{ScopeKind, UsageKind};
use entity::value::Usd;
use entity::{budget_window, reservation, spend_total, usage_day, usage_event};
use sea_orm::sea_query::{Expr, ExprTrait, Order, Query};
use sea_orm::{ActiveEnum, ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use super::rows::{Pages, ROWS};
use super::sums::Sums;
use super::{Examination, Kind};
use crate::domain::ledger::{Attribution, day_of};
use crate::domain::scope::Scope;
use crate::error::Result;

/// The numbers of a window.
const WINDOW: usize = 2;

/// The numbers of a total, as users know them.
const TOTAL: [&str; 4] = ["requests", "inputTokens", "outputTokens", "spend"];

/// The numbers of a row of the roll-up.
const DAY: [&str; 7] = [
    "requests",
    "inputTokens",
    "outputTokens",
    "cacheReadTokens",
    "cacheWriteTokens",
    "reasoningTokens",
    "spend",
];

/// What all events add up to.
struct Counted {
    windows: Sums<WINDOW>,
    totals: Sums<{ TOTAL.len() }>,
    days: Sums<{ DAY.len() }>,
}

impl Counted {
    fn event(&mut self, event: &usage_event::Model) {
        let cost = i128::from(event.cost.nanos());
        for window in &event.window_ids.0 {
            self.windows.add(*window, "", [cost, 0]);
        }
        // A correction is no call.
        let requests = i128::from(event.kind == UsageKind::Usage);
        let [input, output] = [event.input_tokens, event.output_tokens].map(i128::from);
        for scope in Attribution::of_event(event).scopes() {
            self.totals.add(scope.id, &scope.kind.to_value(), [requests, input, output, cost]);
        }
        let [read, written, reasoning] =
            [event.cache_read_tokens, event.cache_write_tokens, event.reasoning_tokens]
                .map(i128::from);
        let numbers = [requests, input, output, read, written, reasoning, cost];
        self.days.add(day_of(event).uuid(), "", numbers);
    }

    fn reservation(&mut self, held: &reservation::Model) {
        for window in &held.window_ids.0 {
            self.windows.add(*window, "", [0, i128::from(held.amount.nanos())]);
        }
    }

    fn is_over(&self) -> bool {
        self.windows.is_over() && self.totals.is_over() && self.days.is_over()
    }
}

impl<C: ConnectionTrait> Examination<'_, C> {
    /// Compares all counters with the events and reservations that they count.
    pub(super) async fn counters(&mut self) -> Result<()> {
        let mut counted = Counted { windows: Sums::new(), totals: Sums::new(), days: Sums::new() };
        let mut is_first = true;
        while !counted.is_over() {
            let mut events = Pages::<usage_event::Entity>::again(!is_first);
            while let Some(page) = events.next(self).await? {
                for event in &page {
                    counted.event(event);
                }
            }
            let mut held = Pages::<reservation::Entity>::again(!is_first);
            while let Some(page) = held.next(self).await? {
                for held in &page {
                    counted.reservation(held);
                }
            }
            is_first = false;
            self.windows_counted(&mut counted.windows).await?;
            self.totals_counted(&mut counted.totals).await?;
            self.days_counted(&mut counted.days).await?;
        }
        Ok(())
    }

    async fn windows_counted(&mut self, sums: &mut Sums<WINDOW>) -> Result<()> {
        if sums.is_over() {
            return Ok(());
        }
        // Their rows are examined elsewhere.
        let mut pages = Pages::<budget_window::Entity>::again(true).within(sums.span());
        while let Some(page) = pages.next(self).await? {
            for row in page {
                let [spent, reserved] = sums.take(row.id.uuid(), "");
                let ids = || vec![row.id.to_string(), row.budget_id.to_string()];
                if i128::from(row.spent.nanos()) != spent {
                    let message = format!(
                        "{} is counted as spent, and the events of the window cost {}",
                        row.spent,
                        usd(spent)
                    );
                    self.found(Kind::WindowSpentDiffers, message, ids());
                }
                if i128::from(row.reserved.nanos()) != reserved {
                    let message = format!(
                        "{} is counted as held, and the reservations of the window hold {}",
                        row.reserved,
                        usd(reserved)
                    );
                    self.found(Kind::WindowReservedDiffers, message, ids());
                }
            }
        }
        // Windows go with their budgets, and events go on naming them.
        sums.next();
        Ok(())
    }

    async fn totals_counted(&mut self, sums: &mut Sums<{ TOTAL.len() }>) -> Result<()> {
        if sums.is_over() {
            return Ok(());
        }
        let mut last: Option<(Uuid, String)> = None;
        loop {
            let rows = self.totals_after(last.as_ref(), sums.span()).await?;
            let count = rows.len() as u64;
            *self.summary.rows.entry("spend_totals".to_owned()).or_default() += count;
            for row in &rows {
                let (id, word): (Uuid, String) =
                    (row.try_get("", "scope_id")?, row.try_get("", "scope_kind")?);
                let sum = sums.take(id, &word);
                match spend_total::Model::from_query_result(row, "") {
                    Ok(row) => self.total(&row, sum),
                    Err(error) => {
                        let message = format!("a row of spend_totals cannot be read: {error}");
                        self.found(Kind::RowUnreadable, message, vec![scope_of(id, &word)]);
                    }
                }
                last = Some((id, word));
            }
            if count < ROWS {
                break;
            }
        }
        for ((id, word), sum) in sums.next() {
            let message = format!("there is no total, and {}", made_of(&TOTAL, &sum));
            self.found(Kind::SpendTotalDiffers, message, vec![scope_of(id, &word)]);
        }
        Ok(())
    }

    async fn totals_after(
        &mut self,
        last: Option<&(Uuid, String)>,
        (from, beyond): (Option<Uuid>, Option<Uuid>),
    ) -> Result<Vec<sea_orm::QueryResult>> {
        let (id, word) = (|| Expr::col("scope_id"), || Expr::col("scope_kind"));
        let mut select = Query::select();
        select
            .columns(["scope_id", "scope_kind", "requests", "input_tokens", "output_tokens"])
            .column("spent")
            .from("spend_totals")
            .and_where_option(from.map(|from| id().gte(from)))
            .and_where_option(beyond.map(|beyond| id().lt(beyond)))
            .order_by("scope_id", Order::Asc)
            .order_by("scope_kind", Order::Asc)
            .limit(ROWS);
        if let Some((last, kind)) = last {
            let same = id().eq(*last).and(word().gt(kind.as_str()));
            select.and_where(id().gt(*last).or(same));
        }
        Ok(self.db.query_all(&select).await?)
    }

    fn total(&mut self, row: &spend_total::Model, sum: [i128; TOTAL.len()]) {
        let counted = [row.requests, row.input_tokens, row.output_tokens, row.spent.nanos()];
        if let Some(message) = difference(&TOTAL, &counted.map(i128::from), &sum) {
            let scope = Scope { kind: row.scope_kind, id: row.scope_id };
            self.found(Kind::SpendTotalDiffers, message, vec![scope.to_string()]);
        }
    }

    async fn days_counted(&mut self, sums: &mut Sums<{ DAY.len() }>) -> Result<()> {
        if sums.is_over() {
            return Ok(());
        }
        let mut pages = Pages::<usage_day::Entity>::new().within(sums.span());
        while let Some(page) = pages.next(self).await? {
            for row in page {
                let sum = sums.take(row.id.uuid(), "");
                let counted = [
                    row.requests,
                    row.input_tokens,
                    row.output_tokens,
                    row.cache_read_tokens,
                    row.cache_write_tokens,
                    row.reasoning_tokens,
                    row.spent.nanos(),
                ];
                if let Some(message) = difference(&DAY, &counted.map(i128::from), &sum) {
                    let ids = vec![row.id.to_string(), row.api_key_id.to_string()];
                    self.found(Kind::UsageDayDiffers, message, ids);
                }
            }
        }
        for ((id, _), sum) in sums.next() {
            let message = format!("there is no row, and {}", made_of(&DAY, &sum));
            let ids = vec![UsageDayId::from_uuid(id).to_string()];
            self.found(Kind::UsageDayDiffers, message, ids);
        }
        Ok(())
    }
}

/// Which numbers differ, with both.
fn difference(names: &[&str], counted: &[i128], sums: &[i128]) -> Option<String> {
    let mut message = String::new();
    for ((name, counted), sum) in names.iter().zip(counted).zip(sums) {
        if counted != sum {
            let start = if message.is_empty() { "" } else { "; " };
            let (counted, sum) = (number(name, *counted), number(name, *sum));
            // Writing to a text does not fail.
            let _ =
                write!(message, "{start}{name}: {counted} is counted, and the events make {sum}");
        }
    }
    (!message.is_empty()).then_some(message)
}

/// What events make where nothing was counted.
fn made_of(names: &[&str], sums: &[i128]) -> String {
    let parts = names.iter().zip(sums).filter(|(_, sum)| **sum != 0);
    let parts: Vec<_> =
        parts.map(|(name, sum)| format!("{name}: {}", number(name, *sum))).collect();
    format!("the events make {}", parts.join(", "))
}

fn number(name: &str, number: i128) -> String {
    if name == "spend" { usd(number) } else { number.to_string() }
}

fn usd(nanos: i128) -> String {
    i64::try_from(nanos)
        .map_or_else(|_| format!("{nanos} billionths"), |nanos| Usd::from_nanos(nanos).to_string())
}

fn scope_of(id: Uuid, word: &str) -> String {
    ScopeKind::try_from_value(&word.to_owned())
        .map_or_else(|_| id.simple().to_string(), |kind| Scope { kind, id }.to_string())
}
