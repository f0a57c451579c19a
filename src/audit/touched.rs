//! What an event makes stale in caches: its subject, and what its images name beside it.
//!
//! A budget that is put in force on a team is an event about the budget; a cache that holds the
//! team's budgets knows nothing of it yet, and learns of the change by the team. The same is true of
//! a tag that keys carry by its name before it exists, and of an end user that calls name. Such names
//! stand in the change log as ids that are worked out from them ([`named`]).

use entity::id::Id;
use entity::role::{EntityKind, ScopeKind};
use sea_orm::ActiveEnum as _;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Event;

/// An object that changed.
pub type Touched = (EntityKind, Uuid);

/// The settings of the platform, which have no id.
pub const SETTINGS: Touched = (EntityKind::Settings, Uuid::nil());

/// Where an assignment or an alias stands, read from its image.
#[derive(Deserialize)]
struct Placed {
    scope_kind: ScopeKind,
    scope_id: Uuid,
}

impl Event {
    /// The objects that the event changed.
    pub(crate) fn touched(&self) -> impl Iterator<Item = Touched> {
        let subject = match (self.subject.kind, self.subject.id) {
            (kind, Some(id)) => Some((kind, id)),
            (EntityKind::Settings, None) => Some(SETTINGS),
            _ => None,
        };
        let kind = self.subject.kind;
        let images = self.before.iter().chain(&self.after);
        subject.into_iter().chain(images.flat_map(move |image| named_by(kind, image)))
    }
}

fn named_by(kind: EntityKind, image: &Value) -> impl Iterator<Item = Touched> {
    let scope =
        Placed::deserialize(image).ok().map(|placed| owner(placed.scope_kind, placed.scope_id));
    let name = match kind {
        EntityKind::Tag => image["name"].as_str(),
        EntityKind::EndUser => image["external_id"].as_str(),
        _ => None,
    };
    scope.into_iter().chain(name.map(|name| (kind, named(kind, name))))
}

/// The object that has what is in force on a scope.
pub fn owner(kind: ScopeKind, id: Uuid) -> Touched {
    let kind = match kind {
        ScopeKind::Organization => EntityKind::Organization,
        ScopeKind::Team | ScopeKind::TeamMemberDefault => EntityKind::Team,
        ScopeKind::TeamMembership => EntityKind::TeamMembership,
        ScopeKind::Project => EntityKind::Project,
        ScopeKind::User => EntityKind::User,
        ScopeKind::ApiKey => EntityKind::ApiKey,
        ScopeKind::EndUser => EntityKind::EndUser,
        ScopeKind::Tag => EntityKind::Tag,
        ScopeKind::Platform
        | ScopeKind::TeamDefault
        | ScopeKind::UserDefault
        | ScopeKind::ApiKeyDefault
        | ScopeKind::EndUserDefault => return SETTINGS,
    };
    (kind, id)
}

/// The id under which the change log knows whatever has a name: a UUID of version 8 (RFC 9562, 5.8).
pub fn named(kind: EntityKind, name: &str) -> Uuid {
    let digest = Sha256::new()
        .chain_update(b"tollkeep name v1")
        .chain_update(kind.to_value())
        .chain_update([0])
        .chain_update(name.as_bytes())
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// An object of a table.
pub fn object(kind: EntityKind, id: impl Id) -> Touched {
    (kind, id.uuid())
}
