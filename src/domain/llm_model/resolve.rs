//! What a gateway needs to send a call: the deployments behind a name, with opened credentials.

use entity::id::{ApiKeyId, TeamId};
use entity::{api_key, llm_model};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

use crate::authz::{Permission, Placement, Reference, policy};
use crate::db::Reader;
use crate::domain::access::{self, catalogue, chain};
use crate::domain::credential::{self, Opened};
use crate::domain::model_access::covers;
use crate::domain::scope::Scope;
use crate::error::{Error, Result};

/// One deployment, with what it sends.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The model.
    pub model: llm_model::Model,
    /// The values of its credential.
    pub values: Vec<Opened>,
}

/// The most deployments of one name, and the most names with a star that are looked at.
const DEPLOYMENTS: u64 = 500;

/// The deployments behind a name that a key asks for. A team that has models of its own under the name
/// gets these alone, blocked or not; otherwise it is the platform's, by the very name, blocked or not,
/// else by a name with a `*` that covers it (see [`access::Catalogue::presence`]). Blocked ones are
/// left out.
///
/// # Errors
/// [`Error::Forbidden`] unless a gateway asks: a stolen admin key opens nothing (SECURITY 3);
/// [`Error::NotFound`] for a key that does not exist; [`Error::LimitExceeded`] for a model that it may
/// not call.
pub async fn resolve(reader: &Reader, name: &str, key: &Reference) -> Result<Vec<Deployment>> {
    let permission = Permission::ModelResolve;
    if !policy::allows(reader.actor(), permission, &Placement::platform()) {
        return Err(Error::Forbidden { permission });
    }
    let missing = || Error::NotFound { noun: "API key", field: Some("apiKeyId".to_owned()) };
    let scope = Scope::api_key(key_of(reader, key).await?.ok_or_else(missing)?);
    let scopes = [scope];
    let (mut chains, catalogue) =
        tokio::try_join!(chain::chains(reader.db(), &scopes), catalogue::catalogue(reader.db()))?;
    let chain = chains.remove(&scope).ok_or_else(missing)?;
    let resolution = access::resolve(&chain, &catalogue, name);
    if resolution.refused_by().is_some() {
        return Err(Error::limit("name", "the key may not call this model"));
    }
    let models = deployments(reader, &resolution.target, chain.team_id()).await?;
    let mut ids: Vec<_> = models.iter().filter_map(|model| model.credential_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let opened = if ids.is_empty() { Vec::new() } else { credential::open(reader, &ids).await? };
    let with_values = |model: llm_model::Model| {
        let sent = |value: &&Opened| Some(value.credential) == model.credential_id;
        let values = opened.iter().filter(sent).cloned().collect();
        Deployment { model, values }
    };
    Ok(models.into_iter().map(with_values).collect())
}

async fn deployments(
    reader: &Reader,
    name: &str,
    team: Option<TeamId>,
) -> Result<Vec<llm_model::Model>> {
    use llm_model::Column;
    let usable = |models: Vec<llm_model::Model>| {
        models.into_iter().filter(|model| model.blocked_by.is_none()).collect()
    };
    if let Some(team) = team {
        let own = all().filter(Column::TeamId.eq(team)).filter(Column::Name.eq(name));
        let own = own.all(reader.db()).await?;
        if !own.is_empty() {
            return Ok(usable(own));
        }
    }
    let shared = || all().filter(Column::TeamId.is_null());
    let exact = shared().filter(Column::Name.eq(name)).all(reader.db()).await?;
    if !exact.is_empty() {
        return Ok(usable(exact));
    }
    let patterns = shared().filter(Column::Name.contains("*")).all(reader.db()).await?;
    let covering = patterns.into_iter().filter(|model| covers(&model.name, name));
    Ok(usable(covering.collect()))
}

#[expect(clippy::disallowed_methods, reason = "a gateway sends calls to every model")]
fn all() -> Select<llm_model::Entity> {
    llm_model::Entity::find().order_by_asc(llm_model::Column::Id).limit(DEPLOYMENTS)
}

/// The key of a call, by the id or external id that a gateway gives.
#[expect(clippy::disallowed_methods, reason = "a gateway knows the keys that call")]
async fn key_of(reader: &Reader, reference: &Reference) -> Result<Option<ApiKeyId>> {
    let select = match (reference.id::<ApiKeyId>(), reference.external()) {
        (Some(id), _) => return Ok(Some(id)),
        (None, Some(external)) => {
            api_key::Entity::find().filter(api_key::Column::ExternalId.eq(external))
        }
        (None, None) => return Ok(None),
    };
    let found = crate::domain::at_most_one(select.limit(2).all(reader.db()).await?)?;
    Ok(found.map(|key| key.id))
}
