//! Keys that are no more: where they stood and what they were labelled with, as the audit trail
//! remembers it. Their calls may be reported long after they were let through.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use entity::id::{ApiKeyId, Id, OrganizationId, ProjectId, TeamId, UserId};
use entity::value::Words;
use sea_orm::ConnectionTrait;
use serde_json::Value;
use uuid::Uuid;

use super::attribution::{Attribution, Key, optional};
use crate::audit::AuditAction;
use crate::db::bulk::Bulk;
use crate::error::Result;

/// The last image of something that is no more.
struct Image {
    organization: Option<OrganizationId>,
    gone_at: DateTime<Utc>,
    row: Value,
}

impl Image {
    fn id<T: Id + std::str::FromStr>(&self, column: &str) -> Option<T> {
        self.row.get(column)?.as_str()?.parse().ok()
    }

    fn labels(&self) -> impl Iterator<Item = String> {
        let labels = self.row.get("tags").and_then(Value::as_array).into_iter().flatten();
        labels.filter_map(Value::as_str).map(str::to_owned)
    }
}

/// The keys of these ids that are no more, as they were when they were deleted. What was above them
/// counts as it is now, or as it was when it was deleted in its turn.
pub(super) async fn former(
    db: &impl ConnectionTrait,
    ids: &BTreeSet<ApiKeyId>,
) -> Result<HashMap<ApiKeyId, Key>> {
    let deleted = ids.iter().map(|id| (AuditAction::ApiKeyDeleted, id.uuid())).collect();
    let images = images(db, &deleted).await?;
    let mut keys: HashMap<_, _> = images.iter().map(|(id, image)| key(*id, image)).collect();
    let gone = complete(db, &images, &mut keys).await?;
    let above = self::images(db, &gone).await?;
    for Key { attribution, labels } in keys.values_mut() {
        let team = attribution.team.map(Id::uuid);
        let project = attribution.project.map(Id::uuid);
        let above = [team, project].into_iter().flatten().filter_map(|id| above.get(&id));
        labels.extend(above.flat_map(Image::labels));
    }
    Ok(keys)
}

fn key(id: Uuid, image: &Image) -> (ApiKeyId, Key) {
    let id = ApiKeyId::from_uuid(id);
    let attribution = Attribution {
        organization: image.organization,
        team: image.id("team_id"),
        project: image.id("project_id"),
        user: image.id("user_id"),
        ..Attribution::of_key(id)
    };
    (id, Key { attribution, labels: image.labels().collect() })
}

/// Adds what is still there above keys, and returns the teams and projects that are not.
async fn complete(
    db: &impl ConnectionTrait,
    images: &HashMap<Uuid, Image>,
    keys: &mut HashMap<ApiKeyId, Key>,
) -> Result<BTreeSet<(AuditAction, Uuid)>> {
    let mut gone = BTreeSet::new();
    if images.is_empty() {
        return Ok(gone);
    }
    // Who left a team and joined it again is another member.
    let statement = Bulk::new()
        .uuid("id", images.keys().copied())
        .uuid_or_null("team", images.values().map(|image| image.id("team_id").map(TeamId::uuid)))
        .uuid_or_null(
            "project",
            images.values().map(|image| image.id("project_id").map(ProjectId::uuid)),
        )
        .uuid_or_null("owner", images.values().map(|image| image.id("user_id").map(UserId::uuid)))
        .instant("gone_at", images.values().map(|image| image.gone_at))
        .statement(
            db.get_database_backend(),
            "SELECT v.id, t.tags AS team_tags, p.tags AS project_tags, m.id AS membership_id \
             FROM v LEFT JOIN teams t ON t.id = v.team LEFT JOIN projects p ON p.id = v.project \
             LEFT JOIN team_memberships m ON m.team_id = v.team AND m.user_id = v.owner \
             AND m.created_at <= v.gone_at",
        );
    for row in db.query_all_raw(statement).await? {
        let id = ApiKeyId::from_uuid(row.try_get("", "id")?);
        let Some(Key { attribution, labels }) = keys.get_mut(&id) else { continue };
        attribution.membership = optional(&row, "membership_id")?;
        let team = attribution.team.map(|id| (AuditAction::TeamDeleted, id.uuid()));
        let project = attribution.project.map(|id| (AuditAction::ProjectDeleted, id.uuid()));
        for (column, above) in [("team_tags", team), ("project_tags", project)] {
            match row.try_get::<Option<Words>>("", column)? {
                Some(words) => labels.extend(words.0),
                None => gone.extend(above),
            }
        }
    }
    Ok(gone)
}

/// The last images of what was deleted, by its id.
async fn images(
    db: &impl ConnectionTrait,
    deleted: &BTreeSet<(AuditAction, Uuid)>,
) -> Result<HashMap<Uuid, Image>> {
    if deleted.is_empty() {
        return Ok(HashMap::new());
    }
    let statement = Bulk::new()
        .text("action", deleted.iter().map(|(action, _)| action.word()))
        .uuid("id", deleted.iter().map(|(_, id)| *id))
        .statement(
            db.get_database_backend(),
            "SELECT v.id, e.organization_id, e.occurred_at, e.before AS image \
             FROM v JOIN audit_events e ON e.subject_id = v.id AND e.action = v.action",
        );
    let rows = db.query_all_raw(statement).await?;
    let image = |row: &sea_orm::QueryResult| {
        let image = Image {
            organization: optional(row, "organization_id")?,
            gone_at: row.try_get("", "occurred_at")?,
            row: row.try_get::<Option<Value>>("", "image")?.unwrap_or_default(),
        };
        Ok((row.try_get("", "id")?, image))
    };
    rows.iter().map(image).collect()
}
