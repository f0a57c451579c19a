//! What is bent past the API, and what the examination must say of it: these breaches, and no other.

use tollkeep::app::Kind as Breach;
use tollkeep::app::Kind::{
    AccessGroupGone, AliasScopeGone, AssignmentScopeGone, BudgetElsewhere, BudgetInvalid,
    BudgetUnused, CapExceeded, CredentialElsewhere, CredentialEmpty, DestinationRefused,
    EmailInconsistent, FieldInvalid, GrantStale, KeyOwnerNotMember, KeyProjectElsewhere,
    KeySecretsWrong, ManagedUserNotMember, ModelAccessInvalid, ModelsExceeded,
    ProjectOrganizationDiffers, RateExceeded, RowUnreadable, SearchTextStale, SpendTotalDiffers,
    UsageDayDiffers, WindowInvalid, WindowReservedDiffers, WindowScopeGone, WindowSpentDiffers,
};

use super::grown::Grown;
use crate::harness::{Kind, TestApp};
use crate::steps::sql_id;

/// Something bent.
pub(super) struct Case {
    pub(super) bend: Vec<String>,
    pub(super) expected: Vec<(Breach, Vec<String>)>,
}

/// The ids of a breach; those of rows that the API does not name are left to the table.
fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

struct Cases<'a> {
    app: &'a TestApp,
    found: Vec<Case>,
}

impl Cases<'_> {
    fn add(&mut self, bend: &[String], expected: &[(Breach, Vec<String>)]) {
        self.found.push(Case { bend: bend.to_vec(), expected: expected.to_vec() });
    }

    fn sql(&self, id: &str) -> String {
        sql_id(self.app, id)
    }

    /// Sets columns of one row, which is then wrong by itself.
    fn set(&mut self, table: &str, id: &str, set: &str, kind: Breach) {
        let bend = format!("UPDATE {table} SET {set} WHERE id = {}", self.sql(id));
        self.add(&[bend], &[(kind, ids(&[id]))]);
    }

    /// The same, with other ids.
    fn set_with(&mut self, table: &str, id: &str, set: &str, kind: Breach, named: &[&str]) {
        let bend = format!("UPDATE {table} SET {set} WHERE id = {}", self.sql(id));
        self.add(&[bend], &[(kind, ids(named))]);
    }
}

/// All of them.
pub(super) fn cases(app: &TestApp, grown: &Grown) -> Vec<Case> {
    let mut cases = Cases { app, found: Vec::new() };
    unreadable(&mut cases, grown);
    fields(&mut cases, grown);
    budgets(&mut cases, grown);
    models_within(&mut cases, grown);
    limits_within(&mut cases, grown);
    belonging(&mut cases, grown);
    scopes(&mut cases, grown);
    destinations(&mut cases, grown);
    counters(&mut cases, grown);
    cases.found
}

fn unreadable(cases: &mut Cases<'_>, grown: &Grown) {
    let world = &grown.world;
    for (table, id, set) in [
        ("users", &world.users["outsider"], "platform_role = 'KING'"),
        ("users", &world.users["outsider"], "blocked_by = 'NOBODY'"),
        ("teams", &world.a2, "model_access = '{\"mode\": \"SOME\"}'"),
        ("teams", &world.a2, "member_permissions = '[\"FLY\"]'"),
        ("api_keys", &grown.key, "allowed_routes = '{\"llm\": true}'"),
        ("projects", &grown.other_project, "tags = '\"red\"'"),
        ("end_users", &grown.end_user, "region = 'MOON'"),
    ] {
        cases.set(table, id, set, RowUnreadable);
    }
    if cases.app.kind == Kind::Sqlite {
        cases.set("credentials", &grown.credential, "allowed_hosts = 'not JSON'", RowUnreadable);
    }
}

fn fields(cases: &mut Cases<'_>, grown: &Grown) {
    let world = &grown.world;
    let users = &world.users;
    for (table, id, set) in [
        ("organizations", &world.b, "metadata = '[]'"),
        ("users", &users["outsider"], "email = 'outsider', email_key = 'outsider'"),
        (
            "users",
            &users["outsider"],
            "email = NULL, email_key = NULL, email_confirmed_by = NULL, name = NULL, search_text = ''",
        ),
        ("teams", &world.a1, "tags = '[\"\"]'"),
        ("teams", &world.a1, "guardrails = '[\"a\", \"a\"]'"),
        ("teams", &world.a1, "router_settings = '7'"),
        ("projects", &grown.project, "object_permissions = '\"all\"'"),
        ("api_keys", &grown.key, "allowed_routes = '[]'"),
        ("api_keys", &grown.key, "allowed_routes = '[\"everything\"]'"),
        ("api_keys", &world.keys["gateway"], "kind = 'USER'"),
        ("api_keys", &world.keys["service"], "kind = 'ADMIN'"),
        ("credentials", &grown.credential, "allowed_hosts = '[\"api.example.com\", \"10.0.0.1\"]'"),
        ("models", &grown.model, "requests_per_minute = -1"),
        ("models", &grown.model, "params = '{\"model\": \"x\"}'"),
        ("end_users", &grown.end_user, "default_model = ' '"),
        ("tags", &grown.tag, "name = ' x', search_text = ' x'"),
        ("budgets", &grown.tier, "name = NULL, search_text = CHR31"),
        ("budgets", &grown.budgets.key, "owner_id = NULL"),
    ] {
        // What is searched begins with the name, and the external id follows.
        let chr31 = match cases.app.kind {
            Kind::Sqlite => "char(31) || 'tier'",
            Kind::Postgres => "chr(31) || 'tier'",
        };
        cases.set(table, id, &set.replace("CHR31", chr31), FieldInvalid);
    }
    let organization = format!("organization_id = {}", cases.sql(&world.b));
    cases.set("end_users", &grown.end_user, &organization, FieldInvalid);
    let value = r#"UPDATE settings SET value = '{"key_bounds": {"user": {"max_lifetime": "soon"}}}' WHERE name = 'platform'"#;
    cases.add(&[value.to_owned()], &[(FieldInvalid, ids(&["platform"]))]);
    let value = "UPDATE settings SET value = '{\"version\": \"one\"}' WHERE name = 'platform'";
    cases.add(&[value.to_owned()], &[(FieldInvalid, ids(&["platform"]))]);
    for table in
        ["organizations", "users", "teams", "projects", "api_keys", "credentials", "models"]
    {
        let id = match table {
            "organizations" => &world.a,
            "users" => &users["member"],
            "teams" => &world.a1,
            "projects" => &grown.project,
            "api_keys" => &grown.key,
            "credentials" => &grown.credential,
            _ => &grown.model,
        };
        cases.set(table, id, "search_text = 'something else'", SearchTextStale);
    }
    for (table, id) in [
        ("access_groups", &grown.group),
        ("end_users", &grown.end_user),
        ("tags", &grown.tag),
        ("budgets", &grown.tier),
        ("budgets", &grown.budgets.key),
    ] {
        cases.set(table, id, "search_text = 'something else'", SearchTextStale);
    }
    let key = "email_key = 'somebody@example.com'";
    cases.set("users", &users["outsider"], key, EmailInconsistent);
    let nobody = "email_confirmed_by = 'ORGANIZATION'";
    cases.set("users", &users["outsider"], nobody, EmailInconsistent);
    cases.set("budget_windows", &grown.window, "ends_at = starts_at", WindowInvalid);
    let empty = "model_access = '{\"mode\": \"LIST\", \"models\": [], \"access_groups\": []}'";
    let beside =
        "model_access = '{\"mode\": \"NONE\", \"models\": [\"o3\"], \"access_groups\": []}'";
    for (table, id) in [
        ("organizations", &world.b),
        ("users", &users["outsider"]),
        ("teams", &world.a2),
        ("team_memberships", &grown.plain_membership),
        ("projects", &grown.other_project),
        ("api_keys", &world.keys["outsider"]),
    ] {
        cases.set(table, id, empty, ModelAccessInvalid);
        cases.set(table, id, beside, ModelAccessInvalid);
    }
    cases.set("teams", &world.a1, &format!("member_{empty}"), ModelAccessInvalid);
    let gone =
        "model_access = '{\"mode\": \"LIST\", \"models\": [], \"access_groups\": [\"slow\"]}'";
    for (table, id, prefix) in [
        ("organizations", &world.b, ""),
        ("users", &users["outsider"], ""),
        ("teams", &world.a1, "member_"),
        ("api_keys", &world.keys["outsider"], ""),
    ] {
        cases.set(table, id, &format!("{prefix}{gone}"), AccessGroupGone);
    }
    let deleted = "DELETE FROM access_groups".to_owned();
    let models = "DELETE FROM access_group_models".to_owned();
    cases.add(&[models, deleted], &[(AccessGroupGone, ids(&["platform"]))]);
}

fn budgets(cases: &mut Cases<'_>, grown: &Grown) {
    for set in [
        "max_spend = -1",
        "requests_per_minute = -1",
        "soft_spend = max_spend",
        "soft_spend = -1",
        "period = 'fortnightly'",
        "time_zone = 'Mars/Base'",
        "model_pattern = ''",
        "max_spend = NULL, soft_spend = NULL, requests_per_minute = NULL, tokens_per_minute = NULL, \
         max_parallel_requests = NULL",
    ] {
        cases.set("budgets", &grown.budgets.key, set, BudgetInvalid);
    }
    let gone = format!(
        "DELETE FROM budget_assignments WHERE budget_id = {}",
        cases.sql(&grown.budgets.key)
    );
    cases.add(&[gone], &[(BudgetUnused, ids(&[&grown.budgets.key, &grown.key]))]);
    let world = &grown.world;
    let moved = format!("organization_id = {}", cases.sql(&world.b));
    let tier = &grown.tier;
    let bend = format!("UPDATE budgets SET {moved} WHERE id = {}", cases.sql(tier));
    let expected =
        [(BudgetElsewhere, ids(&[tier, &world.a1])), (BudgetElsewhere, ids(&[tier, &world.a2]))];
    cases.add(&[bend], &expected);
    let user = &grown.budgets.user;
    let named = [user.as_str(), &world.users["member"]];
    cases.set_with("budgets", user, &moved, BudgetElsewhere, &named);
}

fn list(models: &[&str]) -> String {
    let access = serde_json::json!({ "mode": "LIST", "models": models, "access_groups": [] });
    format!("model_access = '{access}'")
}

fn models_within(cases: &mut Cases<'_>, grown: &Grown) {
    let world = &grown.world;
    let (key, team, project) = (&grown.key, &world.a1, &grown.project);
    // The member may call gpt-4o*, the project gpt-*, the team gpt-* and o3, the organization these two.
    for (table, id, set, above) in [
        ("teams", &world.a2, list(&["claude"]), vec![&world.a]),
        ("projects", &grown.other_project, list(&["claude"]), vec![&world.a]),
        ("projects", project, list(&["claude", "gpt-4o"]), vec![team, &world.a]),
        ("team_memberships", &grown.membership, list(&["gpt-4o", "x"]), vec![team, &world.a]),
        ("api_keys", key, list(&["gpt-5"]), vec![&grown.membership]),
        ("api_keys", key, list(&["o3"]), vec![project, &grown.membership]),
        ("api_keys", &grown.plain_key, list(&["claude"]), vec![team, &world.a]),
        ("api_keys", &world.keys["member"], list(&["o3"]), vec![&world.users["member"]]),
    ] {
        let bend = format!("UPDATE {table} SET {set} WHERE id = {}", cases.sql(id));
        let expected: Vec<_> =
            above.iter().map(|above| (ModelsExceeded, ids(&[id, above]))).collect();
        cases.add(&[bend], &expected);
    }
    // From above: what is below and lists more, each for itself.
    let bend = format!(
        "UPDATE users SET {} WHERE id = {}",
        list(&["o3"]),
        cases.sql(&world.users["member"])
    );
    let expected = [(ModelsExceeded, ids(&[&world.keys["member"], &world.users["member"]]))];
    cases.add(&[bend], &expected);
}

fn limits_within(cases: &mut Cases<'_>, grown: &Grown) {
    let (world, budgets) = (&grown.world, &grown.budgets);
    let above = |scopes: &[(&String, &String)], kind: Breach, own: (&String, &String)| {
        let breach = |(scope, budget): &(&String, &String)| {
            (kind, ids(&[own.0.as_str(), own.1, scope, budget]))
        };
        scopes.iter().map(breach).collect::<Vec<_>>()
    };
    let organization = (&world.a, &budgets.organization);
    let (team, tier) = ((&world.a1, &budgets.team), (&world.a1, &grown.tier));
    let project = (&grown.project, &budgets.project);
    let member = (&grown.membership, &budgets.membership);
    let key = (&grown.key, &budgets.key);
    let dollars = |amount: u64| format!("max_spend = {amount}000000000");
    for (own, set, kind, exceeded) in [
        (team, dollars(101), CapExceeded, vec![organization]),
        (project, dollars(51), CapExceeded, vec![team]),
        (project, dollars(81), CapExceeded, vec![team, tier]),
        (member, dollars(51), CapExceeded, vec![team]),
        (key, dollars(11), CapExceeded, vec![member]),
        (key, dollars(21), CapExceeded, vec![project, member]),
        (key, "requests_per_minute = 11".to_owned(), RateExceeded, vec![member]),
        (key, "requests_per_minute = 61".to_owned(), RateExceeded, vec![team, member]),
        (key, "tokens_per_minute = 6001".to_owned(), RateExceeded, vec![team]),
        (key, "max_parallel_requests = 7".to_owned(), RateExceeded, vec![team]),
        ((&world.a1, &budgets.member_default), dollars(51), CapExceeded, vec![team]),
    ] {
        let bend = format!("UPDATE budgets SET {set} WHERE id = {}", cases.sql(own.1));
        cases.add(&[bend], &above(&exceeded, kind, own));
    }
    let personal = (&world.keys["member"], &budgets.personal_key);
    let user = (&world.users["member"], &budgets.user);
    let bend = format!(
        "UPDATE budgets SET {} WHERE id = {}",
        dollars(31),
        cases.sql(&budgets.personal_key)
    );
    cases.add(&[bend], &above(&[user], CapExceeded, personal));
    // A cap is compared with those of the same or a longer period alone.
    let bend = format!(
        "UPDATE budgets SET max_spend = 12000000000, period = NULL WHERE id = {}",
        cases.sql(&budgets.key)
    );
    cases.add(&[bend], &[]);
    // A parent that is lowered is exceeded by all that is below it.
    let bend = format!(
        "UPDATE budgets SET {} WHERE id = {}",
        dollars(15),
        cases.sql(&budgets.organization)
    );
    let tier_of_other = (&world.a2, &grown.tier);
    let mut expected = Vec::new();
    for own in [team, tier, tier_of_other, project] {
        expected.extend(above(&[organization], CapExceeded, own));
    }
    cases.add(&[bend], &expected);
}

fn belonging(cases: &mut Cases<'_>, grown: &Grown) {
    let world = &grown.world;
    let lead = &world.users["team_admin"];
    let bend = format!(
        "DELETE FROM team_memberships WHERE team_id = {} AND user_id = {}",
        cases.sql(&world.a1),
        cases.sql(lead)
    );
    let named = ids(&[&grown.plain_key, lead, &world.a1]);
    cases.add(&[bend], &[(KeyOwnerNotMember, named)]);
    let other = format!("project_id = {}", cases.sql(&grown.other_project));
    let named = [grown.plain_key.as_str(), &grown.other_project];
    cases.set_with("api_keys", &grown.plain_key, &other, KeyProjectElsewhere, &named);
    let of_key = format!("WHERE api_key_id = {}", cases.sql(&grown.key));
    let expected = [(KeySecretsWrong, ids(&[&grown.key]))];
    cases.add(&[format!("DELETE FROM api_key_secrets {of_key}")], &expected);
    let ended = format!("UPDATE api_key_secrets SET not_after = created_at {of_key}");
    cases.add(&[ended], &expected);
    let (id, digest) = (
        cases.sql(&format!("x_{}", "7e".repeat(16))),
        match cases.app.kind {
            Kind::Sqlite => "x'00'",
            Kind::Postgres => "'\\x00'::bytea",
        },
    );
    let second = format!(
        "INSERT INTO api_key_secrets (id, api_key_id, digest, pepper_id, hint, not_after, created_at) \
         SELECT {id}, api_key_id, {digest}, pepper_id, hint, not_after, created_at \
         FROM api_key_secrets {of_key}"
    );
    cases.add(&[second], &expected);
    let named = [grown.project.as_str(), &world.a1];
    for organization in [cases.sql(&world.b), "NULL".to_owned()] {
        let set = format!("organization_id = {organization}");
        cases.set_with("projects", &grown.project, &set, ProjectOrganizationDiffers, &named);
    }
    let member = &world.users["member"];
    let bend =
        format!("DELETE FROM organization_memberships WHERE user_id = {}", cases.sql(member));
    cases.add(&[bend], &[(ManagedUserNotMember, ids(&[member, &world.a]))]);
    let granted = [grown.granted.as_str(), &grown.free_team];
    cases.set("models", &grown.model, "is_granted = true", GrantStale);
    let set = list(&["o3"]);
    let bend = format!("UPDATE teams SET {set} WHERE id = {}", cases.sql(&grown.free_team));
    cases.add(&[bend], &[(GrantStale, ids(&granted))]);
}

fn scopes(cases: &mut Cases<'_>, grown: &Grown) {
    let app = cases.app;
    let nobody = "7f".repeat(16);
    let gone = sql_id(app, &format!("x_{nobody}"));
    let assignments = &grown.assignments;
    for (kind, prefix) in [
        ("ORGANIZATION", "org"),
        ("TEAM", "team"),
        ("TEAM_MEMBER_DEFAULT", "team"),
        ("TEAM_MEMBERSHIP", "member"),
        ("PROJECT", "project"),
        ("USER", "user"),
        ("API_KEY", "key"),
        ("END_USER", "enduser"),
        ("TAG", "tag"),
    ] {
        let (assignment, budget) = &assignments[kind];
        let bend = format!(
            "UPDATE budget_assignments SET scope_id = {gone} WHERE id = {}",
            cases.sql(assignment)
        );
        let named = ids(&[assignment, &format!("{prefix}_{nobody}"), budget]);
        cases.add(&[bend], &[(AssignmentScopeGone, named)]);
    }
    for (kind, name) in [("TEAM_DEFAULT", "settings"), ("PLATFORM", "platform")] {
        let (assignment, budget) = &assignments[kind];
        let bend = format!(
            "UPDATE budget_assignments SET scope_id = {gone} WHERE id = {}",
            cases.sql(assignment)
        );
        cases.add(&[bend], &[(AssignmentScopeGone, ids(&[assignment, name, budget]))]);
    }
    let [of_team, of_key] = [&grown.aliases.0, &grown.aliases.1];
    for (alias, set, scope) in [
        (of_team, format!("scope_id = {gone}"), format!("team_{nobody}")),
        (of_key, format!("scope_id = {gone}"), format!("key_{nobody}")),
        (of_team, "scope_kind = 'USER'".to_owned(), grown.world.a1.replace("team_", "user_")),
    ] {
        cases.set_with("model_aliases", alias, &set, AliasScopeGone, &[alias, &scope]);
    }
    cases.set("model_aliases", of_team, "target = alias", FieldInvalid);
    let set = format!("scope_id = {gone}");
    let named = [grown.window.as_str(), &grown.tier];
    cases.set_with("budget_windows", &grown.window, &set, WindowScopeGone, &named);
}

fn destinations(cases: &mut Cases<'_>, grown: &Grown) {
    let other = format!("credential_id = {}", cases.sql(&grown.other_credential));
    let named = [grown.team_model.as_str(), &grown.other_credential];
    cases.set_with("models", &grown.team_model, &other, CredentialElsewhere, &named);
    let own = format!("credential_id = {}", cases.sql(&grown.team_credential));
    let named = [grown.model.as_str(), &grown.team_credential];
    cases.set_with("models", &grown.model, &own, CredentialElsewhere, &named);
    for set in [
        "api_base = 'https://evil.example'",
        "api_base = 'http://api.example.com'",
        "params = '{\"webhook\": \"https://evil.example\"}'",
    ] {
        cases.set("models", &grown.model, set, DestinationRefused);
    }
    let metadata = "api_base = 'http://169.254.169.254/', credential_id = NULL";
    cases.set("models", &grown.model, metadata, DestinationRefused);
    let bend = format!(
        "UPDATE credentials SET allowed_hosts = '[]' WHERE id = {}",
        cases.sql(&grown.credential)
    );
    cases.add(&[bend], &[(DestinationRefused, ids(&[&grown.model]))]);
    let bend = format!(
        "DELETE FROM credential_values WHERE credential_id = {}",
        cases.sql(&grown.credential)
    );
    cases.add(&[bend], &[(CredentialEmpty, ids(&[&grown.credential]))]);
    let (of_platform, of_team) = (&grown.values.0, &grown.values.1);
    for set in ["reference = 'os.environ/KEY'", "sealed = NULL", "kek_id = NULL", "name = 'a b'"] {
        cases.set("credential_values", of_platform, set, FieldInvalid);
    }
    let set = "reference = 'os.environ/KEY', sealed = NULL, kek_id = NULL";
    cases.set("credential_values", of_team, set, FieldInvalid);
}

fn counters(cases: &mut Cases<'_>, grown: &Grown) {
    let window = cases.sql(&grown.window);
    let named = [grown.window.as_str(), &grown.tier];
    for (column, kind) in [("spent", WindowSpentDiffers), ("reserved", WindowReservedDiffers)] {
        cases.set_with("budget_windows", &grown.window, &format!("{column} = 5"), kind, &named);
        let bend = format!("UPDATE budget_windows SET {column} = -1 WHERE id = {window}");
        let expected = [(WindowInvalid, ids(&[&grown.window])), (kind, ids(&named))];
        cases.add(&[bend], &expected);
    }
    let of_key = format!("WHERE scope_id = {}", cases.sql(&grown.key));
    let expected = [(SpendTotalDiffers, ids(&[&grown.key]))];
    for set in ["spent = spent + 1", "requests = 0", "input_tokens = 1", "output_tokens = 1"] {
        cases.add(&[format!("UPDATE spend_totals SET {set} {of_key}")], &expected);
    }
    cases.add(&[format!("DELETE FROM spend_totals {of_key}")], &expected);
    let day = [grown.day.as_str(), &grown.key];
    for set in ["spent = 0", "requests = 2", "reasoning_tokens = 1", "cache_write_tokens = 1"] {
        cases.set_with("usage_daily", &grown.day, set, UsageDayDiffers, &day);
    }
    let gone = "DELETE FROM usage_daily".to_owned();
    cases.add(&[gone], &[(UsageDayDiffers, ids(&[&grown.day]))]);
}
