//! The form of secrets, and the keyed digests under which they are stored.
//!
//! A secret is `sk-`, a tag of three letters for its kind, `_`, 30 random characters of base 62
//! (178 bits) and the CRC-32 of all before it in 6 characters of base 62, so that junk and typing
//! errors are refused without a look at the database (SECURITY 5). Any other text that begins with
//! `sk-` is a legacy secret. What is stored is `HMAC-SHA256(pepper, hex(SHA-256(secret)))`: the
//! inner digest is what LiteLLM stores, so that its keys can be taken over (REFERENCE F1).

use entity::role::ApiKeyKind;
use entity::value::Digest;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::clock::fill_random;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARACTERS: usize = 30;
const CHECKSUM_CHARACTERS: usize = 6;
/// The most characters a presented secret may have.
pub const LONGEST: usize = 200;

/// A secret in the clear. It is shown once, where it is made, and cannot be printed or serialised.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

/// The pepper: the key of the digests. Without it, a copy of the database holds no usable digest.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Pepper([u8; 32]);

/// The number of the one pepper there is.
pub const PEPPER_ID: i32 = 1;

fn tag(kind: ApiKeyKind) -> &'static str {
    match kind {
        ApiKeyKind::User => "sk-tku_",
        ApiKeyKind::Service => "sk-tks_",
        ApiKeyKind::Gateway => "sk-tkg_",
        ApiKeyKind::Admin => "sk-tka_",
    }
}

impl Secret {
    /// A new random secret.
    pub fn generate(kind: ApiKeyKind) -> Self {
        let mut text = String::from(tag(kind));
        let mut wanted = RANDOM_CHARACTERS;
        while wanted > 0 {
            let mut bytes = [0; 64];
            fill_random(&mut bytes);
            // 248 = 4 × 62: the bytes beyond it would make some characters likelier than others.
            for byte in bytes.into_iter().filter(|byte| *byte < 248).take(wanted) {
                text.push(char::from(ALPHABET[usize::from(byte % 62)]));
                wanted -= 1;
            }
            bytes.zeroize();
        }
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Self(text)
    }

    /// Takes what a caller presents. `None` for what cannot be a secret: no `sk-`, too long, other
    /// characters, or one of our own forms with a wrong checksum.
    pub fn presented(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !text.starts_with("sk-") || text.len() > LONGEST || !text.bytes().all(plain) {
            return None;
        }
        let kinds = [ApiKeyKind::User, ApiKeyKind::Service, ApiKeyKind::Gateway, ApiKeyKind::Admin];
        let ours = kinds.iter().find_map(|kind| text.strip_prefix(tag(*kind)));
        if ours.is_some_and(|rest| rest.len() == RANDOM_CHARACTERS + CHECKSUM_CHARACTERS) {
            let (body, sum) = text.split_at(text.len() - CHECKSUM_CHARACTERS);
            if checksum(body) != sum {
                return None;
            }
        }
        Some(Self(text.to_owned()))
    }

    /// A secret that an administrator chose.
    pub fn chosen(text: &str) -> Option<Self> {
        let different = text.bytes().collect::<std::collections::BTreeSet<_>>().len();
        Self::presented(text).filter(|_| text.len() >= 32 && different >= 12)
    }

    /// The text. The one place that calls it shows it to the person who made it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The last four characters.
    pub fn hint(&self) -> String {
        self.0[self.0.len().saturating_sub(4)..].to_owned()
    }

    /// The digest under which the secret is stored.
    pub fn digest(&self, pepper: &Pepper) -> Digest {
        digest_of(&self.0, pepper)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Pepper {
    /// A pepper of 32 bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new random pepper.
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        fill_random(&mut bytes);
        Self(bytes)
    }

    /// The HMAC-SHA256 of a text under the pepper.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    pub fn mac(&self, text: &[u8]) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(text);
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for Pepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pepper(***)")
    }
}

/// The digest of any text; the bootstrap admin key need not have the form of a secret.
pub fn digest_of(text: &str, pepper: &Pepper) -> Digest {
    Digest(digest_bytes(text, pepper).to_vec())
}

/// The bytes of [`digest_of`].
pub fn digest_bytes(text: &str, pepper: &Pepper) -> [u8; 32] {
    let inner = hex(&Sha256::digest(text.as_bytes()));
    pepper.mac(inner.as_bytes())
}

/// Whether two digests are the same, in a time that does not depend on where they differ.
pub fn same(left: &Digest, right: &Digest) -> bool {
    left.0.ct_eq(&right.0).into()
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM_CHARACTERS];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_secret_is_accepted_and_a_typing_error_is_not() {
        let secret = Secret::generate(ApiKeyKind::User);
        assert_eq!(secret.expose().len(), 7 + 36);
        assert!(Secret::presented(secret.expose()).is_some());
        for at in 7..secret.expose().len() {
            let mut text: Vec<char> = secret.expose().chars().collect();
            text[at] = if text[at] == 'x' { 'y' } else { 'x' };
            assert!(Secret::presented(&text.iter().collect::<String>()).is_none(), "{at}");
        }
    }

    /// F1.
    #[test]
    fn a_legacy_secret_is_taken_as_it_is() {
        assert!(Secret::presented("sk-1234").is_some());
        for text in ["", "1234", "sk-a b", "sk-'--", "sk-%", "SK-1234", &"sk-".repeat(100)] {
            assert!(Secret::presented(text).is_none(), "{text}");
        }
    }

    /// F1: the inner digest is the hexadecimal SHA-256 of the whole text.
    #[test]
    fn the_digest_wraps_the_reference_systems_own() {
        let pepper = Pepper::new([7; 32]);
        let inner = "6d6a3c3d2ad4d5b9b3f5c5dfb1e1d1b3";
        assert_ne!(pepper.mac(inner.as_bytes()), Pepper::new([8; 32]).mac(inner.as_bytes()));
        let secret = Secret::presented("sk-1234").unwrap();
        let digest = hex(&Sha256::digest(b"sk-1234"));
        assert_eq!(digest, "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b");
        assert!(same(&secret.digest(&pepper), &Digest(pepper.mac(digest.as_bytes()).to_vec())));
    }

    #[test]
    fn a_chosen_secret_must_be_hard_to_guess() {
        assert!(Secret::chosen("sk-1234").is_none());
        assert!(Secret::chosen(&format!("sk-{}", "a".repeat(40))).is_none());
        assert!(Secret::chosen("sk-4f9a0c2e7b1d8365aa00bb11cc22dd33").is_some());
    }

    #[test]
    fn nothing_prints_a_secret() {
        let secret = Secret::generate(ApiKeyKind::Admin);
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert_eq!(format!("{:?}", Pepper::generate()), "Pepper(***)");
    }
}
