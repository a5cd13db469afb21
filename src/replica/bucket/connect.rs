//! The connection to a service: its address and credentials from the location and the
//! environment, and the client for HTTP.
//!
//! The client has the TLS of this crate, and waits and tries again nowhere:
//! [`Bucket`](super::calls::Bucket) does both, with limits.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{ClientConfigKey, HttpClient, HttpConnector};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::cloud::Cloud;
use super::profile::with_profile;
use super::variables::{Variable, of, settings};
use crate::error::{Error, Result};
use crate::replica::bucket::location::{BucketLocation, BucketService};

/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is not used again: services close theirs after a minute and more.
const IDLE: Duration = Duration::from_secs(45);

/// A bucket of a service. No request is made yet.
pub(super) fn connect(location: &BucketLocation, shown: String, environment: &[Variable]) -> Result<Cloud> {
    let whole = with_settings_of_files(location.service, environment)?;
    let (endpoint, prefix) = endpoint(location, &whole);
    let allows_http = allows_http(location, endpoint);
    let allowed_there = of(&whole, &[format!("{prefix}_ALLOW_HTTP").as_str()]);
    if allows_http != Some(true)
        && (allows_http == Some(false) || allowed_there.is_none())
        && let Some(endpoint) = endpoint.filter(|endpoint| endpoint.starts_with("http://"))
    {
        return Err(Error::invalid(format!(
            "a remote bucket requires TLS; use https, or add allow-http to the location: endpoint={} bucket={shown}",
            endpoint.escape_debug()
        )));
    }
    let first = connection(location, &whole).map_err(|source| {
        Error::invalid(format!("the settings of the bucket are wrong: {source}: bucket={shown}")).with_source(source)
    })?;
    let (again, environment) = (location.clone(), environment.to_vec());
    let connect = Box::new(move || {
        let whole = with_settings_of_files(again.service, &environment)
            .map_err(|error| object_store::Error::Generic { store: "S3", source: error.into() })?;
        connection(&again, &whole)
    });
    let cloud = Cloud::new(first, connect, Path::from(location.prefix.as_str()), shown);
    Ok(cloud.lacking(missing_credentials(location.service, &whole)))
}

/// The environment, and behind it the chosen profile of the files of Amazon's programs, for S3.
fn with_settings_of_files(service: BucketService, environment: &[Variable]) -> Result<Vec<Variable>> {
    match service {
        BucketService::S3 => with_profile(environment, missing_credentials(service, environment).is_none()),
        BucketService::Google | BucketService::Azure => Ok(environment.to_vec()),
    }
}

/// The names of the usual credentials, if the environment has none of any sort. Then the machine is asked for them.
fn missing_credentials(service: BucketService, environment: &[Variable]) -> Option<&'static str> {
    let (prefix, sorts, names): (_, &[&str], _) = match service {
        BucketService::S3 => (
            "AWS_",
            &["access_key_id", "identity_token", "credentials", "skip_signature"],
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        BucketService::Google => {
            ("GOOGLE_", &["service_account", "credentials", "token", "skip_signature"], "GOOGLE_SERVICE_ACCOUNT")
        }
        BucketService::Azure => (
            "AZURE_",
            &["key", "token", "sas", "client", "cli", "emulator", "skip_signature"],
            "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        ),
    };
    // The name of the file of profiles says nothing of what is in it.
    let is_one = |name: &str| !name.contains("shared_credentials") && sorts.iter().any(|sort| name.contains(sort));
    let has_one = settings(environment, prefix).any(|(name, _)| is_one(&name));
    (!has_one && of(environment, &["SERVICE_ACCOUNT", "IDENTITY_ENDPOINT"]).is_none()).then_some(names)
}

fn connection(location: &BucketLocation, environment: &[Variable]) -> object_store::Result<Arc<dyn ObjectStore>> {
    let (endpoint, _) = endpoint(location, environment);
    let allows_http = allows_http(location, endpoint);
    match location.service {
        BucketService::S3 => s3(location, environment, endpoint, allows_http),
        BucketService::Google => google(location, environment, allows_http),
        BucketService::Azure => azure(location, environment, allows_http),
    }
}

/// The endpoint that is not the usual one of the service, and the prefix of its variables.
fn endpoint<'a>(location: &'a BucketLocation, environment: &'a [Variable]) -> (Option<&'a str>, &'static str) {
    let (variables, prefix): (&[&str], _) = match location.service {
        BucketService::S3 => (&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"], "AWS"),
        BucketService::Google => (&["GOOGLE_BASE_URL"], "GOOGLE"),
        BucketService::Azure => (&["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"], "AZURE"),
    };
    (location.options.endpoint.as_deref().or_else(|| of(environment, variables)), prefix)
}

fn s3(
    location: &BucketLocation,
    environment: &[Variable],
    endpoint: Option<&str>,
    allows_http: Option<bool>,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::new();
    for (key, value) in settings(environment, "AWS_") {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    let options = &location.options;
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_config(object_store::aws::AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    if let Some(allow) = allows_http {
        builder = builder.with_allow_http(allow);
    }
    if let Some(path_style) = options.path_style {
        builder = builder.with_virtual_hosted_style_request(!path_style);
    }
    // The protocol stands on it, whatever the environment says.
    let builder = builder.with_conditional_put(S3ConditionalPut::ETagMatch).with_bucket_name(&location.bucket);
    // Services that only speak the protocol of S3 often lack the request that deletes many objects.
    let builder = builder.with_disable_bulk_delete(true);
    Ok(Arc::new(builder.with_retry(no_retries()).with_http_connector(Connector).build()?))
}

fn google(
    location: &BucketLocation,
    environment: &[Variable],
    allows_http: Option<bool>,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = GoogleCloudStorageBuilder::new();
    if let Some(path) = of(environment, &["SERVICE_ACCOUNT"]) {
        builder = builder.with_service_account_path(path);
    }
    for (key, value) in settings(environment, "GOOGLE_") {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = &location.options.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    if let Some(allow) = allows_http {
        builder = builder.with_config(GoogleConfigKey::Client(ClientConfigKey::AllowHttp), allow.to_string());
    }
    let builder = builder.with_bucket_name(&location.bucket);
    Ok(Arc::new(builder.with_retry(no_retries()).with_http_connector(Connector).build()?))
}

fn azure(
    location: &BucketLocation,
    environment: &[Variable],
    allows_http: Option<bool>,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::new();
    for (key, value) in settings(environment, "AZURE_") {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = of(environment, &["IDENTITY_ENDPOINT"]) {
        builder = builder.with_msi_endpoint(endpoint);
    }
    if let Some(account) = &location.options.account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = &location.options.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    if let Some(allow) = allows_http {
        builder = builder.with_allow_http(allow);
    }
    let builder = builder.with_container_name(&location.bucket);
    Ok(Arc::new(builder.with_retry(no_retries()).with_http_connector(Connector).build()?))
}

/// Whether the location says that HTTP without TLS is allowed. An endpoint on this machine says it too; otherwise the
/// environment decides.
fn allows_http(location: &BucketLocation, endpoint: Option<&str>) -> Option<bool> {
    location.options.allow_http.or_else(|| endpoint.is_some_and(is_local).then_some(true))
}

fn is_local(endpoint: &str) -> bool {
    let Some(rest) = endpoint.strip_prefix("http://") else { return false };
    let host = rest.split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    matches!(name, "localhost" | "[::1]")
        || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// One try only.
fn no_retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: CONNECT }
}

/// Makes the client for HTTP.
#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let refused =
            |source: Box<dyn std::error::Error + Send + Sync>| object_store::Error::Generic { store: "HTTP", source };
        let allowed = options.get_config_value(&ClientConfigKey::AllowHttp).unwrap_or_default().to_ascii_lowercase();
        let allows_http = match allowed.as_str() {
            "true" | "1" | "yes" | "y" | "on" => true,
            "" | "false" | "0" | "no" | "n" | "off" => false,
            other => {
                return Err(refused(format!("allow_http is true or false: value={}", other.escape_debug()).into()));
            }
        };
        client(allows_http).map(HttpClient::new).map_err(refused)
    }
}

/// A client with the TLS of this crate, for one try of one request.
fn client(allows_http: bool) -> Result<reqwest::Client, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .user_agent(concat!("hivekeep/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .https_only(!allows_http)
        .tls_backend_preconfigured(tls)
        .build()?;
    Ok(client)
}

/// A client for requests of a test.
#[cfg(test)]
pub(super) fn plain_client() -> reqwest::Client {
    client(true).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::bucket::location::Location;

    fn connected(text: &str, environment: &[(&str, &str)]) -> Result<Cloud> {
        let Location::Bucket(location) = text.parse().unwrap() else { panic!() };
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        connect(&location, text.into(), &environment)
    }

    #[test]
    fn a_bucket_is_connected_by_its_location_and_the_environment() {
        let keys = [
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "b"),
            ("AWS_CONDITIONAL_PUT", "disabled"),
            ("AWS_X", ""),
        ];
        let cloud = connected("s3://b/p?endpoint=http://127.0.0.1:9&region=r", &keys).unwrap();
        let store = cloud.store();
        assert!(format!("{store:?}").contains("conditional_put: ETagMatch"), "{store:?}");
        assert_eq!((store.to_string().as_str(), cloud.prefix.as_ref()), ("AmazonS3(b)", "p"));
        for (name, value) in [("AWS_ENDPOINT", "http://localhost:9"), ("AWS_ENDPOINT_URL", "http://[::1]:9")] {
            connected("s3://b", &[keys[0], keys[1], (name, value)]).unwrap();
        }
        let emulator = [("AZURE_STORAGE_USE_EMULATOR", "true")];
        connected("az://c?account=devstoreaccount1", &emulator).unwrap();
        connected("gs://b", &[("GOOGLE_BEARER_TOKEN", "t"), ("GOOGLE_SKIP_SIGNATURE", "true")]).unwrap();
    }

    #[test]
    fn wrong_settings_are_refused_with_the_location() {
        let error = connected("az://c", &[]).unwrap_err();
        assert!(error.to_string().ends_with("bucket=az://c"), "{error}");
        let error = connected("s3://b", &[("AWS_ALLOW_HTTP", "perhaps")]).unwrap_err();
        assert!(error.to_string().contains("perhaps"), "{error}");
        let plain = "http://10.0.0.1:9";
        let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        let by_option = format!("s3://b?endpoint={plain}");
        for (text, environment) in [
            (by_option.as_str(), &keys[..]),
            ("s3://b", &[keys[0], keys[1], ("AWS_ENDPOINT_URL", plain)]),
            ("s3://b?allow-http=false", &[keys[0], keys[1], ("AWS_ENDPOINT_URL", plain), ("AWS_ALLOW_HTTP", "true")]),
            ("gs://b", &[("GOOGLE_BASE_URL", plain)]),
            ("az://b?account=a", &[("AZURE_ENDPOINT", plain)]),
        ] {
            let error = connected(text, environment).unwrap_err();
            assert!(error.to_string().contains("requires TLS") && error.to_string().contains(plain), "{text}: {error}");
        }
        connected(&format!("{by_option}&allow-http"), &keys).unwrap();
        connected(&by_option, &[keys[0], keys[1], ("AWS_ALLOW_HTTP", "true")]).unwrap();
    }

    #[test]
    fn credentials_of_any_sort_are_not_missing_and_other_settings_are_none() {
        let missing = |service, names: &[&str]| {
            let environment: Vec<_> = names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
            missing_credentials(service, &environment).is_some()
        };
        for (service, other, names) in [
            (BucketService::S3, "AWS_REGION", &["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"][..]),
            (BucketService::Google, "GOOGLE_BASE_URL", &["SERVICE_ACCOUNT", "GOOGLE_APPLICATION_CREDENTIALS"]),
            (BucketService::Azure, "AZURE_STORAGE_ACCOUNT_NAME", &["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_CLIENT_ID"]),
        ] {
            assert!(missing(service, &[]) && missing(service, &[other]), "{service:?}");
            assert!(names.iter().all(|name| !missing(service, &[other, name])), "{service:?}");
        }
    }

    #[test]
    fn http_without_tls_is_allowed_on_this_machine_alone() {
        for endpoint in
            ["http://127.0.0.1", "http://127.1.2.3:9/x", "http://localhost:1", "http://[::1]:1", "http://[::1]"]
        {
            assert!(is_local(endpoint), "{endpoint}");
        }
        for endpoint in
            ["https://127.0.0.1", "http://127.0.0.1.example.org", "http://10.0.0.1", "http://localhost.x", "http://"]
        {
            assert!(!is_local(endpoint), "{endpoint}");
        }
    }
}
