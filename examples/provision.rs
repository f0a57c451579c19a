//! Makes a team with a budget, a project in it and a key of the project, and prints what the key may
//! call. What an earlier run made is left as it is.
//!
//! ```sh
//! KEY=sk-tka_… cargo run --quiet --example provision -- research 'gpt-4o*'
//! ```
//!
//! The types come from `schema.graphql` and `examples/provision.graphql` while this compiles.

#![expect(clippy::print_stdout, reason = "what it prints is the result")]
#![expect(clippy::disallowed_methods, reason = "the environment is all the configuration it has")]

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use graphql_client::{GraphQLQuery, Response};

const USAGE: &str = "Usage: KEY=<key> cargo run --quiet --example provision -- NAME MODEL...

NAME    of the team; its external id, and the beginning of those of its project and its key
MODEL   a model that the team may call; * stands for any text

URL is http://127.0.0.1:4000/graphql by default.";

/// The API's scalars, under the names that the generated code looks for.
mod scalars {
    pub(crate) type BigInt = String;
    pub(crate) type DateTime = String;
    pub(crate) type Duration = String;
    /// Exact: calculate with a crate for decimals, never with floating-point numbers.
    pub(crate) type Usd = String;
}

#[derive(GraphQLQuery)]
#[graphql(
    schema_path = "schema.graphql",
    query_path = "examples/provision.graphql",
    custom_scalars_module = "crate::scalars",
    skip_serializing_none
)]
struct TeamCreate;

#[derive(GraphQLQuery)]
#[graphql(
    schema_path = "schema.graphql",
    query_path = "examples/provision.graphql",
    custom_scalars_module = "crate::scalars"
)]
struct ProjectCreate;

#[derive(GraphQLQuery)]
#[graphql(schema_path = "schema.graphql", query_path = "examples/provision.graphql")]
struct ApiKeyCreate;

#[derive(GraphQLQuery)]
#[graphql(
    schema_path = "schema.graphql",
    query_path = "examples/provision.graphql",
    custom_scalars_module = "crate::scalars"
)]
struct Provisioned;

#[derive(GraphQLQuery)]
#[graphql(schema_path = "schema.graphql", query_path = "examples/provision.graphql")]
struct EffectiveModels;

/// The server refused the operation, or a part of it.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(describe).collect::<Vec<_>>().join("\n"))]
struct Refused(Vec<graphql_client::Error>);

impl Refused {
    /// Whether the only thing wrong is that another object has this external id.
    fn external_id_is_taken(&self) -> bool {
        self.0.iter().all(|error| {
            extension(error, "code") == Some("ALREADY_EXISTS")
                && extension(error, "field") == Some("input.externalId")
        })
    }
}

fn describe(error: &graphql_client::Error) -> String {
    // Unknown codes, and answers that are none of ours, count as faults of the server.
    let code = extension(error, "code").unwrap_or("INTERNAL_SERVER_ERROR");
    let field = extension(error, "field").map(|field| format!(" at {field}"));
    let request = extension(error, "requestId").map(|id| format!(" (request {id})"));
    let (field, request) = (field.unwrap_or_default(), request.unwrap_or_default());
    format!("{code}{field}: {}{request}", error.message)
}

fn extension<'a>(error: &'a graphql_client::Error, name: &str) -> Option<&'a str> {
    error.extensions.as_ref()?.get(name)?.as_str()
}

struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Client {
    fn new(url: String, key: String) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            // The key goes to this address alone.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, url, key })
    }

    async fn request<Q: GraphQLQuery>(
        &self,
        variables: Q::Variables,
    ) -> Result<Q::ResponseData, Box<dyn Error>> {
        let response = self
            .http
            .post(&self.url)
            .header("accept", "application/graphql-response+json")
            .bearer_auth(&self.key)
            .json(&Q::build_query(variables))
            .send()
            .await?;
        let status = response.status();
        let answer: Response<Q::ResponseData> = serde_json::from_slice(&response.bytes().await?)
            .map_err(|_| format!("{} answered {status}, and not what was asked for", self.url))?;
        match answer.errors {
            Some(errors) if !errors.is_empty() => Err(Refused(errors).into()),
            _ => answer
                .data
                .ok_or_else(|| format!("{} answered {status} without data", self.url).into()),
        }
    }

    /// What a mutation made; `None` when its external id is taken, as it is in a second run.
    async fn create<Q: GraphQLQuery>(
        &self,
        variables: Q::Variables,
    ) -> Result<Option<Q::ResponseData>, Box<dyn Error>> {
        match self.request::<Q>(variables).await {
            Ok(made) => Ok(Some(made)),
            Err(error) => match error.downcast_ref::<Refused>() {
                Some(refused) if refused.external_id_is_taken() => Ok(None),
                _ => Err(error),
            },
        }
    }
}

async fn provision(client: &Client, name: &str, models: Vec<String>) -> Result<(), Box<dyn Error>> {
    // External ids are taken wherever an id is asked for.
    let team = name.to_owned();
    let project = format!("{name}-assistant");
    let api_key = format!("{name}-assistant-key");

    let new_team = client
        .create::<TeamCreate>(team_create::Variables {
            name: name.to_owned(),
            external_id: team.clone(),
            models,
            budget: monthly("100"),
        })
        .await?;
    let new_project = client
        .create::<ProjectCreate>(project_create::Variables {
            external_id: project.clone(),
            team_id: team.clone(),
            max_spend: "40".to_owned(),
        })
        .await?;
    let new_key = client
        .create::<ApiKeyCreate>(api_key_create::Variables {
            external_id: api_key.clone(),
            team_id: team.clone(),
            project_id: project.clone(),
        })
        .await?;
    if let Some(made) = new_key.as_ref().and_then(|made| made.api_key_create.as_ref()) {
        // Before anything else can fail: no other answer has it.
        print("secret", &made.secret);
    }

    let variables = provisioned::Variables { team, project, api_key: api_key.clone() };
    let now = client.request::<Provisioned>(variables).await?;
    let (Some(team), Some(project), Some(key)) = (now.team, now.project, now.api_key) else {
        let reason = "is taken by something that you may not see";
        return Err(format!("an external id of {name} {reason}").into());
    };
    print("team", &format!("{} {}", team.id, note(new_team.is_some())));
    team.budgets.iter().flatten().for_each(print_limit);
    print("project", &format!("{} {}", project.id, note(new_project.is_some())));
    project.budgets.iter().flatten().for_each(print_limit);
    print("key", &format!("{} {}", key.id, note(new_key.is_some())));
    print_models(client, api_key).await
}

/// What calls with the key may ask for, page by page: the same rules decide that judge calls.
async fn print_models(client: &Client, api_key: String) -> Result<(), Box<dyn Error>> {
    let mut after = None;
    loop {
        let variables = effective_models::Variables { api_key: api_key.clone(), after };
        let answer = client.request::<EffectiveModels>(variables).await?;
        let Some(page) = answer.api_key.and_then(|api_key| api_key.effective_models) else {
            return Ok(());
        };
        for model in page.nodes {
            if model.name == model.target {
                print("model", &model.name);
            } else {
                print("model", &format!("{} -> {}", model.name, model.target));
            }
        }
        after = page.page_info.end_cursor;
        if !page.page_info.has_next_page {
            return Ok(());
        }
    }
}

/// A budget for each calendar month. Exactly one variant of a one-of input is sent.
fn monthly(max_spend: &str) -> team_create::ScopeBudgetInput {
    team_create::ScopeBudgetInput::Create(team_create::BudgetLimitsInput {
        max_spend: Some(max_spend.to_owned()),
        period: Some("1mo".to_owned()),
        max_parallel_requests: None,
        model_pattern: None,
        requests_per_minute: None,
        soft_spend: None,
        temporary_increase: None,
        time_zone: None,
        tokens_per_minute: None,
    })
}

fn note(made: bool) -> &'static str {
    if made { "(made)" } else { "(was there)" }
}

fn print_limit(limit: &provisioned::Limit) {
    let most = limit.budget.max_spend.as_deref().unwrap_or("no");
    let period = limit.budget.period.as_deref().unwrap_or("lifetime");
    let remaining = limit.remaining.as_deref().unwrap_or("all");
    print("budget", &format!("{most} USD per {period}, {remaining} left"));
}

fn print(label: &str, text: &str) {
    println!("{label:8} {text}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let url = std::env::var("URL");
    let url = url.unwrap_or_else(|_| "http://127.0.0.1:4000/graphql".to_owned());
    let mut arguments = std::env::args().skip(1);
    let (name, models) = (arguments.next(), arguments.collect::<Vec<_>>());
    let (Ok(key), Some(name), false) = (std::env::var("KEY"), name, models.is_empty()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let done = match Client::new(url, key) {
        Ok(client) => provision(&client, &name, models).await,
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}
