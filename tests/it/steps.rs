//! What tests do over and over: one mutation, one read, one look into the database past the API.

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, Statement, TransactionTrait,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::harness::{Answer, Client, Kind, TestApp};

/// Runs one mutation, and reads a selection of its payload.
pub(crate) async fn change(client: &Client, field: &str, input: Value, selection: &str) -> Answer {
    let kind = match field {
        "userBlock" | "userUnblock" => "UserIdInput".to_owned(),
        "endUserBlock" | "endUserUnblock" => "EndUserIdInput".to_owned(),
        "apiKeyBlock" | "apiKeyUnblock" => "ApiKeyIdInput".to_owned(),
        "modelBlock" | "modelUnblock" => "ModelIdInput".to_owned(),
        "teamBlock" | "teamUnblock" => "TeamRefInput".to_owned(),
        "teamModelAdd" | "teamModelRemove" => "TeamModelInput".to_owned(),
        field => format!("{}{}Input", field[..1].to_uppercase(), &field[1..]),
    };
    let query = format!("mutation($input: {kind}!) {{ {field}(input: $input) {{ {selection} }} }}");
    client.run_with(&query, json!({ "input": input })).await
}

/// Runs one mutation that must succeed, and returns its payload.
pub(crate) async fn done(client: &Client, field: &str, input: Value, selection: &str) -> Value {
    change(client, field, input, selection).await.data()[field].clone()
}

/// The value of a query's one root field; the query must succeed.
pub(crate) async fn read(client: &Client, query: &str) -> Value {
    let data = client.data(query).await;
    data.as_object().and_then(|fields| fields.values().next()).cloned().unwrap_or_default()
}

/// Makes a project in a team, and returns its id.
pub(crate) async fn project(client: &Client, team: &str, mut input: Value) -> String {
    input["teamId"] = json!(team);
    let made = done(client, "projectCreate", input, "project { id }").await;
    crate::harness::client::text(&made, "/project/id")
}

/// Whether the server knows the caller's key.
pub(crate) async fn is_known(client: &Client) -> bool {
    match client.run("{ __typename }").await.status {
        200 => true,
        401 => false,
        status => panic!("status {status}"),
    }
}

/// The number of rows of a table, with a condition.
pub(crate) async fn rows(app: &TestApp, from: &str) -> i64 {
    let database = app.database().await;
    let sql = format!("SELECT COUNT(*) AS found FROM {from}");
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get("", "found").unwrap()
}

/// Runs a statement past the API.
pub(crate) async fn execute(app: &TestApp, sql: &str) {
    let database = app.database().await;
    let outcome = database.execute_unprepared(sql).await.unwrap();
    assert!(outcome.rows_affected() > 0, "{sql}");
}

/// A transaction of somebody else's, on PostgreSQL, for which others wait.
pub(crate) struct Other {
    transaction: DatabaseTransaction,
    _connection: DatabaseConnection,
    watch: DatabaseConnection,
}

impl Other {
    /// Begins with these statements.
    pub(crate) async fn begin(app: &TestApp, statements: &[&str]) -> Self {
        let connection = app.database().await;
        let transaction = connection.begin().await.unwrap();
        for sql in statements {
            transaction.execute_unprepared(sql).await.unwrap();
        }
        Self { transaction, _connection: connection, watch: app.database().await }
    }

    /// Goes on when each of these tasks waits for a lock.
    pub(crate) async fn wait_for<T>(&self, tasks: &[JoinHandle<T>]) {
        let sql = "SELECT COUNT(*) AS waiting FROM pg_stat_activity \
                   WHERE datname = current_database() AND application_name = 'tollkeep' \
                   AND wait_event_type = 'Lock'";
        let mut waiting = 0;
        while waiting < tasks.len() {
            let statement = Statement::from_string(self.watch.get_database_backend(), sql);
            let row = self.watch.query_one_raw(statement).await.unwrap().unwrap();
            waiting = usize::try_from(row.try_get::<i64>("", "waiting").unwrap()).unwrap();
            assert!(tasks.iter().all(|task| !task.is_finished()), "somebody did not wait");
        }
    }

    /// Ends with these statements.
    pub(crate) async fn commit(self, statements: &[&str]) {
        for sql in statements {
            self.transaction.execute_unprepared(sql).await.unwrap();
        }
        self.transaction.commit().await.unwrap();
    }
}

/// An id of the API as SQL writes it.
pub(crate) fn sql_id(app: &TestApp, id: &str) -> String {
    let digits = id.rsplit('_').next().unwrap();
    match app.kind {
        Kind::Sqlite => format!("x'{digits}'"),
        Kind::Postgres => format!("'{digits}'"),
    }
}

/// Fails if some row speaks of something that is no more.
pub(crate) async fn assert_no_orphans(app: &TestApp) {
    let lost = crate::orphans::pointing_nowhere(app).await;
    assert!(lost.is_empty(), "{lost:#?}");
}
