//! From a request to an answer: scan, parse, measure, validate, coerce, gate, execute.
//!
//! Documents that passed are kept parsed, by the digest of their text, so that a repeated operation
//! pays for none of it again. Nothing of a document that was refused is echoed.

use std::sync::Arc;
use std::time::Duration;

use apollo_compiler::ExecutableDocument;
use apollo_compiler::executable::Operation;
use apollo_compiler::parser::Parser;
use apollo_compiler::response::{JsonMap, JsonValue};
use apollo_compiler::validation::Valid;
use async_graphql::{ErrorExtensionValues, PathSegment, Response, ServerError, Value, Variables};
use moka::sync::Cache;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};

use super::access::Rules;
use super::batch::Loaders;
use super::coercion;
use super::error::ErrorCode;
use crate::domain::ledger::Ledger;
use crate::error::{Error, Fault};
use crate::http::guard::measure::{MeasureLimits, measure};
use crate::http::guard::scan::{ScanLimits, scan};
use crate::http::guard::{Refusal, RefusalKind};
use crate::session::Session;

/// The most errors in an answer.
const MOST_ERRORS: usize = 10;
/// The most characters of an error's message.
const MOST_CHARACTERS: usize = 300;
/// The parser's own token limit counts white space too; the scan's is the one that binds.
const PARSER_TOKENS: usize = 65_537;
/// Beyond what the scan lets through: 48 brackets.
const PARSER_DEPTH: usize = 200;

/// The members of a request that matter.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The document.
    pub query: String,
    /// Which of its operations is meant.
    pub operation_name: Option<String>,
    /// The variables.
    pub variables: serde_json::Map<String, serde_json::Value>,
}

/// How much a document may ask for, and for how long.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// Of the text.
    pub scan: ScanLimits,
    /// Of the operation.
    pub measure: MeasureLimits,
    /// The number of documents that are kept parsed.
    pub documents: u64,
    /// How long an operation may run, up to the commits of a mutation.
    pub deadline: Duration,
    /// Whether introspection is answered.
    pub introspection: bool,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            scan: ScanLimits::default(),
            measure: MeasureLimits::default(),
            documents: 1_000,
            deadline: Duration::from_secs(10),
            introspection: true,
        }
    }
}

/// An answer.
#[derive(Debug)]
pub enum Answer {
    /// The request was refused before anything ran: an answer without `data`.
    Refused(Vec<ServerError>),
    /// The operation ran, or the gate denied it: an answer with `data`.
    Executed(Box<Response>),
    /// A mutation was asked for by a method that must not change anything.
    MutationNotAllowed,
}

/// What the log says of an operation.
#[derive(Clone, Debug, Default)]
pub struct Described {
    /// `query` or `mutation`.
    pub kind: &'static str,
    /// Its name, chosen by the client.
    pub name: Option<String>,
}

struct Document {
    checked: Valid<ExecutableDocument>,
    parsed: async_graphql::parser::types::ExecutableDocument,
}

/// Answers requests.
pub struct Engine {
    schema: super::Schema,
    types: Valid<apollo_compiler::Schema>,
    rules: Rules,
    documents: Cache<[u8; 32], Arc<Document>>,
    limits: EngineLimits,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Why the engine cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The schema that the library prints is not valid.
    #[error("the schema is not valid: {0}")]
    Invalid(String),
    /// Root fields say neither what they require nor why they are public.
    #[error("these root fields have no rule: {}", .0.join(", "))]
    WithoutRule(Vec<String>),
}

impl Engine {
    /// Makes an engine for the schema, whose root fields must all have a rule.
    ///
    /// # Errors
    /// When the schema is not valid, or a root field has no rule.
    pub fn new(limits: EngineLimits) -> Result<Self, EngineError> {
        let sdl = super::sdl();
        let types = apollo_compiler::Schema::parse_and_validate(&sdl, "schema.graphql")
            .map_err(|error| EngineError::Invalid(error.errors.to_string()))?;
        let rules = Rules::read(&types).map_err(EngineError::WithoutRule)?;
        let documents = Cache::new(limits.documents);
        Ok(Self { schema: super::schema(), types, rules, documents, limits })
    }

    /// The rules of the root fields.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Answers a request of a caller. `may_change` is false for methods that must not.
    pub async fn answer(
        &self,
        session: Session,
        ledger: &Ledger,
        request: Request,
        may_change: bool,
        described: &mut Described,
    ) -> Answer {
        let document = match self.document(&request.query) {
            Ok(document) => document,
            Err(errors) => return Answer::Refused(errors),
        };
        let operation = match document.checked.operations.get(request.operation_name.as_deref()) {
            Ok(operation) => operation,
            Err(error) => {
                let message = error.message().to_string();
                let code = ErrorCode::OperationResolutionFailure;
                return Answer::Refused(vec![fault(code, &message)]);
            }
        };
        described.kind = if operation.is_mutation() { "mutation" } else { "query" };
        described.name = operation.name.as_ref().map(ToString::to_string);
        if operation.is_mutation() && !may_change {
            return Answer::MutationNotAllowed;
        }
        let variables = match self.variables(&document.checked, operation, request.variables) {
            Ok(variables) => variables,
            Err(errors) => return Answer::Refused(errors),
        };
        let denied = self.denied(&session, &document.checked, operation, &variables).await;
        if let Some(response) = denied {
            return Answer::Executed(Box::new(response));
        }
        let name = request.operation_name.as_deref();
        let deadline = Instant::now() + self.limits.deadline;
        // Each mutation commits for itself and may show a secret once: it has the deadline to
        // itself too, and what others answered is delivered. A query that is late answers nothing.
        let response = if operation.is_mutation() {
            self.execute(session.until(deadline), ledger, &document, name, variables).await
        } else {
            let run = self.execute(session, ledger, &document, name, variables);
            timeout_at(deadline, run).await.unwrap_or_else(|_| {
                let message = "the request took too long; ask for less, or try again";
                Response::from_errors(vec![fault(ErrorCode::Timeout, message)])
            })
        };
        Answer::Executed(Box::new(response))
    }

    /// The document of a text, parsed, measured and validated.
    fn document(&self, text: &str) -> Result<Arc<Document>, Vec<ServerError>> {
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        if let Some(document) = self.documents.get(&digest) {
            return Ok(document);
        }
        scan(text, &self.limits.scan).map_err(|refusal| vec![refused(refusal)])?;
        let mut parser = Parser::new().token_limit(PARSER_TOKENS).recursion_limit(PARSER_DEPTH);
        let syntax = parser.parse_ast(text, "document").map_err(|error| {
            let errors = error.errors.iter();
            clip(errors, ErrorCode::GraphqlParseFailed)
        })?;
        let built = match syntax.to_executable(&self.types) {
            Ok(built) => built,
            Err(error) => {
                let errors = error.errors.iter();
                return Err(clip(errors, ErrorCode::GraphqlValidationFailed));
            }
        };
        let nothing = JsonMap::new();
        for operation in built.operations.iter() {
            measure(&built, operation, &nothing, &self.limits.measure)
                .map_err(|refusal| vec![refused(refusal)])?;
        }
        let checked = built.validate(&self.types).map_err(|error| {
            let errors = error.errors.iter();
            clip(errors, ErrorCode::GraphqlValidationFailed)
        })?;
        let faults = coercion::of_document(&self.types, &checked);
        if !faults.is_empty() {
            return Err(bad_input(faults));
        }
        if checked.operations.is_empty() {
            let message = "the document has no operation";
            return Err(vec![fault(ErrorCode::OperationResolutionFailure, message)]);
        }
        // The library's parser lags behind the language: what it does not know (descriptions on
        // operations, `\u{…}`) is printed anew without it.
        let parsed = async_graphql::parser::parse_query(text)
            .or_else(|_| async_graphql::parser::parse_query(checked.to_string()))
            .map_err(|_| {
                vec![fault(ErrorCode::GraphqlParseFailed, "the document is not supported")]
            })?;
        let document = Arc::new(Document { checked, parsed });
        self.documents.insert(digest, Arc::clone(&document));
        Ok(document)
    }

    /// The variables of an operation, coerced, with the cost that their page sizes make.
    fn variables(
        &self,
        document: &ExecutableDocument,
        operation: &Operation,
        given: serde_json::Map<String, serde_json::Value>,
    ) -> Result<JsonMap, Vec<ServerError>> {
        let given = match JsonValue::from(serde_json::Value::Object(given)) {
            JsonValue::Object(map) => map,
            _ => JsonMap::new(),
        };
        let coerced =
            apollo_compiler::request::coerce_variable_values(&self.types, operation, &given)
                .map_err(|error| {
                    vec![fault(
                        ErrorCode::BadUserInput,
                        &without_value(&error.message().to_string()),
                    )]
                })?
                .into_inner();
        let faults = coercion::of_variables(&self.types, operation, &coerced);
        if !faults.is_empty() {
            return Err(bad_input(faults));
        }
        measure(document, operation, &coerced, &self.limits.measure)
            .map_err(|refusal| vec![refused(refusal)])?;
        Ok(coerced)
    }

    /// The answer of the gate, when it denies a root field: nothing runs then. Denied changes are
    /// recorded.
    async fn denied(
        &self,
        session: &Session,
        document: &Valid<ExecutableDocument>,
        operation: &Operation,
        variables: &JsonMap,
    ) -> Option<Response> {
        let denials = self.rules.denials(session.actor(), document, operation, variables);
        if denials.is_empty() {
            return None;
        }
        let mut errors = Vec::new();
        for denial in denials.into_iter().take(MOST_ERRORS) {
            if let (true, Some(permission)) = (operation.is_mutation(), denial.permission)
                && let Err(error) = session.record_denial(permission, &denial.field).await
            {
                return Some(Response::from_errors(vec![from_error(error)]));
            }
            let mut error = match denial.permission {
                Some(permission) => from_error(Error::Forbidden { permission }),
                None => fault(ErrorCode::Forbidden, "this field has no rule, so nobody may use it"),
            };
            error.path = vec![PathSegment::Field(denial.response_name)];
            errors.push(error);
        }
        Some(Response::from_errors(errors))
    }

    async fn execute(
        &self,
        session: Session,
        ledger: &Ledger,
        document: &Document,
        operation_name: Option<&str>,
        variables: JsonMap,
    ) -> Response {
        let variables = serde_json::to_value(variables).unwrap_or_default();
        let loaders = Loaders::new(session.reader());
        let mut request = async_graphql::Request::new("")
            .variables(Variables::from_json(variables))
            .data(session)
            .data(ledger.clone())
            .data(loaders.clone());
        if let Some(name) = operation_name {
            request = request.operation_name(name);
        }
        if !self.limits.introspection {
            request = request.disable_introspection();
        }
        request.set_parsed_query(document.parsed.clone());
        let mut response = loaders.run(self.schema.execute(request)).await;
        response.errors.truncate(MOST_ERRORS);
        for error in &mut response.errors {
            shorten(error);
            let extensions = error.extensions.get_or_insert_with(ErrorExtensionValues::default);
            if extensions.get("code").is_none() {
                // What the library itself refuses is an argument that a scalar does not take.
                extensions.set("code", ErrorCode::BadUserInput.word());
            }
        }
        response
    }
}

fn bad_input(faults: Vec<Fault>) -> Vec<ServerError> {
    let shown = |input: Fault| {
        let mut error = fault(ErrorCode::BadUserInput, &input.message);
        if let Some(extensions) = &mut error.extensions {
            extensions.set("field", input.field);
        }
        error
    };
    faults.into_iter().take(MOST_ERRORS).map(shown).collect()
}

fn refused(refusal: Refusal) -> ServerError {
    let code = match refusal.kind() {
        RefusalKind::TooLarge | RefusalKind::TooComplex => ErrorCode::QueryTooComplex,
        RefusalKind::Invalid => ErrorCode::GraphqlValidationFailed,
    };
    fault(code, &refusal.to_string())
}

/// What is wrong with a variable, without its value: it may be a secret in the wrong place.
fn without_value(message: &str) -> String {
    let parts = message.strip_prefix("could not coerce ").and_then(|rest| {
        let (what, value) = rest.split_once(": ")?;
        Some((what, value.rsplit_once(" to type ")?.1))
    });
    match parts {
        Some((what, kind)) => format!("could not coerce {what} to type {kind}"),
        None => message.to_owned(),
    }
}

/// An error of the request as a whole.
pub fn fault(code: ErrorCode, message: &str) -> ServerError {
    let mut error = ServerError::new(message, None);
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code.word());
    error.extensions = Some(extensions);
    shorten(&mut error);
    error
}

/// An error of the crate, as an error of the request.
pub fn from_error(error: Error) -> ServerError {
    let error = async_graphql::Error::from(super::error::ApiError::from(error));
    let mut shown = error.into_server_error(async_graphql::Pos::default());
    shown.locations.clear();
    shown
}

fn clip<'a, T: apollo_compiler::diagnostic::ToCliReport + 'a>(
    diagnostics: impl Iterator<Item = apollo_compiler::diagnostic::Diagnostic<'a, T>>,
    code: ErrorCode,
) -> Vec<ServerError> {
    diagnostics
        .take(MOST_ERRORS)
        .map(|diagnostic| {
            let shown = diagnostic.to_json();
            let mut error = fault(code, &shown.message);
            error.locations = shown
                .locations
                .iter()
                .map(|at| async_graphql::Pos { line: at.line, column: at.column })
                .collect();
            error
        })
        .collect()
}

fn shorten(error: &mut ServerError) {
    if error.message.chars().count() > MOST_CHARACTERS {
        error.message = error.message.chars().take(MOST_CHARACTERS - 1).chain(['…']).collect();
    }
}

/// Puts the request's id into an error.
pub fn with_request_id(error: &mut ServerError, id: &str) {
    let extensions = error.extensions.get_or_insert_with(ErrorExtensionValues::default);
    extensions.set("requestId", Value::from(id));
}
