//! The section `auth`: the secrets that credentials hang on, and how long things may last. What a
//! key looks like and how it is checked is not decided here.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::duration;
use super::faults::Faults;
use super::secret::{self, SecretText};

const DAY: Duration = Duration::from_hours(24);

/// The fewest characters of an admin key, before and after what is easy to guess is taken out.
const SHORTEST_KEY: usize = 24;
const SHORTEST_REST: usize = 12;
const LONGEST_KEY: usize = 256;

/// The fewest different characters of an admin key, and bytes of a key.
const FEWEST_DIFFERENT: usize = 8;

const MOST_FORMER_KEKS: usize = 8;

/// What keys that nobody drew at random are made of. It adds nothing to the length of a key.
const WEAK_WORDS: [&str; 18] = [
    "asdfghjkl",
    "change",
    "default",
    "example",
    "hunter2",
    "letmein",
    "litellm",
    "master",
    "password",
    "placeholder",
    "qwerty",
    "replace",
    "secret",
    "sk-1234",
    "test",
    "tollkeep",
    "your",
    "zxcvb",
];

/// Credentials.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The bootstrap key, a platform admin without a user. Secret; default none. From 24 to 256
    /// visible ASCII characters, and drawn at random: `openssl rand -hex 32`.
    #[serde(with = "secret::setting")]
    pub admin_key: Option<SecretText>,
    /// The key under which digests of credentials are made: 32 bytes as 64 hex digits or as
    /// base64. Secret; default none, which means the one in `secrets.toml`. When it is lost or
    /// changed, every key stops working.
    #[serde(with = "secret::setting")]
    pub pepper: Option<SecretText>,
    /// The key-encryption key, under which stored provider secrets are sealed: 32 bytes as 64 hex
    /// digits or as base64. Secret; default none, which means the one in `secrets.toml`. When it is
    /// lost, so are the secrets.
    #[serde(with = "secret::setting")]
    pub kek: Option<SecretText>,
    /// Key-encryption keys that open what was sealed with them and seal nothing, separated by
    /// commas; at most 8. Secret; default none. `tollkeep secrets rotate` makes them needless.
    #[serde(with = "secret::setting")]
    pub former_keks: Option<SecretText>,
    /// The longest time that a rotated key may go on working. Default 7d, from 0s to 30d.
    #[serde(with = "duration")]
    pub max_rotation_grace: Duration,
    /// How often the last use of a key is written, which is also how much of it a crash can
    /// lose. Default 60s, from 1s to 1h.
    #[serde(with = "duration")]
    pub last_used_interval: Duration,
}

impl Auth {
    /// The bytes of the pepper; `None` when it is not set, or not valid.
    pub fn pepper_bytes(&self) -> Option<Zeroizing<[u8; 32]>> {
        self.pepper.as_ref().and_then(|pepper| decode_key(pepper.expose()))
    }

    /// The bytes of the key-encryption key; `None` when it is not set, or not valid.
    pub fn kek_bytes(&self) -> Option<Zeroizing<[u8; 32]>> {
        self.kek.as_ref().and_then(|kek| decode_key(kek.expose()))
    }

    /// The bytes of the former key-encryption keys, as far as they are valid.
    pub fn former_kek_bytes(&self) -> Vec<Zeroizing<[u8; 32]>> {
        let texts = self.former_keks.iter().flat_map(|keys| keys.expose().split(','));
        texts.filter_map(|text| decode_key(text.trim())).collect()
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        if let Some(key) = &self.admin_key
            && let Err(reason) = check_admin_key(key.expose())
        {
            faults.add("auth.admin_key", reason);
        }
        if let Some(pepper) = &self.pepper {
            check_key(faults, "auth.pepper", pepper.expose());
        }
        if let Some(kek) = &self.kek {
            check_key(faults, "auth.kek", kek.expose());
        }
        if let Some(former) = &self.former_keks {
            let texts: Vec<_> = former.expose().split(',').map(str::trim).collect();
            if texts.len() > MOST_FORMER_KEKS {
                faults.add("auth.former_keks", "must be at most 8 keys, separated by commas");
            }
            for text in texts {
                check_key(faults, "auth.former_keks", text);
            }
        }
        faults.span("auth.max_rotation_grace", self.max_rotation_grace, Duration::ZERO, DAY * 30);
        faults.span(
            "auth.last_used_interval",
            self.last_used_interval,
            Duration::from_secs(1),
            Duration::from_hours(1),
        );
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            admin_key: None,
            pepper: None,
            kek: None,
            former_keks: None,
            max_rotation_grace: DAY * 7,
            last_used_interval: Duration::from_mins(1),
        }
    }
}

fn check_key(faults: &mut Faults, setting: &str, text: &str) {
    match decode_key(text) {
        None => faults.add(setting, "must be 32 bytes, as 64 hex digits or base64"),
        Some(bytes) if different(bytes.iter()) < FEWEST_DIFFERENT => {
            faults.add(setting, "must be drawn at random, such as by openssl rand -hex 32");
        }
        Some(_) => {}
    }
}

fn check_admin_key(key: &str) -> Result<(), &'static str> {
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must be visible ASCII characters without spaces");
    }
    if key.len() < SHORTEST_KEY {
        return Err("must have at least 24 characters, such as from openssl rand -hex 32");
    }
    if key.len() > LONGEST_KEY {
        return Err("must have at most 256 characters");
    }
    let mut rest = Zeroizing::new(key.to_ascii_lowercase());
    for word in WEAK_WORDS {
        rest = Zeroizing::new(rest.replace(word, ""));
    }
    let rest = without_runs(rest.as_bytes());
    let weak = repeats(key.as_bytes())
        || rest.len() < SHORTEST_REST
        || different(rest.iter()) < FEWEST_DIFFERENT;
    if weak {
        return Err("is easy to guess: draw one at random, such as by openssl rand -hex 32");
    }
    Ok(())
}

/// Whether the text is one piece, said at least twice.
fn repeats(text: &[u8]) -> bool {
    (1..=text.len() / 2).any(|period| text.iter().zip(&text[period..]).all(|(a, b)| a == b))
}

/// The text without characters that repeat their neighbour or count on from it (`1234`, `dcba`).
fn without_runs(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let first = text.first().copied();
    let rest = text.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) > 1).map(|pair| pair[1]);
    Zeroizing::new(first.into_iter().chain(rest).collect())
}

fn different<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    let mut seen = [false; 256];
    bytes.for_each(|byte| seen[usize::from(*byte)] = true);
    seen.into_iter().filter(|seen| *seen).count()
}

fn decode_key(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    if text.len() == 64 {
        return secret::bytes_from_hex(text);
    }
    let padding =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = [&alphabet::STANDARD, &alphabet::URL_SAFE]
        .into_iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, padding).decode(text).ok())
        .map(Zeroizing::new)?;
    <[u8; 32]>::try_from(decoded.as_slice()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_admin_key_is_refused() {
        let long = "Kd9".repeat(90);
        let cases = [
            ("sk-1234", "must have at least 24 characters"),
            ("7d1f0c2b93ae44f2b07c5e6", "must have at least 24 characters"),
            (long.as_str(), "must have at most 256 characters"),
            ("7d1f 0c2b-93ae-44f2-b07c", "must be visible ASCII characters"),
            ("7d1f0c2b93ae44f2b07c5e6\u{e9}", "must be visible ASCII characters"),
            ("sk-1234567890123456789012", "is easy to guess"),
            ("aaaaaaaaaaaaaaaaaaaaaaaa", "is easy to guess"),
            ("abcdefghijklmnopqrstuvwxyz", "is easy to guess"),
            ("k7Gh2mQxk7Gh2mQxk7Gh2mQx", "is easy to guess"),
            ("10101100111000110101010110", "is easy to guess"),
            ("CHANGE-ME-change-me-Change-me", "is easy to guess"),
            ("your-secret-master-password", "is easy to guess"),
            ("sk-tollkeep-master-key-12345678", "is easy to guess"),
        ];
        for (key, expected) in cases {
            let reason = check_admin_key(key).unwrap_err();
            assert!(reason.starts_with(expected), "{key}: {reason}");
        }
        for good in [
            "7d1f0c2b93ae44f2b07c5e6a",
            "sk-3f9a0c7be1d24c58a6b70d92",
            "sk-tollkeep-9fK2mQ7xZ1pL4vT8",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            assert_eq!(check_admin_key(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_pepper_is_hex_or_base64() {
        let bytes: Vec<u8> = (0..32).map(|n| n * 8 + 7).collect();
        let hex = "070f171f272f373f474f575f676f777f878f979fa7afb7bfc7cfd7dfe7eff7ff";
        let base64 = "Bw8XHycvNz9HT1dfZ293f4ePl5+nr7e/x8/X3+fv9/8=";
        let url_safe = base64.replace('+', "-").replace('/', "_");
        for good in [hex, &hex.to_uppercase(), base64, base64.trim_end_matches('='), &url_safe] {
            assert_eq!(decode_key(good).unwrap().as_slice(), bytes, "{good}");
        }
        for bad in ["", "00", &hex[2..], &hex.replace('f', "g"), &base64[4..], "+7"] {
            assert!(decode_key(bad).is_none(), "{bad}");
        }
    }
}
