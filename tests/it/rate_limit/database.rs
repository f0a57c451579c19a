//! Slices leased from the database: replicas that die, come late, or lose the database.

use sea_orm::{ConnectOptions, ConnectionTrait};

use super::promise::{Call, Checker, Dice, demand, pick};
use super::replicas::{Place, Shared};
use super::{admitted, lease, parallel, remaining, requests, seconds, tokens};
use crate::harness::database::{Kind, kinds};

/// What a replica that died had leased is free when its minute is over, and its places when their
/// time is; after that it is no longer counted among the replicas.
#[tokio::test]
async fn a_replica_that_dies_loses_its_slices_by_time() {
    for kind in kinds() {
        let mut place = Place::start(Shared::Database(kind), 2).await;
        let limits = [requests(1, 1_000), parallel(2, 5)];
        assert!(place.limiter(1).acquire(lease(1), &limits, place.now()).await.is_admitted());
        // It is busy, so that it leases ahead.
        let hot = [requests(3, 100_000)];
        for _ in 0..3 {
            assert_eq!(admitted(place.limiter(1), &hot, 200, place.now()).await, 200);
            place.go(1).await;
        }
        place.crash(1);
        let held = remaining(&place.first().peek(&[hot[0], limits[1]], place.now()).await);
        assert!(held[0] < 100_000 - 600, "it holds slices: {held:?}");
        assert_eq!(held[1], 4);
        place.go(70).await;
        let free = remaining(&place.first().peek(&[hot[0], limits[1]], place.now()).await);
        assert_eq!(free, [100_000, 5], "on {kind:?}");
        place.stop().await;
    }
}

/// A replica that ends in order gives back what it holds.
#[tokio::test]
async fn a_replica_that_ends_gives_its_slices_back() {
    for kind in kinds() {
        let place = Place::start(Shared::Database(kind), 2).await;
        let hot = [requests(1, 10_000)];
        assert_eq!(admitted(place.limiter(1), &hot, 100, place.now()).await, 100);
        let held = remaining(&place.first().peek(&hot, place.now()).await);
        assert!(held[0] < 9_900, "{held:?}");
        place.limiter(1).close(place.now()).await;
        assert_eq!(remaining(&place.first().peek(&hot, place.now()).await), [9_900]);
        place.stop().await;
    }
}

/// Rows that count no more do not stay.
#[tokio::test]
async fn counters_leave_no_rows_behind() {
    for kind in kinds() {
        let place = Place::start(Shared::Database(kind), 2).await;
        for number in 0..20 {
            let limits = [requests(number, 10), parallel(number, 10)];
            let limiter = place.limiter(usize::from(number % 2 == 1));
            assert!(limiter.acquire(lease(number), &limits, place.now()).await.is_admitted());
        }
        assert_eq!(rows(&place, "rate_limit_windows").await, 20);
        assert_eq!(rows(&place, "parallel_leases").await, 20);
        place.go(130).await;
        assert_eq!(rows(&place, "rate_limit_windows").await, 0);
        assert_eq!(rows(&place, "parallel_leases").await, 0);
        assert_eq!(rows(&place, "replicas").await, 2);
        place.stop().await;
    }
}

/// The database goes away under four replicas, and comes back.
#[tokio::test]
async fn the_promise_outlives_the_database() {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    let place = Place::start(Shared::Database(Kind::Postgres), 4).await;
    let (most, mut checker, mut dice) = (200, Checker::default(), Dice::new(0xba5e));
    let any = |dice: &mut Dice| Call::requests(pick(dice, 4), 1, most, 1);

    demand(&place, &mut checker, &mut dice, 80, any).await;
    lock_out(&place, true).await;
    let lost_at = place.now();
    demand(&place, &mut checker, &mut dice, 130, any).await;
    let without = checker.since(lost_at);
    assert!(without > most, "a store that is lost is no reason to refuse: {without}");
    lock_out(&place, false).await;
    let back_at = place.now();
    demand(&place, &mut checker, &mut dice, 130, any).await;
    let with = checker.since(back_at);
    assert!(with > most, "{with}");
    let densest = checker.densest();
    assert!(densest <= most + most / 20 + 1, "{densest} in some minute");

    // All of it is shared again.
    place.go(70).await;
    let all = [requests(2, 40)];
    assert_eq!(admitted(place.limiter(2), &all, 50, place.now() + seconds(1)).await, 40);
    place.stop().await;
}

/// What calls used beyond what they took is noted until it can be counted, however often the database
/// is away when it is to be.
#[tokio::test]
async fn what_was_used_is_counted_when_the_database_is_back() {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    let place = Place::start(Shared::Database(Kind::Postgres), 1).await;
    let limits = [tokens(1, 100, 1)];
    place.first().charge(&[(limits[0].key(), 40)], place.now()).await;
    lock_out(&place, true).await;
    place.go(3).await;
    lock_out(&place, false).await;
    // The store is found again, perhaps after a look by each connection that broke, and then told.
    place.go(10).await;
    let other = remaining(&place.first().peek(&limits, place.now()).await);
    assert_eq!(other, [60]);
    place.go(70).await;
    assert_eq!(remaining(&place.first().peek(&limits, place.now()).await), [100]);
    place.stop().await;
}

/// The number of rows of a table.
async fn rows(place: &Place, table: &str) -> i64 {
    let mut options = ConnectOptions::new(place.test_database().url());
    options.max_connections(1).sqlx_logging(false);
    let connection = sea_orm::Database::connect(options).await.unwrap();
    let sql = format!("SELECT COUNT(*) AS found FROM {table}");
    let statement = sea_orm::Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await.unwrap().unwrap();
    let found = row.try_get("", "found").unwrap();
    connection.close().await.unwrap();
    found
}

/// Keeps everybody out of the test's database, or lets them in again.
async fn lock_out(place: &Place, out: bool) {
    let url = place.test_database().url();
    let (server, name) = url.rsplit_once('/').unwrap();
    let mut options = ConnectOptions::new(format!("{server}/postgres"));
    options.max_connections(1).sqlx_logging(false);
    let connection = sea_orm::Database::connect(options).await.unwrap();
    let allow = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {}", !out);
    connection.execute_unprepared(&allow).await.unwrap();
    if out {
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        connection.execute_unprepared(&end).await.unwrap();
    }
    connection.close().await.unwrap();
}
