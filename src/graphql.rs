//! The API: its schema, and how a document becomes an answer.

pub mod access;
pub mod access_check;
pub mod access_group;
pub mod api_key;
pub mod audit_event;
mod batch;
pub mod budget;
mod coercion;
pub mod connection;
pub mod context;
pub mod credential;
pub mod effective_model;
pub mod end_user;
pub mod engine;
pub mod error;
pub mod llm_model;
pub mod loader;
pub mod model_alias;
pub mod node;
pub mod organization;
pub mod project;
pub mod scalar;
pub mod settings;
pub mod tag;
pub mod team;
pub mod usage;
pub mod user;
pub mod value;
pub mod viewer;

use async_graphql::{EmptySubscription, MergedObject, SDLExportOptions, ValidationMode};

/// The root of all reads.
#[derive(MergedObject, Default)]
pub struct Query(
    access_check::AccessQuery,
    access_group::AccessGroupQuery,
    api_key::ApiKeyQuery,
    audit_event::AuditEventQuery,
    budget::BudgetQuery,
    credential::CredentialQuery,
    llm_model::ModelQuery,
    end_user::EndUserQuery,
    node::NodeQuery,
    organization::OrganizationQuery,
    project::ProjectQuery,
    settings::SettingsQuery,
    tag::TagQuery,
    team::TeamQuery,
    usage::UsageQuery,
    user::UserQuery,
    viewer::ViewerQuery,
);

/// The root of all changes. Several in one document run one after the other, each in a transaction
/// of its own.
#[derive(MergedObject, Default)]
pub struct Mutation(
    access_group::AccessGroupMutation,
    api_key::ApiKeyBulkMutation,
    api_key::ApiKeyModelAliasMutation,
    api_key::ApiKeyMutation,
    budget::BudgetMutation,
    credential::CredentialMutation,
    end_user::EndUserMutation,
    llm_model::ModelMutation,
    organization::OrganizationMutation,
    project::ProjectMutation,
    settings::SettingsMutation,
    tag::TagMutation,
    team::TeamMemberBulkMutation,
    team::TeamMutation,
    team::TeamMoveMutation,
    usage::UsageMutation,
    user::UserMutation,
);

/// The schema of the API.
pub type Schema = async_graphql::Schema<Query, Mutation, EmptySubscription>;

/// Builds the schema. It holds no data: requests bring theirs.
///
/// The library's own limits are a second net; the guard of [`crate::http`] is tighter.
pub fn schema() -> Schema {
    Schema::build(Query::default(), Mutation::default(), EmptySubscription)
        .register_output_type::<error::ErrorCode>()
        .register_output_type::<node::Node>()
        .validation_mode(ValidationMode::Fast)
        .limit_recursive_depth(64)
        .limit_directives(50)
        .disable_suggestions()
        .finish()
}

/// The schema as people and tools read it: sorted, with the rule of every root field.
pub fn sdl() -> String {
    schema().sdl_with_options(
        SDLExportOptions::new()
            .sorted_fields()
            .sorted_arguments()
            .sorted_enum_items()
            .include_specified_by()
            .use_space_ident()
            .indent_width(2),
    )
}
