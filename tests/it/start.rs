//! First starts that fail, that lack their secrets, and that come together.

use std::path::Path;

use sea_orm::{ConnectOptions, ConnectionTrait, DbBackend, Statement, TransactionTrait};
use tollkeep::app::{App, StartError, Started};
use tollkeep::config::{Config, Overrides};
use tollkeep::db::StatementCount;

use crate::harness::ADMIN_KEY;
use crate::harness::database::{Kind, TestDatabase, kinds};

/// Two peppers.
const ONE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

/// Makes a server as `serve` does, with the secrets in the folder.
async fn start(
    database: &TestDatabase,
    folder: &Path,
    settings: &[(&str, &str)],
) -> Result<Started, StartError> {
    let url = database.url();
    let folder = folder.display().to_string();
    let usual = [("TOLLKEEP_DATA_DIR", folder.as_str()), ("DATABASE_URL", url.as_str())];
    let environment: Vec<(String, String)> = usual
        .iter()
        .chain(settings)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    App::start(Config::load(&Overrides::default(), environment).unwrap(), None).await
}

async fn is_known(app: &App, key: &str) -> bool {
    app.authenticator().authenticate(key, &StatementCount::default()).await.is_ok()
}

/// SECURITY 5, the bootstrap key: it is shown once, so what nobody has seen is not kept.
#[tokio::test]
async fn a_start_that_fails_leaves_no_admin_key_behind() {
    for kind in kinds() {
        let database = TestDatabase::create(kind).await;
        let folder = tempfile::tempdir().unwrap();
        let failed = start(&database, folder.path(), &[]).await.unwrap();
        let unseen = failed.new_admin_key.unwrap().expose().to_owned();
        failed.app.close().await;
        drop(failed.app);

        let Started { app, new_admin_key } = start(&database, folder.path(), &[]).await.unwrap();
        let key = new_admin_key.unwrap();
        let seen = key.expose().to_owned();
        key.keep().unwrap();
        assert!(is_known(&app, &seen).await && !is_known(&app, &unseen).await);
        app.close().await;
        drop(app);

        let Started { app, new_admin_key } = start(&database, folder.path(), &[]).await.unwrap();
        assert!(new_admin_key.is_none());
        assert!(is_known(&app, &seen).await);
        app.close().await;
        drop(app);
        database.drop().await;
    }
}

/// SECURITY 5, the pepper: with another one no key works, so a lost one is not replaced.
#[tokio::test]
async fn lost_secrets_of_a_database_in_use_are_not_made_anew() {
    for kind in kinds() {
        let database = TestDatabase::create(kind).await;
        let folder = tempfile::tempdir().unwrap();
        let Started { app, new_admin_key } = start(&database, folder.path(), &[]).await.unwrap();
        new_admin_key.unwrap().keep().unwrap();
        app.close().await;
        drop(app);

        let path = folder.path().join("secrets.toml");
        let saved = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        for settings in [&[][..], &[("TOLLKEEP_ADMIN_KEY", ADMIN_KEY)]] {
            let error = start(&database, folder.path(), settings).await.unwrap_err().to_string();
            assert!(error.contains("secrets.toml is missing"), "{error}");
            assert!(error.contains("restore the file from a backup"), "{error}");
            assert!(!path.exists());
        }

        std::fs::write(&path, saved).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
        let started = start(&database, folder.path(), &[]).await.unwrap();
        assert!(started.new_admin_key.is_none());
        started.app.close().await;
        drop(started);
        database.drop().await;
    }
}

/// Replicas may make their first start together: one proves its pepper, and all compare. A SQLite
/// file has one process, whose first start is alone.
#[tokio::test]
async fn first_starts_that_come_together_agree_on_one_pepper() {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    for (other, agree) in [(ONE, true), (OTHER, false)] {
        let database = TestDatabase::create(Kind::Postgres).await;
        let folder = tempfile::tempdir().unwrap();
        let settings = |pepper| {
            [
                ("TOLLKEEP__AUTH__PEPPER", pepper),
                ("TOLLKEEP_ADMIN_KEY", ADMIN_KEY),
                ("TOLLKEEP__DATABASE__LOCK_TIMEOUT", "5s"),
            ]
        };
        let (one, two) = (settings(ONE), settings(other));
        let (one, two, ()) = tokio::join!(
            start(&database, folder.path(), &one),
            start(&database, folder.path(), &two),
            let_writers_in_together(&database),
        );
        let refused = |started: &Result<Started, StartError>| match started {
            Ok(_) => false,
            Err(StartError::WrongPepper) => true,
            Err(other) => panic!("{other:?}"),
        };
        let refusals = usize::from(refused(&one)) + usize::from(refused(&two));
        assert_eq!(refusals, usize::from(!agree));
        for started in [one, two].into_iter().flatten() {
            started.app.close().await;
        }
        database.drop().await;
    }
}

/// Holds back whoever writes a setting, until two wait.
async fn let_writers_in_together(database: &TestDatabase) {
    let mut options = ConnectOptions::new(database.url());
    options.max_connections(1).sqlx_logging(false);
    let connection = sea_orm::Database::connect(options).await.unwrap();
    let held = connection.begin().await.unwrap();
    held.execute_unprepared("LOCK TABLE settings IN SHARE MODE").await.unwrap();
    let sql = "SELECT count(*) AS n FROM pg_locks
        WHERE relation = 'settings'::regclass AND NOT granted";
    loop {
        let waiting = Statement::from_string(DbBackend::Postgres, sql);
        let row = held.query_one_raw(waiting).await.unwrap().unwrap();
        if row.try_get::<i64>("", "n").unwrap() == 2 {
            break;
        }
    }
    held.commit().await.unwrap();
    connection.close().await.unwrap();
}
