//! The token that requests must show if one is set. Module `access` checks hosts and origins.

use axum::http::{HeaderMap, StatusCode, header};
use subtle::ConstantTimeEq;

use crate::face::http::problem::Problem;
use crate::{Error, Result};

/// Minimum length: shorter tokens can be guessed.
const SHORTEST: usize = 16;
/// Paths that need no token: they reveal nothing but that the service runs.
const OPEN: [&str; 2] = ["/livez", "/readyz"];

/// The secret that requests must show.
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

    /// Whether a request shows it, in constant time for tokens of its length.
    fn is_shown(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
        let (scheme, token) = shown.split_at_checked("Bearer ".len()).unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(token.trim_ascii().ct_eq(self.0.as_bytes()))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Whether a path needs no token.
pub(super) fn is_open(path: &str) -> bool {
    OPEN.contains(&path)
}

/// Lets a request for a path through, or says what is missing.
pub(super) fn admit(token: Option<&Token>, path: &str, headers: &HeaderMap) -> Result<(), Problem> {
    let may_pass = is_open(path) || token.is_none_or(|token| token.is_shown(headers));
    if may_pass {
        return Ok(());
    }
    let detail = "show the service's token in a header: Authorization: Bearer TOKEN";
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
    Err(problem.with(header::WWW_AUTHENTICATE, "Bearer"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn only_the_whole_token_opens() {
        let token = Token::new(" 0123456789abcdef\n").unwrap();
        let shown = |value| token.is_shown(&with(header::AUTHORIZATION, value));
        assert!(shown("Bearer 0123456789abcdef") && shown("bearer 0123456789abcdef"));
        for wrong in ["Bearer 0123456789abcde", "Bearer 0123456789abcdefg", "0123456789abcdef", "Bearer", "Basic x", ""]
        {
            assert!(!shown(wrong), "{wrong}");
        }
        assert!(!token.is_shown(&HeaderMap::new()));
    }

    #[test]
    fn a_token_that_can_be_guessed_is_refused_and_no_token_is_printed() {
        assert!(Token::new("short").is_err());
        assert_eq!(format!("{:?}", Token::new("0123456789abcdef").unwrap()), "Token(..)");
    }
}
