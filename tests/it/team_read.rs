//! Reading teams: who sees what, lists, pages, search, and teams that anybody may join.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::{World, api_key, team, user};
use crate::harness::{Answer, Client};
use crate::team_calls::{
    actions, add, call, create, done, forbidden, members, membership, nobody, read, refused,
    same_as_missing,
};

async fn names(client: &Client, arguments: &str) -> Vec<String> {
    let data = client.data(&format!("{{ teams{arguments} {{ nodes {{ name }} }} }}")).await;
    let nodes = data["teams"]["nodes"].as_array().unwrap();
    nodes.iter().map(|node| text(node, "/name")).collect()
}

/// T-INFO-1, T-INFO-2, T-INFO-3, T-INFO-6, T-LIST-1, C-T11: everybody sees the teams that concern
/// them with whatever key they hold; any other team is null by id, by external id and as a node,
/// as if it were missing.
#[tokio::test]
async fn people_see_the_teams_that_concern_them_and_no_others() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let external = json!({ "id": world.b1, "externalId": "b-one" });
        done(&app.admin(), "teamUpdate", external, "").await;
        for (person, sees) in [
            ("service", "A1"),
            ("outsider", ""),
            ("viewer", "A1"),
            ("member", "A1"),
            ("team_admin", "A1"),
            ("other_team_admin", "B1"),
            ("organization_admin", "A1 A2"),
            ("platform_viewer", "A1 A2 B1"),
            ("platform_admin", "A1 A2 B1"),
        ] {
            let client = world.person(person);
            assert_eq!(names(client, "").await.join(" "), sees, "{person}");
            let total = client.data("{ teams { totalCount } }").await;
            assert_eq!(total["teams"]["totalCount"], sees.split_whitespace().count(), "{person}");
            for (name, id) in [("A1", &world.a1), ("A2", &world.a2), ("B1", &world.b1)] {
                let expected = if sees.contains(name) { json!({ "id": id }) } else { Value::Null };
                assert_eq!(read(client, id, "id").await, expected, "{person} {name}");
                let node = "query($id: ID!) { node(id: $id) { id } }";
                let node = client.run_with(node, json!({ "id": id })).await.data();
                assert_eq!(node["node"], expected, "{person} {name}");
            }
            let seen = !read(client, "b-one", "id").await.is_null();
            assert_eq!(seen, sees.contains("B1"), "{person}");
            assert_eq!(read(client, &nobody("team"), "id").await, Value::Null);
        }
        let answer = world.person("gateway").run("{ teams { nodes { id } } }").await;
        assert_eq!(answer.code(), "FORBIDDEN");
        let answer = world.person("anonymous").run("{ teams { nodes { id } } }").await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHENTICATED"));
        let answer = app.admin().run("{ team { id } }").await;
        assert_eq!(answer.code(), "GRAPHQL_VALIDATION_FAILED");
    })
    .await;
}

/// T-INFO-4, C-T2, C-T26, C-T27, M-ADD-9: members come with their budgets for those who look
/// after the team; a member sees its own budget and nobody's address, metadata or key.
#[tokio::test]
async fn members_see_a_team_without_what_is_not_theirs() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let change = json!({ "id": world.a1, "metadata": { "secret": 1 },
            "routerSettings": { "r": 1 }, "budgets": [{ "create": { "maxSpend": "9" } }] });
        done(&admin, "teamUpdate", change, "").await;
        for person in ["member", "viewer"] {
            let change = json!({ "teamId": world.a1, "user": { "id": world.users[person] },
                "budgets": [{ "create": { "maxSpend": "1" } }] });
            done(&admin, "teamMemberUpdate", change, "").await;
        }
        let input = json!({ "userId": world.users["viewer"], "teamId": world.a1, "name": "v" });
        api_key(&admin, input).await;

        let selection = "metadata routerSettings budgets { budget { maxSpend } }
            apiKeys { nodes { name hint user { id } } totalCount }
            members { nodes { role user { id email } budgets { budget { maxSpend } } } }";
        let full = read(world.person("team_admin"), &world.a1, selection).await;
        assert_eq!(full["metadata"], json!({ "secret": 1 }));
        assert_eq!(full["routerSettings"], json!({ "r": 1 }));
        assert_eq!(full["budgets"][0]["budget"]["maxSpend"], "9");
        assert_eq!(full["apiKeys"]["totalCount"], 2);
        let nodes = full["members"]["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), 3);
        for node in nodes {
            let id = text(node, "/user/id");
            let limited = id != world.users["team_admin"];
            assert_eq!(node["budgets"].as_array().unwrap().len(), usize::from(limited));
            assert!(node["user"]["email"].is_string(), "{node}");
        }

        let seen = read(world.person("member"), &world.a1, selection).await;
        assert_eq!(seen["metadata"], Value::Null);
        assert_eq!(seen["routerSettings"], Value::Null);
        assert_eq!(seen["budgets"], Value::Null);
        assert_eq!(seen["apiKeys"], json!({ "nodes": [], "totalCount": 0 }));
        for node in seen["members"]["nodes"].as_array().unwrap() {
            let own = node["user"]["id"] == world.users["member"];
            assert_eq!(node["budgets"].is_null(), !own, "{node}");
            assert_eq!(node["user"]["email"].is_null(), !own, "{node}");
        }
        let seen = read(world.person("service"), &world.a1, selection).await;
        assert_eq!(seen["members"]["nodes"], json!([]));
        assert_eq!(seen["metadata"], Value::Null);
        for field in ["token", "hash", "digest", "secret"] {
            let query = format!("{{ teams {{ nodes {{ apiKeys {{ nodes {{ {field} }} }} }} }} }}");
            assert_eq!(admin.run(&query).await.code(), "GRAPHQL_VALIDATION_FAILED");
        }
    })
    .await;
}

/// T-INFO-5, C-T26: keys that have expired are marked as such, and a list can leave them out.
#[tokio::test]
async fn expired_keys_of_a_team_are_marked() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let input = json!({ "kind": "SERVICE", "teamId": world.a2, "name": "old",
            "expiresAt": "2026-11-21T12:00:01Z" });
        api_key(&admin, input).await;
        api_key(&admin, json!({ "kind": "SERVICE", "teamId": world.a2, "name": "new" })).await;
        app.clock.set("2026-11-21T12:00:01Z".parse().unwrap());
        let keys = read(&admin, &world.a2, "apiKeys { nodes { name isExpired } }").await;
        let expected = json!([{ "name": "new", "isExpired": false },
            { "name": "old", "isExpired": true }]);
        assert_eq!(keys["apiKeys"]["nodes"], expected);
        let query = "query($id: ID!) { apiKeys(filter: { teamIds: [$id], isExpired: false }) {
            nodes { name } } }";
        let found = admin.run_with(query, json!({ "id": world.a2 })).await.data();
        assert_eq!(found["apiKeys"]["nodes"], json!([{ "name": "new" }]));
    })
    .await;
}

/// T-LIST-3, T-LIST-4, T-LIST-8, C-T27, C-T6: a list is filtered by member, organization and
/// state within what the caller sees; a team is listed once; a filter by what the caller may not
/// see finds nothing.
#[tokio::test]
async fn a_list_of_teams_is_filtered_within_what_the_caller_sees() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let member = &world.users["member"];
        add(&admin, &world.b1, member).await;
        done(&admin, "teamBlock", json!({ "id": world.a2 }), "").await;
        done(&admin, "teamUpdate", json!({ "id": world.b1, "isJoinable": true }), "").await;
        let (a, b) = (&world.a, &world.b);
        for (person, filter, expected) in [
            ("platform_admin", format!("memberUserId: \"{member}\""), "A1 B1"),
            ("platform_admin", format!("organizationIds: [\"{a}\"]"), "A1 A2"),
            ("platform_admin", "organizationIds: [\"beta\", \"alpha\"]".to_owned(), "A1 A2 B1"),
            ("platform_admin", "organizationIds: [\"gamma\"]".to_owned(), ""),
            ("platform_admin", "isBlocked: true".to_owned(), "A2"),
            ("platform_admin", "isBlocked: false".to_owned(), "A1 B1"),
            ("platform_admin", "isJoinable: true".to_owned(), "B1"),
            ("platform_admin", "isJoinable: false, isBlocked: false".to_owned(), "A1"),
            ("platform_admin", format!("memberUserId: \"{}\"", nobody("user")), ""),
            ("organization_admin", format!("memberUserId: \"{member}\""), "A1"),
            ("organization_admin", format!("organizationIds: [\"{b}\"]"), ""),
            ("team_admin", format!("memberUserId: \"{member}\""), "A1"),
            ("team_admin", format!("memberUserId: \"{}\"", world.users["other_team_admin"]), "B1"),
            ("member", format!("memberUserId: \"{member}\""), "A1 B1"),
        ] {
            let client = world.person(person);
            // Who shares no team with the caller is nobody to it.
            let expected = if person == "team_admin" && expected == "B1" { "" } else { expected };
            let found = names(client, &format!("(filter: {{ {filter} }})")).await;
            assert_eq!(found.join(" "), expected, "{person}: {filter}");
        }
        let answer = admin.run("{ teams(filter: { organizationIds: [] }) { totalCount } }").await;
        answer.refused("BAD_USER_INPUT", "filter.organizationIds");
    })
    .await;
}

/// T-LIST-6, T-LIST-7, C-T30: teams are ordered by name without regard to case, ties by id; or by
/// age; a page has 1 to 100 teams, and anything else is refused and not hidden.
#[tokio::test]
async fn teams_have_one_order_and_sensible_pages() {
    on_each_database(async |app| {
        let admin = app.admin();
        let mut same = Vec::new();
        for name in ["beta", "Alpha", "gamma", "alpha", "Beta2"] {
            let id = create(&admin, json!({ "name": name })).await;
            if name.eq_ignore_ascii_case("alpha") {
                same.push(id);
            }
        }
        let order = |field: &str, direction: &str| {
            format!("(orderBy: {{ field: {field}, direction: {direction} }})")
        };
        let sorted = ["Alpha", "alpha", "beta", "Beta2", "gamma"];
        assert_eq!(names(&admin, "").await, sorted);
        assert_eq!(names(&admin, &order("NAME", "ASC")).await, sorted);
        let mut backwards = sorted;
        backwards.reverse();
        assert_eq!(names(&admin, &order("NAME", "DESC")).await, backwards);
        let made = ["beta", "Alpha", "gamma", "alpha", "Beta2"];
        assert_eq!(names(&admin, &order("CREATED_AT", "ASC")).await, made);
        let mut backwards = made;
        backwards.reverse();
        assert_eq!(names(&admin, &order("CREATED_AT", "DESC")).await, backwards);
        assert_eq!(names(&admin, "(first: 2)").await, sorted[..2]);
        assert_eq!(names(&admin, "(last: 2)").await, sorted[3..]);
        for (arguments, field) in [
            ("(first: 0)", "first"),
            ("(first: -1)", "first"),
            ("(first: 101)", "first"),
            ("(last: 0)", "last"),
            ("(first: 1, last: 1)", "first"),
            ("(after: \"nonsense\")", "after"),
        ] {
            let answer = admin.run(&format!("{{ teams{arguments} {{ nodes {{ id }} }} }}")).await;
            answer.refused("BAD_USER_INPUT", field);
        }
    })
    .await;
}

struct Walk {
    names: Vec<String>,
    cursor: Value,
    more: bool,
}

fn step(answer: Answer) -> Walk {
    let data = answer.data();
    let page = &data["teams"];
    let nodes = page["nodes"].as_array().unwrap();
    Walk {
        names: nodes.iter().map(|node| text(node, "/name")).collect(),
        cursor: page["pageInfo"]["endCursor"].clone(),
        more: page["pageInfo"]["hasNextPage"].as_bool().unwrap(),
    }
}

/// T-LIST-8, T-FILTER-2, C-T29: a walk over pages meets every team once, also while teams come and
/// go; a cursor belongs to its filter and order; the total is that of the filter.
#[tokio::test]
async fn a_walk_over_pages_meets_every_team_once() {
    on_each_database(async |app| {
        let admin = app.admin();
        let mut ids = Vec::new();
        for number in 0..23 {
            let name = format!("Team {:02}", number / 3);
            ids.push(create(&admin, json!({ "name": name })).await);
        }
        let query = "query($after: String, $order: OrderInput) {
            teams(first: 5, after: $after, orderBy: $order, filter: { search: \"team\" }) {
                totalCount nodes { name } pageInfo { endCursor hasNextPage } } }";
        for order in [json!({ "field": "NAME" }), json!({ "field": "CREATED_AT" })] {
            let (mut met, mut after, mut pages) = (Vec::new(), Value::Null, 0);
            loop {
                let variables = json!({ "after": after, "order": order });
                let answer = admin.run_with(query, variables).await;
                assert_eq!(answer.body["data"]["teams"]["totalCount"], 23);
                let walk = step(answer);
                met.extend(walk.names);
                after = walk.cursor;
                pages += 1;
                if !walk.more {
                    break;
                }
            }
            assert_eq!(pages, 5);
            let expected: Vec<_> =
                (0..23).map(|number| format!("Team {:02}", number / 3)).collect();
            assert_eq!(met, expected);
        }
        let first = step(admin.run_with(query, json!({ "order": { "field": "NAME" } })).await);
        create(&admin, json!({ "name": "Team" })).await;
        done(&admin, "teamDelete", json!({ "ids": [ids[4], ids[5]] }), "").await;
        let variables = json!({ "after": first.cursor, "order": { "field": "NAME" } });
        let second = step(admin.run_with(query, variables).await);
        assert_eq!(second.names, ["Team 02", "Team 02", "Team 02", "Team 03", "Team 03"]);

        let variables = json!({ "after": first.cursor, "order": { "field": "CREATED_AT" } });
        let answer = admin.run_with(query, variables).await;
        answer.refused("BAD_USER_INPUT", "after");
        let other = "query($after: String) { teams(after: $after) { totalCount } }";
        let answer = admin.run_with(other, json!({ "after": first.cursor })).await;
        answer.refused("BAD_USER_INPUT", "after");

        let back = "query($before: String!) {
            teams(last: 3, before: $before, filter: { search: \"team\" }) { nodes { name } } }";
        let answer = admin.run_with(back, json!({ "before": first.cursor })).await;
        assert_eq!(answer.data()["teams"]["nodes"].as_array().unwrap().len(), 3);
    })
    .await;
}

/// T-FILTER-1, T-FILTER-2, T-LIST-8: the search finds a part of the name or the external id,
/// whatever the case, every character of it literally, and only among what the caller sees.
#[tokio::test]
async fn the_search_is_literal_and_knows_no_case() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        for (name, external) in
            [("100% sure", "x-1"), ("100 sure", "x_2"), ("Ünïcode", "UPPER"), ("back\\slash", "z")]
        {
            create(&admin, json!({ "name": name, "externalId": external })).await;
        }
        let found = async |client: &Client, search: &str| {
            let query = "query($s: String) { teams(filter: { search: $s }) { nodes { name } } }";
            let data = client.run_with(query, json!({ "s": search })).await.data();
            let nodes = data["teams"]["nodes"].as_array().unwrap().clone();
            nodes.iter().map(|node| text(node, "/name")).collect::<Vec<_>>()
        };
        for (search, expected) in [
            ("SURE", vec!["100 sure", "100% sure"]),
            ("100%", vec!["100% sure"]),
            ("%", vec!["100% sure"]),
            ("_", vec!["100 sure"]),
            ("x_", vec!["100 sure"]),
            ("upper", vec!["Ünïcode"]),
            ("ÜNÏ", vec!["Ünïcode"]),
            ("\\", vec!["back\\slash"]),
            (".*", vec![]),
            ("'; DROP TABLE teams; --", vec![]),
            ("nothing", vec![]),
        ] {
            assert_eq!(found(&admin, search).await, expected, "{search}");
        }
        assert_eq!(found(world.person("member"), "a").await, ["A1"]);
        assert!(found(world.person("member"), "sure").await.is_empty());
        for search in [String::new(), "x".repeat(257)] {
            let query = "query($s: String) { teams(filter: { search: $s }) { nodes { name } } }";
            let answer = admin.run_with(query, json!({ "s": search })).await;
            answer.refused("BAD_USER_INPUT", "filter.search");
        }
        assert!(found(&admin, &"%".repeat(256)).await.is_empty());
    })
    .await;
}

/// C-T27, T-LIST-4: a list of many teams with members, users, budgets and keys costs as many
/// statements as a list of one.
#[tokio::test]
async fn a_list_of_many_teams_costs_as_much_as_a_list_of_one() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let query = "query($first: Int) { teams(first: $first) { nodes { name
            organization { name } modelAliases { alias } budgets { spent }
            members(first: 10) { nodes { role user { name } budgets { spent } } }
            apiKeys(first: 5) { nodes { name } } } } }";
        let one = admin.run_with(query, json!({ "first": 1 })).await;
        for number in 0..30 {
            let input = json!({ "name": format!("T{number}"), "organizationId": world.a,
                "budgets": [{ "create": { "maxSpend": "1" } }],
                "modelAliases": [{ "alias": "a", "target": "b" }],
                "members": [{ "user": { "id": world.users["member"] } }] });
            create(&admin, input).await;
        }
        let many = admin.run_with(query, json!({ "first": 33 })).await;
        assert_eq!(many.body["data"]["teams"]["nodes"].as_array().unwrap().len(), 33);
        assert!(many.statements() <= one.statements().max(8), "{}", many.statements());
    })
    .await;
}

/// T-AVAIL-1, T-AVAIL-2, T-AVAIL-3, C-T28: the list of joinable teams shows ids and names of what
/// the caller can join and is not in; none is an empty list.
#[tokio::test]
async fn joinable_teams_show_their_names_and_nothing_else() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let joinable = async |client: &Client, arguments: &str| {
            let query = format!("{{ joinableTeams{arguments} {{ nodes {{ name }} totalCount }} }}");
            let data = client.data(&query).await;
            let nodes = data["joinableTeams"]["nodes"].as_array().unwrap().clone();
            assert_eq!(data["joinableTeams"]["totalCount"], nodes.len());
            nodes.iter().map(|node| text(node, "/name")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(joinable(world.person("member"), "").await, "");
        let open = create(&admin, json!({ "name": "Open", "isJoinable": true })).await;
        create(&admin, json!({ "name": "Closed" })).await;
        let blocked = create(&admin, json!({ "name": "Blocked", "isJoinable": true })).await;
        done(&admin, "teamBlock", json!({ "id": blocked }), "").await;
        for team in [&world.a1, &world.a2, &world.b1] {
            done(&admin, "teamUpdate", json!({ "id": team, "isJoinable": true }), "").await;
        }
        assert_eq!(joinable(world.person("outsider"), "").await, "Open");
        assert_eq!(joinable(world.person("member"), "").await, "A2 Open");
        assert_eq!(joinable(world.person("other_team_admin"), "").await, "Open");
        assert_eq!(joinable(world.person("organization_admin"), "").await, "A1 A2 Open");
        assert_eq!(joinable(world.person("member"), "(search: \"OP\")").await, "Open");
        assert_eq!(joinable(world.person("member"), "(first: 2, search: \"a\")").await, "A2");
        add(&admin, &open, &world.users["member"]).await;
        assert_eq!(joinable(world.person("member"), "").await, "A2");
        let data =
            world.person("organization_admin").data("{ joinableTeams { edges { cursor } } }");
        for edge in data.await["joinableTeams"]["edges"].as_array().unwrap() {
            let cursor = URL_SAFE_NO_PAD.decode(text(edge, "/cursor")).unwrap();
            assert_eq!(cursor.len(), 25, "version, id and signature: {cursor:?}");
        }
        for field in ["budgets { spent }", "metadata", "members { totalCount }", "externalId"] {
            let query = format!("{{ joinableTeams {{ nodes {{ {field} }} }} }}");
            let answer = world.person("member").run(&query).await;
            assert_eq!(answer.code(), "GRAPHQL_VALIDATION_FAILED", "{field}");
        }
        let answer = world.person("service").run("{ joinableTeams { totalCount } }").await;
        assert_eq!(answer.code(), "FORBIDDEN");
    })
    .await;
}

/// D27, C-T14, M-ADD-6: whoever joins a team becomes a plain member without a budget, itself alone; a
/// team that cannot be joined is the same as a missing one.
#[tokio::test]
async fn people_join_a_team_alone_as_plain_members() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let open = create(
            &admin,
            json!({ "name": "Open", "isJoinable": true,
            "externalId": "open" }),
        )
        .await;
        let outsider = world.person("outsider");
        let me = &world.users["outsider"];
        let answer = call(
            outsider,
            "teamMemberAdd",
            json!({ "teamId": open,
            "members": [{ "user": { "id": me } }] }),
            "",
        )
        .await;
        assert_eq!(answer.code(), "FORBIDDEN");
        for input in [
            json!({ "teamId": open, "role": "ADMIN" }),
            json!({ "teamId": open, "user": { "id": world.users["member"] } }),
            json!({ "teamId": open, "budgets": [] }),
        ] {
            let answer = call(outsider, "teamJoin", input, "").await;
            assert!(!answer.code().is_empty());
        }
        assert!(members(&admin, &open).await.is_empty());

        let selection = "membership { role user { id } }";
        let joined = done(outsider, "teamJoin", json!({ "teamId": "open" }), selection).await;
        let joined = &joined["membership"];
        assert_eq!(joined["role"], "MEMBER");
        assert_eq!(joined["user"]["id"], *me);
        assert_eq!(members(&admin, &open).await, [format!("{me} MEMBER")]);
        assert_eq!(actions(app, 1).await, ["TEAM_MEMBER_ADDED"]);
        let own = membership(outsider, &open, me, "role budgets { spent }").await;
        assert_eq!((&own["role"], &own["budgets"]), (&json!("MEMBER"), &json!([])));
        let again = json!({ "teamId": open });
        refused(outsider, "teamJoin", again, "NOT_FOUND", "input.teamId").await;

        let closed = team(&admin, "Closed", &world.b, &[]).await;
        let foreign = create(
            &admin,
            json!({ "name": "F", "organizationId": world.b,
            "isJoinable": true }),
        )
        .await;
        let blocked = create(&admin, json!({ "name": "Blocked", "isJoinable": true })).await;
        done(&admin, "teamBlock", json!({ "id": blocked }), "").await;
        for hidden in [&closed, &foreign, &blocked, &world.a1] {
            same_as_missing(outsider, "teamJoin", hidden, |id| json!({ "teamId": id })).await;
        }
        let loner = user(&admin, "loner", "USER").await;
        let (_, key) = api_key(&admin, json!({ "userId": loner, "name": "k" })).await;
        done(&app.with_key(Some(&key)), "teamJoin", json!({ "teamId": open }), "").await;
        for person in ["viewer", "service", "gateway"] {
            forbidden(world.person(person), "teamJoin", json!({ "teamId": open })).await;
        }
        let answer = call(&admin, "teamJoin", json!({ "teamId": open }), "").await;
        assert_eq!(answer.code(), "CONFLICT");
    })
    .await;
}
