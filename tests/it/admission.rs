//! Who comes when there is no room is told to come back, and everybody else is served.

use serde_json::json;

use crate::deadline::{hold, release};
use crate::harness::on_each_database_with;
use crate::harness::world::{World, api_key};

/// Room for one request, for which others wait a moment: less than the one inside waits for a lock.
const SETTINGS: &[(&str, &str)] = &[
    ("TOLLKEEP__LIMITS__CONCURRENT_REQUESTS", "1"),
    ("TOLLKEEP__DATABASE__ACQUIRE_TIMEOUT", "200ms"),
    ("TOLLKEEP__DATABASE__LOCK_TIMEOUT", "5s"),
];

/// SECURITY 4 R7: a request that finds no room is answered 503 with `Retry-After`; checks need none.
#[tokio::test]
async fn a_crowd_is_put_off_and_checks_are_not() {
    on_each_database_with(SETTINGS, async |app| {
        let world = World::new(app).await;
        let input = json!({ "userId": world.users["member"], "teamId": world.a1 });
        let (_, secret) = api_key(&app.admin(), input).await;
        let check = json!({ "credential": secret, "model": "m" });
        // What the poll has seen, no later one tells again: the key stays known while its team is locked.
        app.app.enforcement().poll().await.unwrap();
        assert_eq!(world.person("gateway").check(check.clone()).await.status, 200);

        let held = hold(app, "LOCK TABLE teams").await;
        let admin = app.admin();
        let inside = tokio::spawn(async move {
            let query = "mutation { teamCreate(input: { name: \"Inside\" }) { team { name } } }";
            loop {
                let answer = admin.run(query).await;
                if answer.status != 503 {
                    break answer;
                }
            }
        });
        // Either may be the faster one: this one needs no lock, and is out again at once.
        let put_off = loop {
            let answer = app.admin().run("{ viewer { kind } }").await;
            if answer.status != 200 {
                break answer;
            }
        };
        assert_eq!((put_off.status, put_off.code().as_str()), (503, "SERVICE_UNAVAILABLE"));
        assert_eq!(put_off.headers["retry-after"], "1");
        assert_eq!(world.person("gateway").check(check).await.status, 200);
        release(held).await;

        let inside = inside.await.unwrap();
        assert_eq!(inside.data()["teamCreate"]["team"]["name"], "Inside");
        app.admin().data("{ viewer { kind } }").await;
    })
    .await;
}
