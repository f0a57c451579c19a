//! Text that must not be seen: it leaves memory when it is dropped, and nothing prints it by
//! accident. It is no vault: copies that others made, such as the process environment, stay.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

/// A secret in text form. Only [`expose`](Self::expose) gives it away, which a reviewer can
/// search for. There is no comparison: compare digests, in constant time.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text over. It is overwritten when the value is dropped.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl FromStr for SecretText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text.to_owned()))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads 32 bytes from 64 hexadecimal digits; `None` when the text is anything else.
pub(crate) fn bytes_from_hex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(bytes)
}

/// How a secret setting goes through serde: absent is the empty text, and a set one is written
/// as `***`, never as itself.
pub(super) mod setting {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::SecretText;

    #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
    pub(crate) fn serialize<S: Serializer>(
        value: &Option<SecretText>,
        target: S,
    ) -> Result<S::Ok, S::Error> {
        target.serialize_str(if value.is_some() { "***" } else { "" })
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        source: D,
    ) -> Result<Option<SecretText>, D::Error> {
        let text = SecretText::new(String::deserialize(source)?);
        Ok(if text.expose().is_empty() { None } else { Some(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret: SecretText = "canary-7531".parse().unwrap();
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "*** Some(\n    ***,\n)");
        assert_eq!(secret.expose(), "canary-7531");
    }

    #[test]
    fn hexadecimal_is_exactly_64_digits() {
        assert_eq!(bytes_from_hex(&"aF".repeat(32)).unwrap()[..], [0xaf; 32]);
        for bad in ["", &"a".repeat(63), &"a".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            assert!(bytes_from_hex(bad).is_none(), "{bad}");
        }
    }
}
