//! Somebody who talks to the server over HTTP.

use std::net::SocketAddr;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

/// Somebody with a key, or nobody.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    pub(crate) key: Option<String>,
}

/// What the server answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn new(http: reqwest::Client, address: SocketAddr, key: Option<&str>) -> Self {
        Self { http, url: format!("http://{address}/graphql"), key: key.map(str::to_owned) }
    }

    /// Runs a document.
    pub(crate) async fn run(&self, query: &str) -> Answer {
        self.run_with(query, json!({})).await
    }

    /// Runs a document with variables.
    pub(crate) async fn run_with(&self, query: &str, variables: Value) -> Answer {
        self.post(json!({ "query": query, "variables": variables }), &[]).await
    }

    /// Posts a body with headers beside the usual ones.
    pub(crate) async fn post(&self, body: Value, headers: &[(&str, &str)]) -> Answer {
        let mut request = self
            .http
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .body(serde_json::to_vec(&body).unwrap());
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.send().await.unwrap()).await
    }

    /// The same caller, at another path of the server.
    pub(crate) fn at(&self, path: &str) -> Self {
        let url = self.url.replace("/graphql", path);
        Self { url, ..self.clone() }
    }

    /// Posts a body to `/v1/check`.
    pub(crate) async fn check(&self, body: Value) -> Answer {
        self.check_text(&serde_json::to_string(&body).unwrap(), &[]).await
    }

    /// Posts a text to `/v1/check`, with headers beside the usual ones.
    pub(crate) async fn check_text(&self, body: &str, headers: &[(&str, &str)]) -> Answer {
        let url = self.url.replace("/graphql", "/v1/check");
        let mut request = self.http.post(url).body(body.to_owned());
        if headers.iter().all(|(name, _)| *name != "content-type") {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.send().await.unwrap()).await
    }

    /// Runs a document; none when no answer came, or not all of it.
    pub(crate) async fn try_run(&self, query: &str, variables: Value) -> Option<Answer> {
        let body = json!({ "query": query, "variables": variables });
        let key = self.key.as_deref().unwrap_or_default();
        let request = self
            .http
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {key}"))
            .body(serde_json::to_vec(&body).unwrap());
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = serde_json::from_str(&response.text().await.ok()?).ok()?;
        Some(Answer { status, headers, body })
    }

    /// Runs a document that must succeed, and returns its data.
    pub(crate) async fn data(&self, query: &str) -> Value {
        self.run(query).await.data()
    }
}

impl Answer {
    pub(crate) async fn read(response: reqwest::Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    /// The data of an answer without errors.
    #[track_caller]
    pub(crate) fn data(self) -> Value {
        assert!(self.body.get("errors").is_none(), "{:#}", self.body);
        self.body["data"].clone()
    }

    /// The codes of the errors.
    pub(crate) fn codes(&self) -> Vec<String> {
        let errors = self.body["errors"].as_array().cloned().unwrap_or_default();
        let code = |error: &Value| error["extensions"]["code"].as_str().unwrap_or("-").to_owned();
        errors.iter().map(code).collect()
    }

    /// The code of the first error; empty for none.
    pub(crate) fn code(&self) -> String {
        self.codes().into_iter().next().unwrap_or_default()
    }

    /// The input fields of the errors.
    pub(crate) fn fields(&self) -> Vec<String> {
        let errors = self.body["errors"].as_array().cloned().unwrap_or_default();
        let field = |error: &Value| error["extensions"]["field"].as_str().unwrap_or("-").to_owned();
        errors.iter().map(field).collect()
    }

    /// The message of the first error; empty for none.
    pub(crate) fn message(&self) -> String {
        self.body["errors"][0]["message"].as_str().unwrap_or_default().to_owned()
    }

    /// Fails unless the first error has this code and this input field.
    #[track_caller]
    pub(crate) fn refused(&self, code: &str, field: &str) {
        assert_eq!(
            (self.code().as_str(), self.fields()[0].as_str()),
            (code, field),
            "{:#}",
            self.body
        );
    }

    /// The number of SQL statements that the answer cost, by its `server-timing` header.
    #[track_caller]
    pub(crate) fn statements(&self) -> u32 {
        let text = self.headers["server-timing"].to_str().unwrap();
        text.split('"').nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    }
}

/// The text at a path of an answer's data.
#[track_caller]
pub(crate) fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{pointer} in {value:#}"))
        .to_owned()
}
