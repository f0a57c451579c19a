//! The values of credentials: sealed when they come in, opened for gateways alone.

use entity::credential_value;
use entity::id::{CredentialId, CredentialValueId};
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::visible_to;
use crate::db::{Reader, Tx};
use crate::domain::destination::REFERENCE;
use crate::domain::field::Faults;
use crate::error::{Error, Result};
use crate::sealing::{Place, Plain, looks_sealed};
use crate::secret::hex;

/// The most values of a credential.
const VALUES: usize = 20;
/// The most bytes of a value: room for a service account or a certificate.
const VALUE_BYTES: usize = 16_384;
/// The fewest characters of a value whose last four are shown.
const HINTED: usize = 16;

/// Where a value is sealed for.
pub(crate) fn place(row: &str) -> Place<'_> {
    Place { table: "credential_values", row, field: "sealed" }
}

/// Checks values that a caller gives, against those that are stored.
pub(super) fn check(
    faults: &mut Faults,
    values: &[(String, Option<Plain>)],
    stored: &[credential_value::Model],
    of_platform: bool,
) {
    if values.len() > VALUES {
        faults.add("input.values", format!("give at most {VALUES} values"));
    }
    for (index, (name, value)) in values.iter().enumerate().take(VALUES) {
        let field = format!("input.values.{index}");
        check_name(faults, &format!("{field}.name"), name);
        if values[..index].iter().any(|(earlier, _)| earlier == name) {
            faults.add(format!("{field}.name"), "this is listed twice");
        }
        if let Some(value) = value {
            let hint =
                stored.iter().find(|row| row.name == *name).and_then(|row| row.hint.as_deref());
            check_value(faults, &format!("{field}.value"), value.expose(), hint, of_platform);
        }
    }
    let left = stored.iter().filter(|row| values.iter().all(|(name, _)| *name != row.name)).count();
    let set = values.iter().filter(|(_, value)| value.is_some()).count();
    if left + set > VALUES {
        faults.add("input.values", format!("a credential has at most {VALUES} values"));
    }
    if left + set == 0 && !stored.is_empty() {
        faults.add("input.values", "a credential needs a value: delete it instead");
    }
}

fn check_name(faults: &mut Faults, field: &str, name: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        faults.add(field, "write 1 to 64 letters, digits, and the characters _ - .");
    }
}

/// Checks a value that is stored: it is sealed under a key, or a reference of the platform's.
pub(crate) fn check_stored(
    faults: &mut Faults,
    value: &credential_value::Model,
    of_platform: bool,
) {
    check_name(faults, "name", &value.name);
    if value.reference.is_some() == value.sealed.is_some()
        || value.sealed.is_some() != value.kek_id.is_some()
    {
        faults.add("sealed", "a value is sealed under a key, or a reference, and never both");
    }
    if value.reference.is_some() && !of_platform {
        faults.add("reference", "only credentials of the platform refer to an environment");
    }
}

/// What came out masked or sealed is never taken back in (SECURITY 2, case 17).
fn check_value(
    faults: &mut Faults,
    field: &str,
    text: &str,
    hint: Option<&str>,
    of_platform: bool,
) {
    if text.is_empty() || text.len() > VALUE_BYTES || text.contains('\0') {
        faults.add(field, format!("write 1 to {VALUE_BYTES} bytes without U+0000"));
    } else if looks_sealed(text) {
        faults.add(field, "this is a sealed value: give the secret itself, or leave the value out");
    } else if is_masked(text, hint) {
        faults.add(field, "this is a masked value: give the secret itself, or leave the value out");
    } else if let Some(name) = text.strip_prefix(REFERENCE) {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.len() > 128 || !name.chars().all(plain) {
            faults.add(field, "write a reference such as os.environ/OPENAI_API_KEY");
        } else if !of_platform {
            let message = "a team's credential has values of its own: only those of the platform \
                           refer to what a gateway has in its environment";
            faults.add(field, message);
        }
    }
}

fn is_masked(text: &str, hint: Option<&str>) -> bool {
    let lower = text.trim().to_lowercase();
    let bare = lower.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    text.contains("***")
        || text.contains(['•', '…', '●'])
        || (text.len() > 2 && text.chars().all(|c| matches!(c, '*' | 'x' | 'X' | '.')))
        || ["redacted", "masked", "hidden", "is set", "set", "unchanged", "null"].contains(&bare)
        || hint.is_some_and(|hint| {
            text == hint || text.strip_suffix(hint).is_some_and(|start| start.ends_with("..."))
        })
}

/// The values of a credential, locked in the order of their ids.
#[expect(clippy::disallowed_methods, reason = "of a credential that the caller may change")]
pub(super) async fn lock(tx: &Tx, id: CredentialId) -> Result<Vec<credential_value::Model>> {
    let select = credential_value::Entity::find()
        .filter(credential_value::Column::CredentialId.eq(id))
        .order_by_asc(credential_value::Column::Id);
    Ok(select.lock(LockType::Update).all(tx.db()).await?)
}

/// Stores values, and returns all that there are then. A value that is the same as before keeps what
/// is sealed.
pub(super) async fn store(
    tx: &Tx,
    credential: CredentialId,
    mut stored: Vec<credential_value::Model>,
    values: Vec<(String, Option<Plain>)>,
) -> Result<Vec<credential_value::Model>> {
    for (name, value) in values {
        let at = stored.iter().position(|row| row.name == name);
        match (value, at) {
            (None, None) => {
                return Err(Error::input(
                    "input.values",
                    "there is no value of this name to remove",
                ));
            }
            (None, Some(at)) => {
                let gone = stored.remove(at);
                credential_value::Entity::delete_many()
                    .filter(credential_value::Column::Id.eq(gone.id))
                    .exec(tx.db())
                    .await?;
            }
            (Some(value), at) => {
                let id = at.map_or_else(|| tx.id(), |at| stored[at].id);
                let row = seal(tx, id, credential, name, &value);
                match at {
                    Some(at) if stored[at].fingerprint == row.fingerprint => {}
                    Some(at) => {
                        tx.update(&row).await?;
                        stored[at] = row;
                    }
                    None => {
                        tx.insert(&row).await?;
                        stored.push(row);
                    }
                }
            }
        }
    }
    Ok(stored)
}

fn seal(
    tx: &Tx,
    id: CredentialValueId,
    credential_id: CredentialId,
    name: String,
    value: &Plain,
) -> credential_value::Model {
    let text = value.expose();
    let mut marked = zeroize::Zeroizing::new(b"tollkeep credential fingerprint v1\0".to_vec());
    marked.extend_from_slice(text.as_bytes());
    let fingerprint = hex(&tx.pepper().mac(&marked)[..8]);
    let reference = text.starts_with(REFERENCE).then(|| text.to_owned());
    let secret = reference.is_none();
    let long = text.chars().count() >= HINTED && secret;
    let hint = long.then(|| text.chars().skip(text.chars().count() - 4).collect::<String>());
    credential_value::Model {
        id,
        credential_id,
        name,
        reference,
        sealed: secret.then(|| tx.keyring().seal(&place(&id.to_string()), value)),
        kek_id: secret.then(|| tx.keyring().current_id().to_owned()),
        hint,
        fingerprint: Some(fingerprint),
        updated_at: tx.now(),
    }
}

/// The values of credentials that the caller may see, by name.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "narrowed to credentials that the caller may see")]
pub async fn of_credentials(
    reader: &Reader,
    ids: &[CredentialId],
) -> Result<Vec<credential_value::Model>> {
    let credentials = visible_to(reader.actor())
        .filter(entity::credential::Column::Id.is_in(ids.iter().copied()));
    let select = credential_value::Entity::find()
        .filter(
            credential_value::Column::CredentialId
                .in_subquery(crate::domain::visible_ids(credentials, "credentials")),
        )
        .order_by_asc(credential_value::Column::Name);
    Ok(select.all(reader.db()).await?)
}

/// A value as a gateway gets it.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The credential.
    pub credential: CredentialId,
    /// The name.
    pub name: String,
    /// The secret; none for a reference.
    pub secret: Option<Plain>,
    /// The reference to what the gateway has in its environment; none for a secret.
    pub reference: Option<String>,
}

/// Opens the values of credentials, for the one read that gives them to gateways.
///
/// # Errors
/// What the database answers; a value that does not open.
#[expect(
    clippy::disallowed_methods,
    reason = "a gateway gets what the models that it asks for need"
)]
pub async fn open(reader: &Reader, ids: &[CredentialId]) -> Result<Vec<Opened>> {
    let select = credential_value::Entity::find()
        .filter(credential_value::Column::CredentialId.is_in(ids.iter().copied()))
        .order_by_asc(credential_value::Column::Name);
    let rows = select.all(reader.db()).await?;
    let open = |row: credential_value::Model| -> Result<Opened> {
        let id = row.id.to_string();
        let secret = row.sealed.as_ref().map(|sealed| reader.keyring().open(&place(&id), sealed));
        Ok(Opened {
            credential: row.credential_id,
            name: row.name,
            secret: secret.transpose().map_err(Error::internal)?,
            reference: row.reference,
        })
    };
    rows.into_iter().map(open).collect()
}
