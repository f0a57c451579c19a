//! The command as people and programs run it: what it prints, and how it ends.

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tollkeep::app::Kind as BreachKind;

use crate::crash::Program;
use crate::harness::ADMIN_KEY;
use crate::harness::database::{Kind, TestDatabase, kinds};
use crate::steps::done;

const SECRET: &str = "8f7e6d5c4b3a29180716f5e4d3c2b1a08f7e6d5c4b3a29180716f5e4d3c2b1a0";

fn environment(database: &TestDatabase) -> Vec<(&'static str, String)> {
    vec![
        ("TOLLKEEP_ADMIN_KEY", ADMIN_KEY.to_owned()),
        ("TOLLKEEP__AUTH__PEPPER", SECRET.to_owned()),
        ("TOLLKEEP__AUTH__KEK", SECRET.to_owned()),
        ("DATABASE_URL", database.url()),
    ]
}

fn doctor(folder: &Path, environment: &[(&str, String)], arguments: &[&str]) -> Output {
    let environment = environment.iter().map(|(name, value)| (*name, value.as_str()));
    let mut command = Program::command(folder);
    command.envs(environment).arg("doctor").args(arguments).stderr(Stdio::piped());
    command.output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn bend(database: &TestDatabase, sql: &str) {
    let mut options = sea_orm::ConnectOptions::new(database.url());
    options.max_connections(1).sqlx_logging(false);
    let connection = sea_orm::Database::connect(options).await.unwrap();
    sea_orm::ConnectionTrait::execute_unprepared(&connection, sql).await.unwrap();
    connection.close().await.unwrap();
}

/// DESIGN 3 and 6: beside a server that runs, on either database.
#[tokio::test]
async fn the_command_tells_by_its_exit_code_what_it_found() {
    for kind in kinds() {
        let folder = tempfile::tempdir().unwrap();
        let database = TestDatabase::create(kind).await;
        let environment = environment(&database);
        let borrowed: Vec<_> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let program = Program::serve(folder.path(), &borrowed);
        let admin = program.client(ADMIN_KEY);
        let input = json!({ "name": "Lab", "budgets": [{ "create": { "maxSpend": "5" } }] });
        let team = done(&admin, "teamCreate", input, "team { id }").await;
        let team = team["team"]["id"].as_str().unwrap();
        let healthy = doctor(folder.path(), &environment, &[]);
        assert_eq!(healthy.status.code(), Some(0), "{healthy:?}");
        let text = printed(&healthy);
        assert!(text.ends_with(" rows examined, 0 breaches found\n"), "{text}");
        assert_eq!(text.lines().count(), 1);

        bend(&database, "UPDATE teams SET search_text = 'x'").await;
        bend(&database, "DELETE FROM budget_assignments").await;
        let ill = doctor(folder.path(), &environment, &[]);
        assert_eq!(ill.status.code(), Some(1), "{ill:?}");
        let text = printed(&ill);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("SEARCH_TEXT_STALE: "), "{text}");
        assert!(lines[0].ends_with(&format!(" [{team}]")), "{text}");
        assert!(lines[1].starts_with("BUDGET_UNUSED: "), "{text}");
        assert!(lines[1].ends_with(&format!(", {team}]")), "{text}");
        assert!(lines[2].ends_with(" rows examined, 2 breaches found"), "{text}");

        let ill = doctor(folder.path(), &environment, &["--json"]);
        assert_eq!(ill.status.code(), Some(1), "{ill:?}");
        let lines: Vec<Value> =
            printed(&ill).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["code"], "SEARCH_TEXT_STALE");
        assert_eq!(lines[0]["ids"], json!([team]));
        assert!(lines[0]["message"].is_string());
        assert_eq!(lines[2]["breaches"], 2);
        assert!(lines[2]["rows"].as_u64().unwrap() > 2);

        // The server runs on, and its file was left alone.
        done(&admin, "teamCreate", json!({ "name": "Next" }), "team { id }").await;
        drop(program);
        assert_eq!(doctor(folder.path(), &environment, &[]).status.code(), Some(1));
        database.drop().await;
    }
}

/// What could not be examined is neither healthy nor ill, and nothing is made of it.
#[tokio::test]
async fn a_database_that_is_not_there_is_told_apart_from_an_ill_one() {
    for kind in kinds() {
        let folder = tempfile::tempdir().unwrap();
        let database = TestDatabase::empty(kind).await;
        let mut environment = environment(&database);
        let lacking = doctor(folder.path(), &environment, &[]);
        assert_eq!(lacking.status.code(), Some(2), "{lacking:?}");
        let error = String::from_utf8_lossy(&lacking.stderr).into_owned();
        match kind {
            Kind::Sqlite => {
                assert!(error.contains("cannot be opened"), "{error}");
                let file = database.url();
                assert!(!Path::new(file.trim_start_matches("sqlite:")).exists());
            }
            Kind::Postgres => assert!(error.contains("needs"), "{error}"),
        }
        environment.push(("TOLLKEEP__NONSENSE", "1".to_owned()));
        assert_eq!(doctor(folder.path(), &environment, &[]).status.code(), Some(2));
        database.drop().await;
    }
}

/// Operators look codes up: each is explained.
#[test]
fn every_code_is_in_the_handbook() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let handbook = std::fs::read_to_string(path).unwrap();
    for kind in <BreachKind as sea_orm::Iterable>::iter() {
        assert!(handbook.contains(&format!("`{}`", kind.code())), "{}", kind.code());
    }
}
