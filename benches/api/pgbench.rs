//! The floor of ingest on PostgreSQL: `pgbench` with the ledger's statements for a report of 100
//! events, and nothing around them.
//!
//! The rows are copies of one that the server recorded, so that the same tables, indexes, sums and
//! windows are written to. Nothing is sent but the statements: their rows are made by the database.

use std::fs;
use std::process::Command;
use std::time::Duration;

use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{Connection as _, Row as _, query};
use uuid::Uuid;

use crate::postgres::find_programs;

/// The statements of a report of so many events, in the order of `domain/ledger/post.rs`.
fn script(events: u32, event: Uuid, columns: &str) -> String {
    let fresh = columns
        .split(", ")
        .map(|name| match name {
            "id" | "payload_hash" => "gen_random_uuid()".to_owned(),
            "request_id" => "gen_random_uuid()::text".to_owned(),
            name => format!("e.{name}"),
        })
        .collect::<Vec<_>>()
        .join(", ");
    let of = format!("usage_events e WHERE e.id = '{event}'");
    let sums = "requests, input_tokens, output_tokens, spent";
    let more = |table: &str, names: &str| {
        names
            .split(", ")
            .map(|name| format!("{name} = {table}.{name} + (excluded.{name} > 0)::int"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let days = "requests, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, \
                reasoning_tokens, spent";
    let of_day = "id, day, api_key_id, organization_id, team_id, project_id, user_id, end_user_id, \
                  end_user, tags, model, provider";
    let windows = "(SELECT w.id FROM usage_events e JOIN budget_windows w \
                   ON position(uuid_send(w.id) IN e.window_ids) > 0";
    let lines = [
        "BEGIN".to_owned(),
        format!(
            "DELETE FROM reservations WHERE id IN (SELECT r.id FROM (SELECT e.gateway_id AS gateway, \
             gen_random_uuid()::text AS request FROM generate_series(1, {events}), {of}) v \
             JOIN reservations r ON r.gateway_id = v.gateway AND r.request_id = v.request \
             ORDER BY r.id FOR UPDATE OF r) RETURNING *"
        ),
        format!(
            "INSERT INTO usage_events ({columns}) SELECT {fresh} FROM generate_series(1, {events}), \
             {of} ON CONFLICT (gateway_id, request_id) DO NOTHING RETURNING id"
        ),
        format!(
            "INSERT INTO usage_daily ({of_day}, {days}) SELECT {of_day}, {days} FROM usage_daily \
             WHERE api_key_id = (SELECT e.api_key_id FROM {of}) \
             ON CONFLICT (id) DO UPDATE SET {}",
            more("usage_daily", days)
        ),
        format!(
            "INSERT INTO spend_totals (scope_id, scope_kind, {sums}) SELECT scope_id, scope_kind, \
             {sums} FROM spend_totals WHERE scope_id IN (SELECT unnest(ARRAY[e.api_key_id, \
             e.organization_id, e.team_id, e.project_id, e.user_id]) FROM {of}) \
             ORDER BY scope_kind, scope_id ON CONFLICT (scope_id, scope_kind) DO UPDATE SET {}",
            more("spend_totals", sums)
        ),
        format!(
            "SELECT w.*, b.max_spend, b.soft_spend FROM budget_windows w JOIN budgets b \
             ON b.id = w.budget_id WHERE w.id IN {windows} WHERE e.id = '{event}') \
             ORDER BY w.id FOR UPDATE OF w"
        ),
        format!(
            "UPDATE budget_windows SET spent = spent + 1, updated_at = clock_timestamp() \
             WHERE id IN {windows} WHERE e.id = '{event}')"
        ),
        "COMMIT".to_owned(),
    ];
    lines.map(|line| line + ";\n").concat()
}

/// How many reports of so many events `pgbench` writes in a second; nothing where it is missing.
///
/// What it adds to sums is 1, so that they grow slowly; the work is the same.
pub(crate) async fn ingest(url: &str, events: u32, clients: usize, span: Duration) -> Option<f64> {
    let program = find_programs()?.join("pgbench");
    if !program.is_file() {
        eprintln!("left out: pgbench is not beside PostgreSQL's other programs");
        return None;
    }
    let mut connection = PgConnection::connect(url).await.unwrap();
    let event: Uuid = query("SELECT id FROM usage_events ORDER BY id DESC LIMIT 1")
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get(0);
    let columns: String = query(
        "SELECT string_agg(column_name, ', ') FROM information_schema.columns \
         WHERE table_name = 'usage_events' AND table_schema = current_schema()",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap()
    .get(0);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ingest.sql");
    fs::write(&file, script(events, event, &columns)).unwrap();
    let output = Command::new(program)
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=1"])
        .arg(format!("--client={clients}"))
        .arg(format!("--time={}", span.as_secs().max(1)))
        .arg("--file")
        .arg(&file)
        .arg(url)
        .output()
        .unwrap();
    // Ids of the server have another version.
    let copies = query("DELETE FROM usage_events WHERE substring(id::text, 15, 1) = '4'");
    copies.execute(&mut connection).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = "));
    Some(rate.unwrap().split(' ').next().unwrap().parse().unwrap())
}
