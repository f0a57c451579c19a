//! Several limiters that share a store, and a clock that only the test moves.

use std::sync::Mutex;

use chrono::{DateTime, Utc};
use tollkeep::clock::Clock;
use tollkeep::config::{Config, Overrides};
use tollkeep::db::{Database, DatabaseSettings};
use tollkeep::rate_limit::RateLimiter;

use super::seconds;
use crate::harness::database::{Kind, TestDatabase, kinds};
use crate::harness::noon;
use crate::harness::redis::RedisServer;

/// What the replicas share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shared {
    Nothing,
    Redis,
    Database(Kind),
}

/// Limiters that share a store, each as a replica of its own would have it.
pub(crate) struct Place {
    shared: Shared,
    limiters: Vec<RateLimiter>,
    databases: Vec<Database>,
    test: TestDatabase,
    pub(crate) redis: Option<RedisServer>,
    now: Mutex<DateTime<Utc>>,
    settings: Vec<(String, String)>,
}

impl Place {
    /// Starts limiters that know of each other.
    pub(crate) async fn start(shared: Shared, replicas: usize) -> Self {
        let kind = match shared {
            Shared::Database(kind) => kind,
            Shared::Nothing | Shared::Redis => kinds()[0],
        };
        let redis = (shared == Shared::Redis).then(RedisServer::start);
        let test = TestDatabase::create(kind).await;
        let store = match shared {
            Shared::Nothing => "memory",
            Shared::Redis => "redis",
            Shared::Database(_) => "database",
        };
        let url = redis.as_ref().map(RedisServer::url).unwrap_or_default();
        let settings = [
            ("DATABASE_URL", test.url().as_str()),
            ("REDIS_URL", &url),
            ("TOLLKEEP__RATE_LIMITS__STORE", store),
            ("TOLLKEEP__RATE_LIMITS__TIMEOUT", "10s"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        let mut place = Self {
            shared,
            limiters: Vec::new(),
            databases: Vec::new(),
            test,
            redis,
            now: Mutex::new(noon()),
            settings,
        };
        for _ in 0..replicas {
            place.add().await;
        }
        // Redis had counted nothing before, so what it says is not believed for a minute.
        place.go(90).await;
        place
    }

    /// Starts one more limiter.
    pub(crate) async fn add(&mut self) {
        self.add_with(None).await;
    }

    /// Starts one more limiter, with another setting than the rest.
    pub(crate) async fn add_with(&mut self, other: Option<(&str, &str)>) {
        let mut settings = self.settings.clone();
        if let Some((name, value)) = other {
            settings.retain(|(other, _)| other != name);
            settings.push((name.to_owned(), value.to_owned()));
        }
        let config = Config::load(&Overrides::default(), settings).unwrap();
        // A SQLite file has one process: its replicas share what that has open.
        let database = match self.databases.first() {
            Some(first) if self.test.kind == Kind::Sqlite => first.clone(),
            _ => {
                let settings =
                    DatabaseSettings { max_connections: 4, ..DatabaseSettings::default() };
                let database = Database::open(&self.test.location(), &settings).await.unwrap();
                database.migrate().await.unwrap();
                database
            }
        };
        let clock = Clock::fixed(self.now());
        self.limiters.push(RateLimiter::start(&config, database.clone(), &clock, false).await);
        self.databases.push(database);
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap()
    }

    /// Lets whole seconds pass, with a tick of every limiter after each.
    pub(crate) async fn go(&self, count: i64) {
        for _ in 0..count {
            let now = {
                let mut now = self.now.lock().unwrap();
                *now += seconds(1);
                *now
            };
            self.tick(now).await;
        }
    }

    /// Every limiter does what is due each second.
    pub(crate) async fn tick(&self, now: DateTime<Utc>) {
        for limiter in &self.limiters {
            limiter.tick(now).await;
        }
    }

    pub(crate) fn first(&self) -> &RateLimiter {
        &self.limiters[0]
    }

    pub(crate) fn limiter(&self, number: usize) -> &RateLimiter {
        &self.limiters[number]
    }

    pub(crate) fn count(&self) -> usize {
        self.limiters.len()
    }

    /// Whether replicas hold parts of limits that others could use.
    pub(crate) fn holds_slices(&self) -> bool {
        matches!(self.shared, Shared::Database(_))
    }

    /// Loses a replica as a crash would.
    pub(crate) fn crash(&mut self, number: usize) {
        self.limiters.remove(number);
    }

    /// The connections of one replica, past the limiter.
    pub(crate) fn test_database(&self) -> &TestDatabase {
        &self.test
    }

    pub(crate) async fn stop(self) {
        for limiter in &self.limiters {
            limiter.close(self.now()).await;
        }
        drop(self.limiters);
        for database in self.databases {
            database.close().await;
        }
        self.test.drop().await;
    }
}

/// The stores of this run.
pub(crate) fn stores() -> Vec<Shared> {
    let databases = kinds().into_iter().map(Shared::Database);
    [Shared::Nothing, Shared::Redis].into_iter().chain(databases).collect()
}

/// Runs a test on each store, with several replicas on those that can be shared.
pub(crate) async fn on_each_store(replicas: usize, test: impl AsyncFn(&Place)) {
    for shared in stores() {
        let replicas = if shared == Shared::Nothing { 1 } else { replicas };
        let place = Place::start(shared, replicas).await;
        eprintln!("on {shared:?}");
        test(&place).await;
        place.stop().await;
    }
}
