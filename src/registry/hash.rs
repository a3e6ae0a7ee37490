//! The declared hash of a binary: `sha256:` and 64 lowercase hexadecimal digits.

use std::fmt;
use std::str::FromStr;

/// The SHA-256 that a binary must have.
///
/// ```
/// use wippy::registry::Hash;
///
/// let text = format!("sha256:{}", "0f".repeat(32));
/// let hash: Hash = text.parse().unwrap();
/// assert_eq!(hash.sha256()[0], 0x0f);
/// assert_eq!(hash.to_string(), text);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

/// Why a text is no [`Hash`](struct@Hash).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseHashError {
    /// There is no colon.
    #[error("invalid hash format: `{text}` names no algorithm")]
    NoAlgorithm {
        /// The text.
        text: String,
    },
    /// The algorithm is not `sha256`.
    #[error("unsupported hash algorithm: `{algorithm}`")]
    UnknownAlgorithm {
        /// The part before the first colon.
        algorithm: String,
    },
    /// There are not 64 digits.
    #[error("invalid hash format: {found} digits after `sha256:` instead of 64")]
    WrongLength {
        /// How many characters follow the colon.
        found: usize,
    },
    /// A character is no lowercase hexadecimal digit.
    #[error("invalid hash format: `{digit}` is no lowercase hexadecimal digit")]
    WrongDigit {
        /// The character.
        digit: char,
    },
}

impl Hash {
    /// The hash of these 32 bytes of SHA-256.
    pub fn from_sha256(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The 32 bytes.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Hash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((algorithm, digits)) = text.split_once(':') else {
            return Err(ParseHashError::NoAlgorithm { text: text.to_owned() });
        };
        if algorithm != "sha256" {
            return Err(ParseHashError::UnknownAlgorithm { algorithm: algorithm.to_owned() });
        }
        if let Some(digit) = digits.chars().find(|char| !matches!(char, '0'..='9' | 'a'..='f')) {
            return Err(ParseHashError::WrongDigit { digit });
        }
        if digits.len() != 64 {
            return Err(ParseHashError::WrongLength { found: digits.len() });
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
        }
        Ok(Self(hash))
    }
}

/// The value of a lowercase hexadecimal digit.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit - b'a' + 10,
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_other_form_is_refused() {
        let digits = "ab".repeat(32);
        assert!(matches!(digits.parse::<Hash>(), Err(ParseHashError::NoAlgorithm { .. })));
        assert!(matches!(format!("md5:{digits}").parse::<Hash>(), Err(ParseHashError::UnknownAlgorithm { .. })));
        assert!(matches!(format!("SHA256:{digits}").parse::<Hash>(), Err(ParseHashError::UnknownAlgorithm { .. })));
        assert_eq!("sha256:abc".parse::<Hash>(), Err(ParseHashError::WrongLength { found: 3 }));
        assert_eq!("sha256:".parse::<Hash>(), Err(ParseHashError::WrongLength { found: 0 }));
        let upper = format!("sha256:{}", digits.to_uppercase());
        assert_eq!(upper.parse::<Hash>(), Err(ParseHashError::WrongDigit { digit: 'A' }));
        assert_eq!("sha256:...".parse::<Hash>(), Err(ParseHashError::WrongDigit { digit: '.' }));
        assert!(format!("sha256:{digits} ").parse::<Hash>().is_err());
    }

    proptest! {
        #[test]
        fn every_digest_survives_its_text(digest in prop::array::uniform32(any::<u8>())) {
            let hash = Hash::from_sha256(digest);
            prop_assert_eq!(hash.to_string().parse::<Hash>(), Ok(hash));
        }
    }
}
