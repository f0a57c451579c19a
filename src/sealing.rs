//! Sealing: how secrets of others are stored, so that a copy of the database gives none away.
//!
//! Each secret is encrypted under a data key of its own, which is drawn at random and encrypted under
//! a key-encryption key (KEK) that is not in the database. What is authenticated with it names the
//! format, table, row and field, so that a sealed text opens in its own place alone. Stored is
//! `v1.KEK.WRAPPED.NONCE.CIPHERTEXT`: a change of the KEK touches the wrapped data key and nothing
//! else (SECURITY 5; `docs/adr/0022-secrets-are-sealed.md`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use entity::value::Sealed;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::clock::fill_random;
use crate::secret::hex;

const FORMAT: &str = "v1";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const KEK_ID_DIGITS: usize = 16;

/// A secret in the clear. It leaves memory when it is dropped, and nothing prints or serialises it.
#[derive(Clone)]
pub struct Plain(Zeroizing<String>);

impl Plain {
    /// Takes a text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plain(***)")
    }
}

/// Where a sealed text is stored.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The row.
    pub row: &'a str,
    /// The field.
    pub field: &'a str,
}

impl Place<'_> {
    /// What is authenticated with a ciphertext: each part with its length before it.
    fn bytes(&self, purpose: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in ["tollkeep", FORMAT, purpose, self.table, self.row, self.field] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// Why a sealed text does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It does not have the form of a sealed text.
    #[error("the stored text is not a sealed secret")]
    NotSealed,
    /// It was sealed with a key-encryption key that is not loaded.
    #[error("the secret was sealed with the key-encryption key {0}, which is not loaded")]
    UnknownKek(String),
    /// It was changed, or stands in another place than it was sealed for.
    #[error("the sealed secret was changed, or is not where it belongs")]
    Broken,
}

struct Kek {
    id: String,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl Kek {
    fn new(key: &[u8; KEY_BYTES]) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"tollkeep kek id v1");
        digest.update(key);
        let id = hex(&digest.finalize())[..KEK_ID_DIGITS].to_owned();
        Self { id, key: Zeroizing::new(*key) }
    }
}

/// The key-encryption keys of a deployment: the one that seals, and others that only open.
pub struct Keyring {
    current: Kek,
    former: Vec<Kek>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("current", &self.current.id).finish_non_exhaustive()
    }
}

impl Keyring {
    /// A keyring of the key that seals, and of former ones.
    pub fn new<'a>(
        current: &[u8; KEY_BYTES],
        former: impl IntoIterator<Item = &'a [u8; KEY_BYTES]>,
    ) -> Self {
        Self { current: Kek::new(current), former: former.into_iter().map(Kek::new).collect() }
    }

    /// The name of the key that seals: a digest, which tells nothing of the key.
    pub fn current_id(&self) -> &str {
        &self.current.id
    }

    /// Whether a key of this name is loaded.
    pub fn knows(&self, id: &str) -> bool {
        self.find(id).is_some()
    }

    /// Seals a secret for a place.
    ///
    /// # Panics
    /// Never: the cipher takes every text that fits into memory.
    pub fn seal(&self, place: &Place<'_>, plain: &Plain) -> Sealed {
        let mut data_key = Zeroizing::new([0; KEY_BYTES]);
        fill_random(&mut *data_key);
        let wrapped = encrypt(&self.current.key, &place.bytes(&self.current.id), &*data_key);
        let text = encrypt(&data_key, &place.bytes("secret"), plain.expose().as_bytes());
        let (nonce, ciphertext) = text.split_at(NONCE_BYTES);
        Parts {
            kek: &self.current.id,
            wrapped,
            nonce: nonce.to_vec(),
            ciphertext: ciphertext.to_vec(),
        }
        .join()
    }

    /// Opens a sealed text in its place.
    ///
    /// # Errors
    /// When the key is not loaded, or the text was changed or moved.
    pub(crate) fn open(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Plain, OpenError> {
        let parts = Parts::split(sealed)?;
        let data_key = self.unwrap(place, &parts)?;
        let mut whole = parts.nonce;
        whole.extend_from_slice(&parts.ciphertext);
        let plain = decrypt(&data_key, &place.bytes("secret"), &whole)?;
        let text = String::from_utf8(plain.to_vec()).map_err(|_not_text| OpenError::Broken)?;
        Ok(Plain::new(text))
    }

    /// The same secret under the key that seals; none when it is under it already. The secret itself
    /// is not decrypted.
    ///
    /// # Errors
    /// When the value was sealed under another key, or is not what was sealed.
    pub fn rewrap(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Option<Sealed>, OpenError> {
        let mut parts = Parts::split(sealed)?;
        if parts.kek == self.current.id {
            return Ok(None);
        }
        let data_key = self.unwrap(place, &parts)?;
        parts.wrapped = encrypt(&self.current.key, &place.bytes(&self.current.id), &*data_key);
        parts.kek = &self.current.id;
        Ok(Some(parts.join()))
    }

    fn unwrap(
        &self,
        place: &Place<'_>,
        parts: &Parts<'_>,
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, OpenError> {
        let kek =
            self.find(parts.kek).ok_or_else(|| OpenError::UnknownKek(parts.kek.to_owned()))?;
        let data_key = decrypt(&kek.key, &place.bytes(&kek.id), &parts.wrapped)?;
        let data_key = <[u8; KEY_BYTES]>::try_from(data_key.as_slice());
        data_key.map(Zeroizing::new).map_err(|_wrong_length| OpenError::Broken)
    }

    fn find(&self, id: &str) -> Option<&Kek> {
        std::iter::once(&self.current).chain(&self.former).find(|kek| kek.id == id)
    }
}

/// Whether a text has the form of a sealed one, or of a secret that LiteLLM stored.
pub fn looks_sealed(text: &str) -> bool {
    ["v2:gcm:", "v3:gcm:"].iter().any(|prefix| text.starts_with(prefix))
        || Parts::split(&Sealed(text.to_owned())).is_ok()
}

struct Parts<'a> {
    kek: &'a str,
    wrapped: Vec<u8>,
    nonce: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn split(sealed: &'a Sealed) -> Result<Self, OpenError> {
        let fields: Vec<_> = sealed.0.split('.').collect();
        let [FORMAT, kek, wrapped, nonce, ciphertext] = fields[..] else {
            return Err(OpenError::NotSealed);
        };
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let parts = (decode(wrapped), decode(nonce), decode(ciphertext));
        let (Some(wrapped), Some(nonce), Some(ciphertext)) = parts else {
            return Err(OpenError::NotSealed);
        };
        if kek.len() != KEK_ID_DIGITS || nonce.len() != NONCE_BYTES {
            return Err(OpenError::NotSealed);
        }
        Ok(Self { kek, wrapped, nonce, ciphertext })
    }

    fn join(&self) -> Sealed {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (wrapped, nonce) = (encode(&self.wrapped), encode(&self.nonce));
        Sealed(format!("{FORMAT}.{}.{wrapped}.{nonce}.{}", self.kek, encode(&self.ciphertext)))
    }
}

/// A random nonce, and the ciphertext.
fn encrypt(key: &[u8; KEY_BYTES], aad: &[u8], text: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE_BYTES];
    fill_random(&mut nonce);
    let cipher = XChaCha20Poly1305::new(&(*key).into());
    let sealed = cipher.encrypt(&nonce.into(), Payload { msg: text, aad });
    let mut whole = nonce.to_vec();
    whole.extend(sealed.expect("the cipher takes every text that fits into memory"));
    whole
}

fn decrypt(
    key: &[u8; KEY_BYTES],
    aad: &[u8],
    whole: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (nonce, text) = whole.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError::Broken)?;
    let cipher = XChaCha20Poly1305::new(&(*key).into());
    let opened = cipher.decrypt(&(*nonce).into(), Payload { msg: text, aad });
    opened.map(Zeroizing::new).map_err(|_refused| OpenError::Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'_> = Place { table: "credential_values", row: "7", field: "sealed" };

    fn plain(text: &str) -> Plain {
        Plain::new(text.to_owned())
    }

    /// SECURITY 5: a sealed text opens in its own row and field alone, and only whole.
    #[test]
    fn a_sealed_text_opens_in_its_own_place_alone() {
        let keys = Keyring::new(&[1; 32], []);
        let sealed = keys.seal(&HERE, &plain("sk-secret"));
        assert_eq!(keys.open(&HERE, &sealed).unwrap().expose(), "sk-secret");
        for place in [
            Place { row: "8", ..HERE },
            Place { field: "other", ..HERE },
            Place { table: "settings", ..HERE },
            Place { table: "credential_values7", row: "", ..HERE },
        ] {
            assert_eq!(keys.open(&place, &sealed).unwrap_err(), OpenError::Broken);
        }
        let other = keys.seal(&HERE, &plain("sk-secret"));
        assert_ne!(sealed.0, other.0);
        let swapped: Vec<_> = sealed.0.rsplitn(2, '.').collect();
        let tail = other.0.rsplit('.').next().unwrap();
        let mixed = Sealed(format!("{}.{tail}", swapped[1]));
        assert_eq!(keys.open(&HERE, &mixed).unwrap_err(), OpenError::Broken);
    }

    /// SECURITY 5: the KEK changes and the ciphertext stays; nothing is sealed twice.
    #[test]
    fn a_new_kek_touches_the_wrap_alone() {
        let old = Keyring::new(&[1; 32], []);
        let both = Keyring::new(&[2; 32], [&[1; 32]]);
        let new = Keyring::new(&[2; 32], []);
        let sealed = old.seal(&HERE, &plain("sk-secret"));
        assert_eq!(
            new.open(&HERE, &sealed).unwrap_err(),
            OpenError::UnknownKek(old.current_id().to_owned())
        );
        assert_eq!(both.open(&HERE, &sealed).unwrap().expose(), "sk-secret");
        let moved = both.rewrap(&HERE, &sealed).unwrap().unwrap();
        assert_eq!(new.open(&HERE, &moved).unwrap().expose(), "sk-secret");
        let tail =
            |sealed: &Sealed| sealed.0.split('.').skip(3).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(tail(&sealed), tail(&moved));
        assert_eq!(both.rewrap(&HERE, &moved).unwrap(), None);
    }

    #[test]
    fn what_is_not_sealed_is_told_from_what_is() {
        let sealed = Keyring::new(&[1; 32], []).seal(&HERE, &plain("x"));
        assert!(looks_sealed(&sealed.0) && looks_sealed("v3:gcm:AAAA"));
        for text in ["", "sk-1234", "v1.a.b.c.d", "a.b.c", "os.environ/KEY"] {
            assert!(!looks_sealed(text), "{text}");
        }
        assert_eq!(format!("{sealed:?} {:?}", plain("x")), "Sealed(***) Plain(***)");
    }
}
