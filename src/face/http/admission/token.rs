//! The token of `--token-file`: a secret of the operator's, outside of the store, that is worth the key of an admin.

use subtle::ConstantTimeEq;

use crate::{Error, Result};

/// Minimum length: shorter tokens can be guessed.
const SHORTEST: usize = 16;

/// The secret that requests may show instead of a key.
#[derive(Clone)]
pub(crate) struct Token(String);

impl Token {
    /// The token with that text, without surrounding white space.
    ///
    /// # Errors
    ///
    /// `Invalid` when it is too short, or contains characters that a header cannot.
    pub(crate) fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.len() < SHORTEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid(format!(
                "a token is {SHORTEST} or more visible ASCII characters, such as openssl rand -hex 32 gives: characters={}",
                text.chars().count()
            )));
        }
        Ok(Self(text.to_owned()))
    }

    /// Its hash, which a session remembers.
    pub(in crate::face::http) fn hash(&self) -> blake3::Hash {
        blake3::hash(self.0.as_bytes())
    }

    /// Whether that is it, in constant time for texts of its length.
    pub(in crate::face::http) fn is(&self, shown: &[u8]) -> bool {
        bool::from(shown.ct_eq(self.0.as_bytes()))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::http::admission::caller::bearer;

    #[test]
    fn only_the_whole_token_opens() {
        let token = Token::new(" 0123456789abcdef\n").unwrap();
        let shown = |value: &str| bearer(value.as_bytes()).is_some_and(|shown| token.is(shown));
        assert!(shown("Bearer 0123456789abcdef") && shown("bearer 0123456789abcdef"));
        for wrong in ["Bearer 0123456789abcde", "Bearer 0123456789abcdefg", "0123456789abcdef", "Bearer", "Basic x", ""]
        {
            assert!(!shown(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_token_that_can_be_guessed_is_refused_and_no_token_is_printed() {
        assert!(Token::new("short").is_err());
        assert_eq!(format!("{:?}", Token::new("0123456789abcdef").unwrap()), "Token(..)");
    }
}
