//! What the limiter costs a call: lists of 1, 5 and 20 limits, in memory.

use std::time::Instant;

use tollkeep::clock::Clock;
use tollkeep::config::{Config, Overrides};
use tollkeep::db::{Database, DatabaseSettings, Location};
use tollkeep::rate_limit::{Kind, Limit, LimitKey, RateLimiter};
use uuid::Uuid;

use crate::database;
use crate::table::Table;

/// How many callers take turns, each with counters of its own.
const CALLERS: u128 = 1_000;

const CALLS: u32 = 300_000;

pub(crate) async fn measure(table: &mut Table) {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("tollkeep.db"));
    let database = Database::open(&location, &DatabaseSettings::default()).await.unwrap();
    database.migrate().await.unwrap();
    let config = Config::load(&Overrides::default(), []).unwrap();
    let clock = Clock::system();
    let limiter = RateLimiter::start(&config, database.clone(), &clock, true).await;
    for count in [1, 5, 20] {
        let lists: Vec<Vec<Limit>> = (0..CALLERS).map(|caller| list(caller, count)).collect();
        let begun = Instant::now();
        for (_, limits) in (0..CALLS).zip(lists.iter().cycle()) {
            let outcome = limiter.acquire(Uuid::nil(), limits, clock.now()).await;
            assert!(outcome.is_admitted());
        }
        let each = begun.elapsed().as_nanos() / u128::from(CALLS);
        let what = format!("rate limits in memory, a list of {count}");
        let value = format!("{each} ns, {} ns for each limit", each / count);
        table.fact(database::Kind::Sqlite.name(), &what, &value);
    }
    database.close().await;
}

/// The limits of one caller: requests and tokens in turn, as random as ids are.
fn list(caller: u128, count: u128) -> Vec<Limit> {
    let id = |number: u128| {
        Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    };
    let limit = |number| {
        let kind = if number % 2 == 0 { Kind::Requests } else { Kind::Tokens };
        let key = LimitKey { budget: id(number), counter: id(caller * 100 + number), kind };
        Limit::new(key, 1_000_000_000, 1 + 99 * u64::from(kind == Kind::Tokens))
    };
    (0..count).map(limit).collect()
}
