//! The key-encryption keys of a deployment: where they come from, and the proof that they are the
//! ones with which the secrets in the database were sealed.

use entity::value::Sealed;
use entity::{credential_value, setting};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Secrets, StartError};
use crate::clock::fill_random;
use crate::config::Config;
use crate::db::{Database, Deployment};
use crate::error::Error;
use crate::sealing::{Keyring, Place, Plain};
use crate::secrets_file::{self, SecretsFile};

/// The name of the setting that is sealed, and opened at each start.
pub(super) const SENTINEL: &str = "kek_sentinel";
/// What it says.
const TEXT: &str = "tollkeep kek sentinel v1";

/// Where the sentinel is sealed for.
pub(super) const PLACE: Place<'_> = Place { table: "settings", row: SENTINEL, field: "value" };

/// The sealed sentinel; none before the first start.
#[expect(clippy::disallowed_methods, reason = "before there is any caller")]
pub(super) async fn sentinel(database: &Database) -> Result<Option<Sealed>, StartError> {
    let stored = setting::Entity::find_by_id(SENTINEL.to_owned()).one(database.writing());
    Ok(stored.await.map_err(Error::from)?.and_then(|row| sealed(&row.value)))
}

/// The sealed text in a setting.
pub(super) fn sealed(value: &Value) -> Option<Sealed> {
    value.as_str().map(|text| Sealed(text.to_owned()))
}

/// The keys: of the configuration, else of the secrets file, which the embedded default makes on
/// its first start. When secrets were sealed with a key that is gone, no other is made.
pub(super) fn complete(
    config: &Config,
    file: Option<SecretsFile>,
    sealed: bool,
) -> Result<(Keyring, Option<SecretsFile>), StartError> {
    let former = config.auth.former_kek_bytes();
    if let Some(kek) = config.auth.kek_bytes() {
        return Ok((Keyring::new(&kek, former.iter().map(|key| &**key)), file));
    }
    let mut file = match file {
        Some(file) => file,
        None if sealed => {
            let path = config.data_dir.join(secrets_file::FILE_NAME);
            return Err(secrets_file::Error::Lost { path }.into());
        }
        None => Secrets::make_file(config)?,
    };
    if file.keks().is_empty() {
        if sealed {
            return Err(StartError::WrongKek);
        }
        file.add_kek(&mut |buffer: &mut [u8]| fill_random(buffer))?;
    }
    let keyring = of_file(&file, &former);
    Ok((keyring.ok_or(StartError::WrongKek)?, Some(file)))
}

/// The keys of a secrets file, and further ones that only open.
pub(super) fn of_file(file: &SecretsFile, former: &[Zeroizing<[u8; 32]>]) -> Option<Keyring> {
    let (current, older) = file.keks().split_first()?;
    Some(Keyring::new(current, older.iter().chain(former).map(|key| &**key)))
}

/// A server that cannot open every secret does not start. Of servers that make their first start
/// together, one seals the sentinel, and all open it.
pub(super) async fn check(deployment: &Deployment) -> Result<(), StartError> {
    let keyring = &deployment.keyring;
    let row = setting::Model {
        name: SENTINEL.to_owned(),
        value: Value::String(keyring.seal(&PLACE, &Plain::new(TEXT.to_owned())).0),
        updated_at: deployment.clock.now(),
    };
    let insert = setting::Entity::insert(row.into_active_model().reset_all())
        .on_conflict(OnConflict::column(setting::Column::Name).do_nothing().to_owned());
    match insert.exec_without_returning(deployment.database.writing()).await {
        Ok(_) | Err(DbErr::RecordNotInserted) => {}
        Err(error) => return Err(Error::from(error).into()),
    }
    let stored = sentinel(&deployment.database).await?.ok_or(StartError::WrongKek)?;
    let opened = keyring.open(&PLACE, &stored).map_err(|_any| StartError::WrongKek)?;
    let known = opened.expose() == TEXT;
    let used = used_keks(&deployment.database).await?;
    if known && used.iter().all(|id| keyring.knows(id)) {
        Ok(())
    } else {
        Err(StartError::WrongKek)
    }
}

/// The names of the keys under which secrets are sealed.
#[expect(clippy::disallowed_methods, reason = "before there is any caller")]
async fn used_keks(database: &Database) -> Result<Vec<String>, StartError> {
    let select = credential_value::Entity::find()
        .select_only()
        .column(credential_value::Column::KekId)
        .filter(credential_value::Column::KekId.is_not_null())
        .distinct();
    let found = select.into_tuple::<String>().all(database.writing()).await;
    Ok(found.map_err(Error::from)?)
}
