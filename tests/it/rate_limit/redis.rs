//! Redis is lost, comes back empty, forgets, or was never there: no limit disappears.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tollkeep::clock::Clock;
use tollkeep::config::{Config, Overrides};
use tollkeep::db::{Database, DatabaseSettings};
use tollkeep::rate_limit::RateLimiter;

use super::promise::{Call, Checker, Dice, demand, pick};
use super::replicas::{Place, Shared};
use super::{admitted, lease, parallel, remaining, requests, seconds, tokens};
use crate::harness::database::kinds;
use crate::harness::redis::RedisServer;
use crate::harness::{Kind, TestApp, TestDatabase, noon, on_each_database};

const LIMIT: u64 = 200;

/// Redis dies while four replicas count in it, and comes back with nothing in it.
#[tokio::test]
async fn the_promise_outlives_redis() {
    let mut place = Place::start(Shared::Redis, 4).await;
    let mut checker = Checker::default();
    let mut dice = Dice::new(0xd1ce);
    let any = |dice: &mut Dice| Call::requests(pick(dice, 4), 1, LIMIT, 1);

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

/// When one replica alone cannot reach Redis, the others leave room for its part.
#[tokio::test]
async fn one_replica_without_redis_breaks_no_promise() {
    let mut place = Place::start(Shared::Redis, 3).await;
    let mut checker = Checker::default();
    let mut dice = Dice::new(0xa10e);
    let any = |dice: &mut Dice| Call::requests(pick(dice, 4), 1, LIMIT, 1);
    let nowhere = RedisServer::start().url();
    place.add_with(Some(("REDIS_URL", &nowhere))).await;
    place.go(6).await;
    let start = place.now();
    demand(&place, &mut checker, &mut dice, 180, any).await;
    let densest = checker.densest();
    assert!(densest <= LIMIT + LIMIT / 20 + 1, "{densest} in some minute");
    let used = checker.since(start);
    assert!(used >= 3 * LIMIT * 9 / 10, "{used} in three minutes");

    // When it has gone, the others share all of the limit again.
    place.crash(3);
    place.go(90).await;
    assert_eq!(admitted(place.limiter(1), &[requests(2, 60)], 70, place.now()).await, 60);
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
    ask(place.redis.as_ref().unwrap(), "FLUSHALL").await;
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

/// What the scripts count is what a process counts in its memory, to the last unit and instant.
#[tokio::test]
async fn scripts_count_as_memory_does() {
    let memory = Place::start(Shared::Nothing, 1).await;
    let redis = Place::start(Shared::Redis, 1).await;
    let mut dice = Dice::new(0xcafe);
    let mut now = memory.now();
    let (mut admitted, mut refused) = (0, 0);
    for call in 0..4_000_u64 {
        now += chrono::TimeDelta::microseconds(match dice.roll(8) {
            0 => 0,
            1 => 1_000_000,
            2 => i64::try_from(dice.roll(9_000_000)).unwrap(),
            _ => i64::try_from(dice.roll(300_000)).unwrap(),
        });
        let mut limits = vec![requests(1, 40), tokens(2, 3_000, dice.roll(90)), parallel(3, 20)];
        match dice.roll(10) {
            0 => limits.push(requests(4, 1 + dice.roll(60))),
            1 => limits.push(tokens(5, u64::MAX, dice.roll(1 << 52))),
            _ => {}
        }
        let lease = lease(u128::from(dice.roll(40)));
        let here = memory.first().acquire(lease, &limits, now).await;
        let there = redis.first().acquire(lease, &limits, now).await;
        assert_eq!(here, there, "call {call}");
        if here.is_admitted() {
            admitted += 1;
        } else {
            refused += 1;
        }
        let amounts = [(limits[0].key(), 1), (limits[1].key(), dice.roll(50))];
        for place in [&memory, &redis] {
            match call % 5 {
                0 => place.first().refund(&amounts, here.at, now).await,
                1 => place.first().refund(&amounts, here.at - seconds(61), now).await,
                2 => place.first().charge(&amounts[1..], now).await,
                3 => place.first().free(&[lease]).await,
                _ => drop(place.first().beat(&[lease], now).await),
            }
        }
        let here = memory.first().peek(&limits, now).await;
        assert_eq!(here, redis.first().peek(&limits, now).await, "after call {call}");
    }
    assert!(admitted > 400 && refused > 400, "{admitted} and {refused}");
    memory.stop().await;
    redis.stop().await;
}

/// In production Redis tells the time, so that replicas whose clocks differ count the same minute.
#[tokio::test]
async fn redis_tells_the_time_of_replicas() {
    let redis = RedisServer::start();
    let test = TestDatabase::create(Kind::Sqlite).await;
    let environment = [("REDIS_URL", redis.url()), ("DATABASE_URL", test.url())];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    let config = Config::load(&Overrides::default(), environment).unwrap();
    let database = Database::open(&test.location(), &DatabaseSettings::default()).await.unwrap();
    database.migrate().await.unwrap();
    let clock = Clock::system();
    let limiter = RateLimiter::start(&config, database.clone(), &clock, true).await;

    let before = clock.now() - seconds(1);
    let limits = [requests(7, 3), parallel(8, 9)];
    for wrong in [noon(), noon() + seconds(600), noon() - seconds(600)] {
        let outcome = limiter.acquire(lease(1), &limits, wrong).await;
        assert!(outcome.is_admitted() && outcome.at > before, "{outcome:?}");
        assert!(outcome.at < clock.now() + seconds(1), "{outcome:?}");
    }
    let refused = limiter.acquire(lease(2), &limits, noon() + seconds(3_600)).await;
    assert!(!refused.is_admitted(), "{refused:?}");
    limiter.refund(&[(limits[0].key(), 1)], refused.at - seconds(2), noon()).await;
    limiter.close(noon()).await;
    database.close().await;
    test.drop().await;
}

/// A server that is given a `REDIS_URL` counts there, and one without counts by itself.
#[tokio::test]
async fn a_server_counts_where_its_settings_say() {
    let redis = RedisServer::start();
    let url = redis.url();
    let settings = [("REDIS_URL", url.as_str()), ("TOLLKEEP__RATE_LIMITS__TIMEOUT", "10s")];
    let limits = [requests(1, 6)];
    for kind in kinds() {
        let database = TestDatabase::create(kind).await;
        let app = TestApp::start(&database, &settings).await;
        let limiter = app.app.rate_limiter();
        assert_eq!(admitted(limiter, &limits, 3, noon()).await, 3);
        assert_eq!(admitted(limiter, &limits, 9, noon() + seconds(61)).await, 6);
        app.stop().await;
        database.drop().await;
        assert!(ask(&redis, "KEYS *requests*").await.contains("requests"));
        ask(&redis, "FLUSHALL").await;
    }
    on_each_database(async |app| {
        assert_eq!(admitted(app.app.rate_limiter(), &limits, 9, noon()).await, 6);
        assert!(!ask(&redis, "KEYS *requests*").await.contains("requests"));
    })
    .await;
}

/// Says something to Redis, past the limiter.
async fn ask(redis: &RedisServer, command: &str) -> String {
    let address = redis.url().trim_start_matches("redis://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
