//! The people under load: one organization, its teams and projects, and their keys. Each level has a
//! budget, so that every call is counted in four windows and all of them in one.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::client::Client;
use crate::stage::ADMIN_KEY;

/// The keys that are made by one document.
const KEYS_AT_A_TIME: usize = 20;

/// A dollar in billionths.
pub(crate) const DOLLAR: i64 = 1_000_000_000;

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) teams: usize,
    pub(crate) keys: usize,
    /// The period of the projects' budgets.
    pub(crate) period: &'static str,
    /// What the first project may spend in a period, in dollars; the others have enough.
    pub(crate) tight: Option<&'static str>,
    /// The time zones of the projects' budgets, in turn.
    pub(crate) zones: &'static [&'static str],
}

/// A key that calls are made with.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) id: String,
    pub(crate) secret: String,
    /// Whether its project has enough.
    pub(crate) is_rich: bool,
}

/// Everybody.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// The secret of the gateway.
    pub(crate) gateway: String,
    pub(crate) callers: Vec<Caller>,
}

impl World {
    pub(crate) async fn make(address: SocketAddr, plan: Plan) -> Self {
        let mut admin = Client::new(address, ADMIN_KEY);
        let made = admin
            .data("mutation { apiKeyCreate(input: { kind: GATEWAY }) { secret } }", &json!({}))
            .await;
        let gateway = text(&made["apiKeyCreate"]["secret"]);
        let mutation = "mutation($input: OrganizationCreateInput!) {
            organizationCreate(input: $input) { organization { id } } }";
        let input = json!({ "name": "Acme", "budgets": [budget("1000000000", "1mo")] });
        let made = admin.data(mutation, &json!({ "input": input })).await;
        let organization = text(&made["organizationCreate"]["organization"]["id"]);
        let mut projects = Vec::new();
        for number in 0..plan.teams {
            let mutation = "mutation($input: TeamCreateInput!) {
                teamCreate(input: $input) { team { id } } }";
            let input = json!({ "name": format!("Team {number}"), "organizationId": organization,
                "budgets": [budget("1000000", "1h")] });
            let made = admin.data(mutation, &json!({ "input": input })).await;
            let team = text(&made["teamCreate"]["team"]["id"]);
            let mutation = "mutation($input: ProjectCreateInput!) {
                projectCreate(input: $input) { project { id } } }";
            let tight = plan.tight.filter(|_| number == 0);
            let mut max = budget(tight.unwrap_or("100000"), plan.period);
            if !plan.zones.is_empty() {
                max["create"]["timeZone"] = json!(plan.zones[number % plan.zones.len()]);
            }
            let input = json!({ "name": format!("Project {number}"), "teamId": team,
                "budgets": [max] });
            let made = admin.data(mutation, &json!({ "input": input })).await;
            let project = text(&made["projectCreate"]["project"]["id"]);
            projects.push((project, tight.is_none()));
        }
        let mut callers = Vec::new();
        while callers.len() < plan.keys {
            let wanted = KEYS_AT_A_TIME.min(plan.keys - callers.len());
            let of = |place: usize| projects[(callers.len() + place) % projects.len()].clone();
            callers.extend(keys(&mut admin, (0..wanted).map(of).collect()).await);
        }
        Self { gateway, callers }
    }

    /// One of the keys.
    pub(crate) fn caller(&self, number: u64) -> &Caller {
        let place = number % u64::try_from(self.callers.len()).unwrap();
        &self.callers[usize::try_from(place).unwrap()]
    }

    /// One of the keys whose project has enough.
    pub(crate) fn rich(&self, number: u64) -> &Caller {
        let mut next =
            (0..self.callers.len() as u64).map(|step| self.caller(number.wrapping_add(step)));
        next.find(|caller| caller.is_rich).unwrap()
    }
}

/// Makes a key of each of these projects.
async fn keys(admin: &mut Client, projects: Vec<(String, bool)>) -> Vec<Caller> {
    use std::fmt::Write as _;
    let mut mutation = String::from("mutation(");
    let mut variables = json!({});
    for (place, (project, _)) in projects.iter().enumerate() {
        write!(mutation, "$i{place}: ApiKeyCreateInput! ").unwrap();
        variables[format!("i{place}")] = json!({ "kind": "SERVICE", "projectId": project,
            "budgets": [budget("100000", "1d")] });
    }
    mutation.push_str(") {");
    for place in 0..projects.len() {
        write!(mutation, " k{place}: apiKeyCreate(input: $i{place}) {{ secret apiKey {{ id }} }}")
            .unwrap();
    }
    mutation.push_str(" }");
    let made = admin.data(&mutation, &variables).await;
    let caller = |(place, (_, is_rich)): (usize, (String, bool))| {
        let made = &made[format!("k{place}")];
        Caller { id: text(&made["apiKey"]["id"]), secret: text(&made["secret"]), is_rich }
    };
    projects.into_iter().enumerate().map(caller).collect()
}

fn budget(max: &str, period: &str) -> Value {
    json!({ "create": { "maxSpend": max, "period": period } })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// An amount as a decimal text of dollars.
pub(crate) fn dollars(nanos: i64) -> String {
    format!("{}.{:09}", nanos / DOLLAR, nanos % DOLLAR)
}
