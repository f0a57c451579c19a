//! The floor of the dashboard on PostgreSQL: the same rows, by plain SQL on one connection for each
//! client, one statement after the other, and nothing made of them.

use std::time::Duration;

use entity::id::Id as _;
use sea_orm::sqlx::postgres::{PgConnection, PgRow};
use sea_orm::sqlx::{Connection as _, Row as _, query};
use uuid::Uuid;

use crate::load::{self, Measured};
use crate::{number, rows};

const TEAMS: &str = "SELECT * FROM teams ORDER BY search_text, id LIMIT 51";
const TEAM: &str = "SELECT * FROM teams WHERE id = ANY ($1)";
const MEMBERS: &str = "SELECT m.*, u.* FROM unnest($1::uuid[]) AS t (id) CROSS JOIN LATERAL \
    (SELECT * FROM team_memberships WHERE team_id = t.id ORDER BY id LIMIT 11) m \
    LEFT JOIN users u ON u.id = m.user_id";
const KEYS: &str = "SELECT k.* FROM unnest($1::uuid[]) AS t (id) CROSS JOIN LATERAL \
    (SELECT * FROM api_keys WHERE team_id = t.id ORDER BY search_text, id LIMIT 6) k";
const SECRETS: &str = "SELECT * FROM api_key_secrets WHERE api_key_id = ANY ($1)";
const PROJECTS: &str = "SELECT p.* FROM unnest($1::uuid[]) AS t (id) CROSS JOIN LATERAL \
    (SELECT * FROM projects WHERE team_id = t.id ORDER BY search_text, id LIMIT 6) p";
const BUDGETS: &str = "SELECT a.*, b.*, w.spent, w.reserved \
    FROM (SELECT 'TEAM' AS kind, unnest($1::uuid[]) AS id \
        UNION ALL SELECT 'TEAM_MEMBERSHIP', unnest($2::uuid[]) \
        UNION ALL SELECT 'PROJECT', unnest($3::uuid[])) s \
    JOIN budget_assignments a ON a.scope_kind = s.kind AND a.scope_id = s.id \
    LEFT JOIN budgets b ON b.id = a.budget_id \
    LEFT JOIN budget_windows w ON w.budget_id = b.id \
    AND w.scope_id IN (a.scope_id, b.id) AND w.starts_at <= now() \
    AND (w.ends_at IS NULL OR w.ends_at > now())";

/// Whose parts are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Teams {
    /// The first fifty.
    First,
    /// One of so many.
    OneOf(u64),
}

pub(crate) async fn measure(url: &str, teams: Teams, clients: usize, span: Duration) -> Measured {
    let mut workers = Vec::new();
    for _ in 0..clients {
        let mut connection = PgConnection::connect(url).await.unwrap();
        workers.push(async move || parts(&mut connection, teams).await);
    }
    load::measure(workers, span, std::process::id()).await
}

async fn parts(connection: &mut PgConnection, teams: Teams) {
    let teams = match teams {
        Teams::First => query(TEAMS).fetch_all(&mut *connection).await.unwrap(),
        Teams::OneOf(teams) => {
            let id = rows::team_id(number() % teams).uuid();
            ask(connection, TEAM, &[id]).await
        }
    };
    let teams = ids(&teams);
    let members = ask(connection, MEMBERS, &teams).await;
    let keys = ask(connection, KEYS, &teams).await;
    ask(connection, SECRETS, &ids(&keys)).await;
    let projects = ask(connection, PROJECTS, &teams).await;
    let budgets = query(BUDGETS).bind(teams).bind(ids(&members)).bind(ids(&projects));
    assert!(!budgets.fetch_all(connection).await.unwrap().is_empty());
}

async fn ask(connection: &mut PgConnection, sql: &'static str, ids: &[Uuid]) -> Vec<PgRow> {
    let rows = query(sql).bind(ids).fetch_all(&mut *connection).await.unwrap();
    assert!(!rows.is_empty(), "{sql}");
    rows
}

/// The first column of every row.
fn ids(rows: &[PgRow]) -> Vec<Uuid> {
    rows.iter().map(|row| row.get(0)).collect()
}
