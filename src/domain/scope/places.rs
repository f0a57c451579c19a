//! Where many scopes stand in the tree, in a few statements.

use std::collections::BTreeMap;

use entity::role::ScopeKind;
use entity::{api_key, end_user, organization, project, tag, team, team_membership, user};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::{Place, Scope, by_kind};
use crate::db::Tx;
use crate::error::Result;

/// The most scopes of which one statement speaks: SQLite binds at most 32,766 values.
const SCOPES: usize = 1_000;

/// The places of scopes, whoever asks; scopes that are no more are left out.
#[expect(clippy::disallowed_methods, reason = "limits hold whoever asks, and are not shown")]
pub(crate) async fn places(tx: &Tx, scopes: &[Scope]) -> Result<BTreeMap<Scope, Place>> {
    let mut found: Vec<Place> = Vec::with_capacity(scopes.len());
    for (kind, ids) in scopes.chunks(SCOPES).flat_map(by_kind) {
        match kind {
            ScopeKind::Organization => {
                let rows = organization::Entity::find().filter(organization::Column::Id.is_in(ids));
                found.extend(rows.all(tx.db()).await?.iter().map(Place::organization));
            }
            ScopeKind::Team => {
                let rows = team::Entity::find().filter(team::Column::Id.is_in(ids));
                found.extend(rows.all(tx.db()).await?.iter().map(Place::team));
            }
            ScopeKind::TeamMembership => {
                let rows = team_membership::Entity::find()
                    .find_also_related(team::Entity)
                    .filter(team_membership::Column::Id.is_in(ids));
                found.extend(
                    rows.all(tx.db()).await?.iter().filter_map(|(member, team)| {
                        Some(Place::membership(team.as_ref()?, member))
                    }),
                );
            }
            ScopeKind::Project => {
                let rows = project::Entity::find()
                    .find_also_related(team::Entity)
                    .filter(project::Column::Id.is_in(ids));
                found.extend(
                    rows.all(tx.db()).await?.iter().filter_map(|(project, team)| {
                        Some(Place::project(team.as_ref()?, project))
                    }),
                );
            }
            ScopeKind::User => {
                let rows = user::Entity::find().filter(user::Column::Id.is_in(ids));
                found.extend(rows.all(tx.db()).await?.iter().map(Place::user));
            }
            ScopeKind::EndUser => {
                let rows = end_user::Entity::find()
                    .find_also_related(team::Entity)
                    .filter(end_user::Column::Id.is_in(ids));
                let place = |(row, team): &(end_user::Model, Option<team::Model>)| {
                    Place::end_user(row, team.as_ref())
                };
                found.extend(rows.all(tx.db()).await?.iter().map(place));
            }
            ScopeKind::Tag => {
                let rows = tag::Entity::find().filter(tag::Column::Id.is_in(ids));
                found.extend(rows.all(tx.db()).await?.iter().map(Place::tag));
            }
            ScopeKind::TeamMemberDefault => {
                let rows = team::Entity::find().filter(team::Column::Id.is_in(ids));
                found.extend(rows.all(tx.db()).await?.iter().map(Place::member_default));
            }
            ScopeKind::Platform
            | ScopeKind::TeamDefault
            | ScopeKind::UserDefault
            | ScopeKind::EndUserDefault => {
                found.push(Place::platform_default(kind));
            }
            ScopeKind::ApiKey => found.extend(keys(tx, ids).await?),
        }
    }
    Ok(found.into_iter().map(|place| (place.scope, place)).collect())
}

#[expect(clippy::disallowed_methods, reason = "limits hold whoever asks, and are not shown")]
async fn keys(tx: &Tx, ids: Vec<Uuid>) -> Result<Vec<Place>> {
    let rows = api_key::Entity::find()
        .find_also_related(team::Entity)
        .filter(api_key::Column::Id.is_in(ids))
        .all(tx.db())
        .await?;
    let teams = rows.iter().filter_map(|(key, _)| key.team_id);
    let users = rows.iter().filter_map(|(key, _)| key.user_id);
    let members = team_membership::Entity::find()
        .filter(team_membership::Column::TeamId.is_in(teams))
        .filter(team_membership::Column::UserId.is_in(users))
        .all(tx.db())
        .await?;
    let members: BTreeMap<_, _> =
        members.iter().map(|member| ((member.team_id, member.user_id), member)).collect();
    let place = |(key, team): &(api_key::Model, Option<team::Model>)| {
        let member = key.team_id.zip(key.user_id).and_then(|both| members.get(&both).copied());
        Place::api_key(key, team.as_ref(), member)
    };
    Ok(rows.iter().map(place).collect())
}
