//! Failures of a service: those that pass, and those that a person must solve.

use std::error::Error as _;

use crate::error::{Error, ErrorKind, Result};

/// A failure of one request.
#[derive(Debug)]
pub(super) enum Failure {
    /// The object, or the precondition of its creation, says no. The service works.
    Exists,
    Absent,
    /// It may pass: no answer, an answer of overload, a broken connection.
    Passing(Error),
    /// It does not pass by itself.
    Lasting(Error),
}

impl Failure {
    /// Sorts a failure of a request to this bucket. `missing` names the credentials that the environment lacks.
    pub(super) fn of(bucket: &str, missing: Option<&str>, source: object_store::Error) -> Self {
        use object_store::Error as Of;
        let text = chain(&source);
        let says = |code: &str| text.contains(code);
        // Without credentials the machine is asked for them. A role of the machine is as good as they are.
        let asks_machine = ["/latest/api/token", "/latest/meta-data", "/computeMetadata", "/metadata/identity"];
        let asks_machine = asks_machine.iter().any(|path| says(path));
        let missing = missing.filter(|_| asks_machine);
        let lacks = missing.map(|names| format!("; no credentials in the environment, set {names}"));
        let lacks = lacks.unwrap_or_default();
        let error = |kind, why: &str| Error::new(kind, format!("{why}: bucket={bucket}"));
        // A missing bucket looks like a missing object, and must never count as one.
        if ["NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"].iter().any(|code| says(code)) {
            return Self::Lasting(error(ErrorKind::NotFound, "there is no such bucket").with_source(source));
        }
        if says("RequestTimeTooSkewed") || says("RequestExpired") {
            let why = "the clock of this machine differs from that of the bucket; set it";
            return Self::Lasting(error(ErrorKind::Forbidden, why).with_source(source));
        }
        // S3 answers these with 400, as any broken request.
        if ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"].iter().any(|code| says(code)) {
            let why = "the credentials of the bucket have expired; renew them";
            return Self::Lasting(error(ErrorKind::Forbidden, why).with_source(source));
        }
        match source {
            Of::AlreadyExists { .. } | Of::Precondition { .. } => Self::Exists,
            Of::NotFound { .. } => Self::Absent,
            Of::PermissionDenied { .. } | Of::Unauthenticated { .. } => {
                let why = format!("the bucket refuses these credentials{lacks}");
                Self::Lasting(error(ErrorKind::Forbidden, &why).with_source(source))
            }
            Of::NotSupported { .. } | Of::NotImplemented { .. } => {
                let why = "the bucket cannot do that";
                Self::Lasting(error(ErrorKind::Invalid, why).with_source(source))
            }
            Of::InvalidPath { .. } | Of::UnknownConfigurationKey { .. } => {
                Self::Lasting(error(ErrorKind::Invalid, "the settings of the bucket are wrong").with_source(source))
            }
            source => {
                let why = format!("the bucket does not answer: {}{lacks}", shortened(&innermost(&source)));
                Self::Passing(error(ErrorKind::Io, &why).with_source(source))
            }
        }
    }

    /// The failure of a request that got no answer in time.
    pub(super) fn late(bucket: &str) -> Self {
        Self::Passing(Error::new(ErrorKind::Io, format!("the bucket does not answer in time: bucket={bucket}")))
    }

    /// The error, for a request that neither depends on a name nor creates one.
    pub(super) fn into_error(self, bucket: &str) -> Error {
        match self {
            Self::Passing(error) | Self::Lasting(error) => error,
            Self::Exists | Self::Absent => {
                Error::new(ErrorKind::Io, format!("the bucket answers something else than was asked: bucket={bucket}"))
            }
        }
    }
}

/// The error that lasts; none if another try may help.
pub(super) fn lasting(failure: Failure, bucket: &str) -> Result<Error> {
    match failure {
        Failure::Passing(error) => Ok(error),
        other => Err(other.into_error(bucket)),
    }
}

/// The messages of an error and of its causes.
fn chain(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The cause of all others, as a person needs it: those around it repeat it with the address of the request.
fn innermost(error: &object_store::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let cause = without_body(&causes.last().map_or_else(|| error.to_string(), ToString::to_string));
    match cause.contains("InvalidContentType") {
        true => format!("{cause}; it may be a server without TLS, whose endpoint is http://"),
        false => cause,
    }
}

/// The text without the body of an answer, which may name tokens and objects, but with the code in it.
fn without_body(text: &str) -> String {
    let Some((before, body)) = text.find(['<', '{']).map(|at| text.split_at(at)) else { return text.to_owned() };
    let before = before.trim_end_matches([':', ' ']);
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    match code.filter(|code| code.len() <= 64 && code.chars().all(|one| one.is_ascii_alphanumeric())) {
        Some(code) => format!("{before}: {code}"),
        None => before.to_owned(),
    }
}

/// The beginning of a text that a service may have written, in one line.
fn shortened(text: &str) -> String {
    let line = text.chars().map(|one| if one.is_control() { ' ' } else { one });
    line.take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn a_missing_bucket_is_never_a_missing_object() {
        let absent = |text: &str| {
            Failure::of(
                "s3://b",
                None,
                object_store::Error::NotFound { path: "x".into(), source: text.to_owned().into() },
            )
        };
        assert!(matches!(absent("404: NoSuchKey"), Failure::Absent));
        for text in ["404: <Code>NoSuchBucket</Code>", "ContainerNotFound"] {
            assert!(matches!(absent(text), Failure::Lasting(error) if error.kind() == ErrorKind::NotFound), "{text}");
        }
    }

    #[test]
    fn a_wrong_clock_is_said_as_that_and_an_overload_passes() {
        let late = object_store::Error::PermissionDenied { path: "x".into(), source: "RequestTimeTooSkewed".into() };
        let Failure::Lasting(error) = Failure::of("s3://b", None, late) else { panic!() };
        assert!(error.to_string().contains("clock") && error.to_string().ends_with("bucket=s3://b"), "{error}");
        let Failure::Passing(error) = Failure::of("s3://b", None, generic("503\nSlowDown")) else { panic!() };
        assert!(error.to_string().contains("503 SlowDown"), "{error}");
        let error = Failure::Absent.into_error("s3://b");
        assert_eq!(error.kind(), ErrorKind::Io);
    }

    #[test]
    fn credentials_that_have_expired_are_refused_ones_and_are_read_again() {
        for code in ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"] {
            let body =
                format!("status code: 400 Bad Request: <Error><Code>{code}</Code><Token-0>secret</Token-0></Error>");
            let Failure::Lasting(error) = Failure::of("s3://b", None, generic(&body)) else { panic!("{code}") };
            assert_eq!(error.kind(), ErrorKind::Forbidden);
            assert_eq!(error.to_string(), "the credentials of the bucket have expired; renew them: bucket=s3://b");
        }
    }

    #[test]
    fn a_bucket_that_does_not_answer_is_said_with_the_innermost_cause_alone_and_the_credentials_that_are_missing() {
        let source = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "refused");
        let source =
            Error::new(ErrorKind::Io, "PUT http://m/latest/api/token: HTTP error: refused").with_source(source);
        let source = object_store::Error::Generic { store: "S3", source: Box::new(source) };
        let Failure::Passing(error) = Failure::of("s3://b", Some("A and B"), source) else { panic!() };
        let said = "the bucket does not answer: refused; no credentials in the environment, set A and B: bucket=s3://b";
        assert_eq!(error.to_string(), said);
        // The machine had a role, and the bucket itself does not answer.
        let Failure::Passing(error) = Failure::of("s3://b", Some("A and B"), generic("refused")) else { panic!() };
        assert_eq!(error.to_string(), "the bucket does not answer: refused: bucket=s3://b");
        let body = "status code: 400 Bad Request: <Error><Code>RequestTimeout</Code><Token-0>secret</Token-0></Error>";
        let Failure::Passing(error) = Failure::of("s3://b", None, generic(body)) else { panic!() };
        let said = "the bucket does not answer: status code: 400 Bad Request: RequestTimeout: bucket=s3://b";
        assert_eq!(error.to_string(), said);
        let Failure::Passing(error) = Failure::of("s3://b", None, generic("message of type InvalidContentType")) else {
            panic!()
        };
        assert!(error.to_string().contains("without TLS"), "{error}");
    }
}
