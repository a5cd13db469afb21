//! The location of a replica, as a person writes it: a directory, or a bucket with a prefix and options.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The greatest length of a location.
const LENGTH_MAX: usize = 4 << 10;
/// The greatest length of a bucket's name, and of a prefix; the names of objects stand behind it.
const BUCKET_MAX: usize = 222;
const PREFIX_MAX: usize = 512;
/// Characters of a prefix beside letters and digits, which no service and no file system treats in a special way.
const PREFIX_MARKS: &str = "-_.=+@~";

/// The location of a replica: a path, `file:///path`, `s3://bucket/prefix`, `gs://bucket/prefix` or
/// `az://container/prefix`. It has no secrets; credentials come from the environment.
///
/// # Examples
///
/// ```
/// use hivekeep::ReplicaLocation;
///
/// let at: ReplicaLocation = "s3://backups/hive?region=eu-west-1".parse()?;
/// assert_eq!(at.to_string(), "s3://backups/hive?region=eu-west-1");
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaLocation(pub(crate) Location);

impl ReplicaLocation {
    /// The location as a store keeps it: a path from the root on.
    ///
    /// # Errors
    ///
    /// `Io` where the current folder is gone.
    pub(crate) fn kept(&self) -> Result<String> {
        match &self.0 {
            Location::Directory(path) => Ok(std::path::absolute(path)?.display().to_string()),
            Location::Bucket(_) => Ok(self.to_string()),
        }
    }

    /// Whether a store kept this place, if by other options or none.
    ///
    /// # Errors
    ///
    /// `Io` where the current folder is gone.
    pub(crate) fn was_kept_as(&self, kept: &str) -> Result<bool> {
        Ok(match (&self.0, kept.parse::<Location>()) {
            (Location::Bucket(now), Ok(Location::Bucket(then))) => {
                (now.service, &now.bucket, &now.prefix) == (then.service, &then.bucket, &then.prefix)
            }
            _ => self.kept()? == kept,
        })
    }
}

impl FromStr for ReplicaLocation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse().map(Self)
    }
}

impl fmt::Display for ReplicaLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The forms of locations that are no plain path.
const SCHEMES: [&str; 4] = ["s3://BUCKET/PREFIX", "gs://BUCKET/PREFIX", "az://CONTAINER/PREFIX", "file:///PATH"];

/// The location of a replica. It has no secrets: credentials come from the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A folder, also on a mounted file system.
    Directory(PathBuf),
    Bucket(BucketLocation),
}

/// A bucket of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketLocation {
    pub(crate) service: BucketService,
    pub(crate) bucket: String,
    /// The folder of the replica in the bucket; it may be empty.
    pub(crate) prefix: String,
    pub(crate) options: BucketOptions,
}

/// The protocol of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BucketService {
    /// Amazon S3, and everything that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// The options of a bucket. Those that are not given come from the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BucketOptions {
    /// The address of the service, if it is not the usual one.
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    /// The name of the storage account, for Azure.
    pub(crate) account: Option<String>,
    /// Whether the bucket is part of the path, or of the name of the host.
    pub(crate) path_style: Option<bool>,
    /// Whether the service may be asked without TLS. A service on this machine may be.
    pub(crate) allow_http: Option<bool>,
}

impl FromStr for Location {
    type Err = Error;

    /// Reads a location: a path, `file:///path`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`,
    /// the last three with options such as `?endpoint=http://127.0.0.1:9000&region=eu-west-1`.
    ///
    /// # Errors
    ///
    /// `Invalid`, naming the fault.
    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > LENGTH_MAX || text.contains('\0') {
            return Err(Error::invalid("the location of a replica is a path, or like s3://bucket/prefix"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            // A slash too few would make a folder of that name.
            let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase()).unwrap_or_default();
            let right = SCHEMES.iter().find(|right| right.split_once(':').is_some_and(|(of, _)| of == scheme));
            return match right {
                Some(right) => {
                    Err(Error::invalid(format!("two slashes follow the colon of a location: write {right}")))
                }
                None => Ok(Self::Directory(PathBuf::from(text))),
            };
        };
        let service = match scheme {
            "file" => return of_file_url(rest, text),
            "s3" => BucketService::S3,
            "gs" => BucketService::Google,
            "az" => BucketService::Azure,
            _ => {
                let shown = scheme.escape_debug();
                return Err(Error::invalid(format!(
                    "the location of a replica is a path, or begins with s3://, gs://, az:// or file://: scheme={shown}"
                )));
            }
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        if bucket.contains('@') || bucket.contains(':') {
            let why = "the location of a replica has no credentials and no port; give them in the environment, or as an endpoint";
            return Err(Error::invalid(why));
        }
        let is_name =
            |text: &str, marks: &str| text.chars().all(|one| one.is_ascii_alphanumeric() || marks.contains(one));
        if bucket.is_empty() || bucket.len() > BUCKET_MAX || !is_name(bucket, "-_.") {
            return Err(Error::invalid(format!("the bucket has no valid name: bucket={}", bucket.escape_debug())));
        }
        let prefix = prefix.trim_matches('/');
        let is_prefix = |part: &str| !["", ".", ".."].contains(&part) && is_name(part, PREFIX_MARKS);
        if prefix.len() > PREFIX_MAX || !(prefix.is_empty() || prefix.split('/').all(is_prefix)) {
            return Err(Error::invalid(format!(
                "a prefix has letters, digits and {PREFIX_MARKS} between slashes: prefix={}",
                prefix.escape_debug()
            )));
        }
        let options = BucketOptions::parse(service, query)?;
        Ok(Self::Bucket(BucketLocation { service, bucket: bucket.to_owned(), prefix: prefix.to_owned(), options }))
    }
}

/// The path of `file:///path`.
fn of_file_url(rest: &str, text: &str) -> Result<Location> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') || path.contains(['?', '#']) {
        let shown = text.escape_debug();
        return Err(Error::invalid(format!("the location of a folder is like file:///path: location={shown}")));
    }
    Ok(Location::Directory(PathBuf::from(decoded(path)?)))
}

impl BucketOptions {
    fn parse(service: BucketService, query: &str) -> Result<Self> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value)?;
            let is_new = match (name, service) {
                ("endpoint", _) => options.endpoint.replace(endpoint(value)?).is_none(),
                ("allow-http", _) => options.allow_http.replace(flag(name, &value)?).is_none(),
                ("region", BucketService::S3) => options.region.replace(value).is_none(),
                ("path-style", BucketService::S3) => options.path_style.replace(flag(name, &value)?).is_none(),
                ("account", BucketService::Azure) => options.account.replace(value).is_none(),
                _ => {
                    let shown = name.escape_debug();
                    return Err(Error::invalid(format!(
                        "the location of a replica has no such option: option={shown}"
                    )));
                }
            };
            if !is_new {
                return Err(Error::invalid(format!("the location of a replica has an option twice: option={name}")));
            }
        }
        Ok(options)
    }
}

fn endpoint(text: String) -> Result<String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if rest.is_none_or(|host| host.is_empty() || host.contains(['@', '?', '#', ' '])) {
        let shown = text.escape_debug();
        return Err(Error::invalid(format!("an endpoint is like https://host:port: endpoint={shown}")));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn flag(name: &str, value: &str) -> Result<bool> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => {
            let shown = value.escape_debug();
            Err(Error::invalid(format!("an option of a location is true or false: option={name} value={shown}")))
        }
    }
}

/// A text of a URL, in which `%2F` stands for a slash.
fn decoded(text: &str) -> Result<String> {
    let wrong = || {
        Error::invalid(format!(
            "a percent sign in a location begins two hexadecimal digits: text={}",
            text.escape_debug()
        ))
    };
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or_else(wrong)?;
        bytes.extend(crate::engine::digest::from_hex(digits).ok_or_else(wrong)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    let decoded = String::from_utf8(bytes).map_err(|_| wrong())?;
    if decoded.contains('\0') { Err(wrong()) } else { Ok(decoded) }
}

/// The characters of a URL that stand for themselves in the value of an option, and mean nothing to a shell in quotes.
const VALUE_MARKS: &str = "-._~:/[]@,";

impl BucketOptions {
    /// The options that are given, as they are written.
    fn written(&self) -> impl Iterator<Item = String> {
        let text =
            |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name}={}", encoded(value)));
        let flag = |name: &str, value: Option<bool>| value.map(|value| format!("{name}={value}"));
        let written = [
            text("endpoint", &self.endpoint),
            text("region", &self.region),
            text("account", &self.account),
            flag("path-style", self.path_style),
            flag("allow-http", self.allow_http),
        ];
        written.into_iter().flatten()
    }
}

/// The opposite of [`decoded`].
fn encoded(value: &str) -> String {
    let one = |byte: u8| match byte.is_ascii_alphanumeric() || VALUE_MARKS.contains(char::from(byte)) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    value.bytes().map(one).collect()
}

/// As a person would write it.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Bucket(of) => {
                let scheme = match of.service {
                    BucketService::S3 => "s3",
                    BucketService::Google => "gs",
                    BucketService::Azure => "az",
                };
                let slash = if of.prefix.is_empty() { "" } else { "/" };
                write!(f, "{scheme}://{}{slash}{}", of.bucket, of.prefix)?;
                let mut marks = std::iter::once('?').chain(std::iter::repeat('&'));
                of.options.written().zip(&mut marks).try_for_each(|(option, mark)| write!(f, "{mark}{option}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(text: &str) -> BucketLocation {
        match text.parse().unwrap() {
            Location::Bucket(bucket) => bucket,
            Location::Directory(path) => panic!("{}", path.display()),
        }
    }

    #[test]
    fn a_bucket_is_read_with_its_prefix_and_options() {
        let of = bucket(
            "s3://my.bucket/a/b-c/?endpoint=http%3A%2F%2F127.0.0.1:9000/&region=eu-west-1&path-style=false&allow-http",
        );
        assert_eq!((of.service, of.bucket.as_str(), of.prefix.as_str()), (BucketService::S3, "my.bucket", "a/b-c"));
        let options = BucketOptions {
            endpoint: Some("http://127.0.0.1:9000".into()),
            region: Some("eu-west-1".into()),
            account: None,
            path_style: Some(false),
            allow_http: Some(true),
        };
        assert_eq!(of.options, options);
        assert_eq!(bucket("az://c?account=a").options.account.as_deref(), Some("a"));
        assert_eq!((bucket("gs://b").service, bucket("gs://b/").prefix.as_str()), (BucketService::Google, ""));
    }

    #[test]
    fn a_location_is_shown_as_it_is_written_and_read_again_as_the_same() {
        for text in [
            "s3://b/p/q",
            "gs://b",
            "az://c/p?account=a",
            "/srv/replica",
            "relative",
            "s3://b/p?endpoint=http://[::1]:9000&region=eu-west-1&path-style=true&allow-http=false",
            "s3://b?region=a%26b%20%C3%A9%27",
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), text);
            assert_eq!(location.to_string().parse::<Location>().unwrap(), location);
        }
    }

    #[test]
    fn a_place_is_known_again_by_other_options() {
        let at: ReplicaLocation = "s3://b/p?endpoint=https://other:9000".parse().unwrap();
        for (kept, is_same) in
            [("s3://b/p", true), ("s3://b/p?region=r", true), ("s3://b/q", false), ("gs://b/p", false)]
        {
            assert_eq!(at.was_kept_as(kept).unwrap(), is_same, "{kept}");
        }
        let at: ReplicaLocation = "relative".parse().unwrap();
        assert!(at.was_kept_as(&at.kept().unwrap()).unwrap() && !at.was_kept_as("s3://b/p").unwrap());
    }

    #[test]
    fn a_folder_is_a_path_or_a_url() {
        for (text, path) in [("/a b?c", "/a b?c"), ("file:///a%20b", "/a b"), ("file://localhost/x", "/x"), ("x", "x")]
        {
            assert_eq!(text.parse::<Location>().unwrap(), Location::Directory(PathBuf::from(path)), "{text}");
        }
    }

    #[test]
    fn a_location_of_a_bucket_with_one_slash_makes_no_folder() {
        for (text, right) in [("s3:/b/p", "s3://"), ("GS:b", "gs://"), ("file:/tmp/x", "file:///")] {
            let refused = text.parse::<Location>().unwrap_err().to_string();
            assert!(refused.contains(&format!("write {right}")), "{refused}");
        }
        assert!(matches!("C:/replica".parse::<Location>(), Ok(Location::Directory(_))));
    }

    #[test]
    fn other_texts_are_refused_and_no_secret_is_repeated() {
        for text in [
            "",
            "http://b/p",
            "s3://",
            "s3:///p",
            "s3://b/../x",
            "s3://b/a//b",
            "s3://b/a b",
            "s3://b?x=1",
            "s3://b?region=a&region=b",
            "s3://b?endpoint=127.0.0.1",
            "s3://b?endpoint=http://k:s@h",
            "s3://b?path-style=maybe",
            "s3://b?region=%zz",
            "s3://b?region=%e",
            "s3://b?region=%e4",
            "gs://b?region=r",
            "az://b?path-style=true",
            "file://host/x",
            "file:///x?y",
            "a\0b",
            "s3://b:80/p",
            "s3://b?region=%00",
        ] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
        assert!("s3://key:secret@b/p".parse::<Location>().is_err_and(|error| !error.to_string().contains("secret")));
        assert!(format!("s3://b/{}", "a".repeat(PREFIX_MAX + 1)).parse::<Location>().is_err());
        assert!("x".repeat(LENGTH_MAX + 1).parse::<Location>().is_err());
    }
}
