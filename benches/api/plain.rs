//! The floor of the dashboard on PostgreSQL: the same rows, by plain SQL on one connection for each
//! client, one statement after the other, and nothing made of them.

use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnection, PgRow};
use sea_orm::sqlx::{Connection as _, Row as _, query};
use uuid::Uuid;

use crate::load::{self, Measured};

const TEAMS: &str = "SELECT * FROM teams ORDER BY search_text, id LIMIT 51";
const MEMBERS: &str = "SELECT m.* FROM unnest($1::uuid[]) AS t (id) CROSS JOIN LATERAL \
    (SELECT * FROM team_memberships WHERE team_id = t.id ORDER BY id LIMIT 11) m";
const USERS: &str = "SELECT * FROM users WHERE id = ANY ($1)";
const KEYS: &str = "SELECT k.* FROM unnest($1::uuid[]) AS t (id) CROSS JOIN LATERAL \
    (SELECT * FROM api_keys WHERE team_id = t.id ORDER BY search_text, id LIMIT 6) k";
const SECRETS: &str = "SELECT * FROM api_key_secrets WHERE api_key_id = ANY ($1)";
const BUDGETS: &str = "SELECT a.*, b.*, w.spent, w.reserved FROM budget_assignments a \
    LEFT JOIN budgets b ON b.id = a.budget_id LEFT JOIN budget_windows w ON w.budget_id = b.id \
    AND w.scope_id IN (a.scope_id, b.id) AND w.starts_at <= now() \
    AND (w.ends_at IS NULL OR w.ends_at > now()) \
    WHERE a.scope_kind = $2 AND a.scope_id = ANY ($1)";

pub(crate) async fn measure(url: &str, clients: usize, span: Duration) -> Measured {
    let mut workers = Vec::new();
    for _ in 0..clients {
        let mut connection = PgConnection::connect(url).await.unwrap();
        workers.push(async move || dashboard(&mut connection).await);
    }
    load::measure(workers, span).await
}

async fn dashboard(connection: &mut PgConnection) {
    let teams = query(TEAMS).fetch_all(&mut *connection).await.unwrap();
    let teams = ids(&teams, "id");
    let members = ask(connection, MEMBERS, &teams).await;
    ask(connection, USERS, &ids(&members, "user_id")).await;
    let keys = ask(connection, KEYS, &teams).await;
    ask(connection, SECRETS, &ids(&keys, "id")).await;
    for (kind, ids) in [("TEAM_MEMBERSHIP", ids(&members, "id")), ("TEAM", teams)] {
        let budgets = query(BUDGETS).bind(ids).bind(kind).fetch_all(&mut *connection).await;
        assert!(!budgets.unwrap().is_empty());
    }
}

async fn ask(connection: &mut PgConnection, sql: &'static str, ids: &[Uuid]) -> Vec<PgRow> {
    let rows = query(sql).bind(ids).fetch_all(&mut *connection).await.unwrap();
    assert!(!rows.is_empty(), "{sql}");
    rows
}

fn ids(rows: &[PgRow], column: &str) -> Vec<Uuid> {
    rows.iter().map(|row| row.get(column)).collect()
}
