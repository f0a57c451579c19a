//! Searching for users: literal, whatever the case, and never in what the caller may not read.

use serde_json::json;

use crate::harness::on_each_database;
use crate::harness::world::World;
use crate::steps::{done, read};

/// SECURITY case 29 (CVE-2026-25591): a search text stands for itself, whatever its case.
#[tokio::test]
async fn a_search_is_literal_and_ignores_case() {
    on_each_database(async |app| {
        let admin = app.admin();
        let names = ["100% sure", "under_score", "back\\slash", "Ärger ΣΊΣΥΦΟΣ", "plain"];
        for (number, name) in names.iter().enumerate() {
            let input = json!({ "name": name, "externalId": format!("EXT-{number}") });
            done(&admin, "userCreate", input, "user { id }").await;
        }
        let query = "query($search: String!) {
            users(filter: { search: $search }) { totalCount nodes { name } }
        }";
        for (search, found) in [
            ("%", &["100% sure"][..]),
            ("_", &["under_score"]),
            ("\\", &["back\\slash"]),
            ("\\\\", &[]),
            ("%%", &[]),
            ("0%_", &[]),
            ("p.*n", &[]),
            ("' OR 1=1 --", &[]),
            ("äRGER", &["Ärger ΣΊΣΥΦΟΣ"]),
            ("PLAIN", &["plain"]),
            ("ext-4", &["plain"]),
        ] {
            let users = admin.run_with(query, json!({ "search": search })).await.data();
            let nodes = users["users"]["nodes"].as_array().unwrap();
            let names: Vec<_> = nodes.iter().map(|user| user["name"].clone()).collect();
            assert_eq!(names, found, "{search}");
            assert_eq!(users["users"]["totalCount"], found.len(), "{search}");
        }
        for search in ["%".repeat(256), "_".repeat(256)] {
            let users = admin.run_with(query, json!({ "search": search })).await.data();
            assert_eq!(users["users"]["totalCount"], 0);
        }
        for length in [257, 10_240] {
            let answer = admin.run_with(query, json!({ "search": "a".repeat(length) })).await;
            answer.refused("BAD_USER_INPUT", "filter.search");
        }
    })
    .await;
}

/// SECURITY case 29: no filter looks at what the caller may not read.
#[tokio::test]
async fn no_search_finds_a_user_by_an_address_that_one_may_not_read() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let query = "{ users(filter: { search: \"@example.com\" }) { totalCount nodes { id } } }";
        for name in ["member", "team_admin", "organization_admin", "outsider"] {
            let found = read(world.person(name), query).await;
            assert_eq!(found, json!({ "totalCount": 0, "nodes": [] }), "{name}");
        }
        for name in ["platform_viewer", "platform_admin"] {
            assert_eq!(read(world.person(name), query).await["totalCount"], 8, "{name}");
        }
    })
    .await;
}
