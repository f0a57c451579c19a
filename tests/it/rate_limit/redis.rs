//! Redis is lost, comes back empty, forgets, or was never there: no limit disappears.

use chrono::Utc;

use super::promise::{Checker, Dice, demand};
use super::replicas::{PATIENCE, Place, Shared};
use super::{admitted, lease, parallel, remaining, requests, seconds};
use crate::harness::redis::RedisServer;
use crate::harness::{ADMIN_KEY, Kind, TestApp, TestDatabase, noon};

const LIMIT: u64 = 200;

/// Redis dies while four replicas count in it, and comes back with nothing in it.
#[tokio::test]
async fn the_promise_outlives_redis() {
    let mut place = Place::start(Shared::Redis, 4).await;
    let mut checker = Checker::default();
    let mut dice = Dice::new(0xd1ce);
    let any = |dice: &mut Dice| (usize::try_from(dice.roll(4)).unwrap(), requests(1, LIMIT), 1);

    demand(&place, &mut checker, &mut dice, 100, any).await;
    place.redis.as_mut().unwrap().kill();
    let lost_at = place.now();
    demand(&place, &mut checker, &mut dice, 130, any).await;
    let without = checker.since(lost_at);
    assert!(without > LIMIT, "a store that is lost is no reason to refuse: {without}");

    place.redis.as_mut().unwrap().restart();
    let back_at = place.now();
    demand(&place, &mut checker, &mut dice, 150, any).await;
    let with = checker.since(back_at);
    assert!(with >= 2 * LIMIT, "{with} in two and a half minutes");

    place.redis.as_mut().unwrap().restart();
    demand(&place, &mut checker, &mut dice, 100, any).await;
    let densest = checker.densest();
    assert!(densest <= LIMIT + LIMIT / 20 + 1, "{densest} in some minute");
    place.stop().await;
}

/// Without Redis each replica admits its part of a limit, and the parts add up to the limit.
#[tokio::test]
async fn without_redis_the_parts_add_up_to_the_limit() {
    let mut place = Place::start(Shared::Redis, 8).await;
    place.redis.as_mut().unwrap().kill();
    for (number, most) in [(1, 100), (2, 8), (3, 3), (4, 1), (5, 0)] {
        let limits = [requests(number, most)];
        let mut parts = Vec::new();
        for replica in 0..8 {
            parts.push(admitted(place.limiter(replica), &limits, 110, place.now()).await as u64);
        }
        assert_eq!(parts.iter().sum::<u64>(), most, "{parts:?}");
        assert!(parts.iter().all(|part| part.abs_diff(most / 8) <= 1), "{parts:?}");
    }
    place.stop().await;
}

/// A Redis that forgets, as by `FLUSHALL` or eviction, has lost what it counted.
#[tokio::test]
async fn a_redis_that_forgets_is_not_believed() {
    let place = Place::start(Shared::Redis, 2).await;
    let limits = [requests(1, 20)];
    let now = place.now();
    assert_eq!(admitted(place.limiter(0), &limits, 10, now).await, 10);
    assert_eq!(admitted(place.limiter(1), &limits, 20, now).await, 10);
    assert_eq!(admitted(place.limiter(0), &limits, 1, now).await, 0);
    flush(place.redis.as_ref().unwrap()).await;
    assert_eq!(admitted(place.limiter(0), &limits, 20, now).await, 0);
    assert_eq!(admitted(place.limiter(1), &limits, 20, now).await, 0);
    place.go(3).await;
    assert_eq!(admitted(place.limiter(0), &limits, 20, place.now()).await, 0);
    place.go(70).await;
    assert_eq!(admitted(place.limiter(0), &limits, 30, place.now()).await, 20);
    place.stop().await;
}

/// A Redis that comes back learns of the calls that are under way.
#[tokio::test]
async fn places_that_are_held_outlive_redis() {
    let mut place = Place::start(Shared::Redis, 2).await;
    let limits = [parallel(1, 4)];
    for call in 0..4 {
        let limiter = place.limiter(usize::from(call % 2 == 1));
        assert!(limiter.acquire(lease(call), &limits, place.now()).await.is_admitted());
    }
    place.redis.as_mut().unwrap().restart();
    let now = place.now() + seconds(1);
    assert_eq!(admitted(place.limiter(0), &[parallel(1, 4), requests(2, 9)], 5, now).await, 2);
    place.limiter(1).beat(&[lease(1), lease(3)], now).await;
    place.go(2).await;
    let all = place.limiter(1).peek(&limits, place.now()).await;
    assert_eq!(remaining(&all), [0]);
    for limiter in [place.limiter(0), place.limiter(1)] {
        assert!(!limiter.acquire(lease(9), &limits, place.now()).await.is_admitted());
    }
    place.limiter(0).free(&[lease(0)]).await;
    assert!(place.limiter(0).acquire(lease(9), &limits, place.now()).await.is_admitted());
    place.stop().await;
}

/// A replica that starts while Redis is away starts, and finds it later.
#[tokio::test]
async fn a_replica_starts_without_redis() {
    let mut place = Place::start(Shared::Redis, 1).await;
    place.redis.as_mut().unwrap().kill();
    place.add().await;
    place.go(6).await;
    let limits = [requests(1, 10)];
    assert_eq!(admitted(place.limiter(1), &limits, 20, place.now()).await, 5);
    place.redis.as_mut().unwrap().restart();
    place.go(70).await;
    assert_eq!(admitted(place.limiter(1), &limits, 20, place.now()).await, 10);
    place.stop().await;
}

/// In production Redis tells the time, so that replicas whose clocks differ count the same minute.
#[tokio::test]
async fn redis_tells_the_time_of_a_server() {
    let redis = RedisServer::start();
    let database = TestDatabase::create(Kind::Sqlite).await;
    let settings =
        [("REDIS_URL", redis.url()), ("TOLLKEEP__RATE_LIMITS__TIMEOUT", "10s".to_owned())];
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let app = TestApp::start(&database, &settings).await;
    assert_eq!(app.admin().run("{ __typename }").await.status, 200, "{ADMIN_KEY}");
    // The clock of a test server stands still at noon, and its limiter takes that time.
    let limits = [requests(1, 3), parallel(2, 9)];
    let outcome = app.app.rate_limiter().acquire(lease(1), &limits, noon()).await;
    assert_eq!((outcome.is_admitted(), outcome.at), (true, noon()));
    app.stop().await;

    let config = {
        let environment = [("REDIS_URL", redis.url()), ("DATABASE_URL", database.url())];
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        tollkeep::config::Config::load(&tollkeep::config::Overrides::default(), environment)
            .unwrap()
    };
    let open = tollkeep::db::Database::open(&database.location(), &Default::default()).await;
    let (open, clock) = (open.unwrap(), tollkeep::clock::Clock::system());
    let limiter =
        tollkeep::rate_limit::RateLimiter::start(&config, open.clone(), &clock, true).await;
    // What the caller says is the time does not matter.
    let fresh = [requests(7, 3)];
    let before = Utc::now() - seconds(1);
    assert_eq!(admitted(&limiter, &fresh, 5, noon()).await, 3);
    let refused = limiter.acquire(lease(1), &fresh, noon() + seconds(600)).await;
    assert!(!refused.is_admitted() && refused.at > before, "{refused:?}");
    assert!(refused.at < before + chrono::TimeDelta::from_std(PATIENCE).unwrap());
    limiter.refund(&[(fresh[0].key, 1)], refused.at - seconds(20), noon()).await;
    limiter.close(noon()).await;
    open.close().await;
    database.drop().await;
}

/// Makes Redis forget everything.
async fn flush(redis: &RedisServer) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = redis.url().trim_start_matches("redis://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"FLUSHALL\r\n").await.unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"+OK\r\n");
}
