//! How the service is reached: over TLS, and by a Unix socket; and that it tells no credentials.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

use crate::service::{Service, secret};
use crate::util::Hive;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const CONFIG: &str = "GET /api/config HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// Asks over a stream, and gives the whole answer.
fn ask(mut stream: impl Read + Write, request: &str) -> std::io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        // The other side need not say that it ends.
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(answer),
    }
}

/// Asks over TLS, trusting one certificate only.
fn ask_tls(service: &Service, trusted: &str, request: &str) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture(trusted)).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let session = rustls::ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    ask(rustls::StreamOwned::new(session, service.connect()), request)
}

/// A copy of a certificate and its key.
fn install(hive: &Hive, name: &str) -> [PathBuf; 2] {
    let text = |kind: &str| fs::read_to_string(fixture(&format!("{name}.{kind}.pem"))).unwrap();
    [secret(hive, "cert.pem", &text("cert")), secret(hive, "key.pem", &text("key"))]
}

#[test]
fn the_service_speaks_tls_and_a_hang_up_reads_its_certificate_again() {
    let hive = Hive::new();
    let [cert, key] = install(&hive, "one");
    let arguments = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let public = ["--listen", "0.0.0.0:0"];
    let service = Service::with(&hive, &[&arguments[..], &public].concat(), &[("HIVEKEEP_TOKEN", TOKEN)]);
    let request = format!("{CONFIG}Authorization: Bearer {TOKEN}\r\n\r\n");
    let answer = ask_tls(&service, "one.cert.pem", &request).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(ask_tls(&service, "other.cert.pem", &request).is_err(), "a certificate that nobody trusts");
    let clear = ask(service.connect(), &request).unwrap_or_default();
    assert!(!clear.contains("HTTP/1.1 200"), "{clear}");

    install(&hive, "other");
    service.send("-HUP");
    service.until("the new certificate is used", |service| ask_tls(service, "other.cert.pem", &request).is_ok());
    fs::write(&cert, "no certificate").unwrap();
    service.send("-HUP");
    fs::write(&cert, fs::read_to_string(fixture("one.cert.pem")).unwrap()).unwrap();
    service.send("-HUP");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let answer = ask_tls(&service, "other.cert.pem", &request).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (code, said) = service.stop("-TERM");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("cannot reload the settings; the current ones stay in use"), "{said}");
    assert!(!said.contains(TOKEN), "{said}");
}

#[test]
fn keys_in_clear_for_other_machines_and_unfit_certificates_are_refused_at_the_start() {
    let hive = Hive::new();
    let token = secret(&hive, "token", TOKEN);
    let said = hive.refused(&["serve", "--listen", "0.0.0.0:0", "--token-file", token.to_str().unwrap()], 2);
    assert!(said.contains("--tls-cert") && said.contains("--insecure-no-tls"), "{said}");
    let [cert, key] = install(&hive, "one");
    let [cert, key] = [cert.to_str().unwrap(), key.to_str().unwrap()];
    let said = hive.refused(&["serve", "--tls-cert", cert], 2);
    assert!(said.contains("belong together"), "{said}");
    let said = hive.refused(&["serve", "--tls-cert", key, "--tls-key", key], 2);
    assert!(said.contains("no certificate"), "{said}");
    let said = hive.refused(&["serve", "--tls-cert", cert, "--tls-key", cert], 2);
    assert!(said.contains("no private key"), "{said}");
    let other = fixture("other.cert.pem");
    let said = hive.refused(&["serve", "--tls-cert", other.to_str().unwrap(), "--tls-key", key], 2);
    assert!(said.contains("cannot be used"), "{said}");
}

#[test]
fn a_unix_socket_is_for_its_owner_alone_and_the_user_of_a_client_is_known() {
    let hive = Hive::new();
    let path = hive.path().with_file_name("hive.sock");
    // A process that was killed left it behind.
    drop(UnixListener::bind(&path).unwrap());
    let listen = format!("unix:{}", path.display());
    let arguments = ["--listen", &listen];
    let service = Service::with(&hive, &arguments, &[("HIVEKEEP_LOG", "info"), ("HIVEKEEP_TOKEN", TOKEN)]);
    let metadata = fs::metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let asks = |request: &str| ask(UnixStream::connect(&path).unwrap(), request).unwrap();
    assert!(asks(&format!("{CONFIG}\r\n")).starts_with("HTTP/1.1 401"));
    let answer = asks(&format!("{CONFIG}Authorization: Bearer {TOKEN}\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // A bot that waits, and ends its half.
    let claim = format!(
        "POST /api/queue/claim HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Length: 27\r\n\r\n{{\"bot\":\"A\",\"wait_ms\":60000}}"
    );
    let mut waiting = UnixStream::connect(&path).unwrap();
    waiting.write_all(claim.as_bytes()).unwrap();
    waiting.shutdown(std::net::Shutdown::Write).unwrap();
    let push = "POST /api/queue HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 13\r\n";
    let pushed = asks(&format!("{push}Authorization: Bearer {TOKEN}\r\n\r\n{{\"payload\":1}}"));
    assert!(pushed.starts_with("HTTP/1.1 200"), "{pushed}");
    let mut claimed = String::new();
    waiting.read_to_string(&mut claimed).unwrap();
    assert!(claimed.contains("task-"), "{claimed}");

    let said = hive.refused(&["serve", "--listen", &listen], 1);
    assert!(said.contains("another process listens there"), "{said}");
    let user = metadata_uid(&path);
    let (code, log) = service.stop("-TERM");
    assert_eq!(code, Some(0), "{log}");
    assert!(!path.exists(), "the name of the socket goes with the service");
    let line = log.lines().find(|line| line.contains("/api/config") && line.contains("status=200")).unwrap();
    for part in [format!("uid {user}"), "key=\"token\"".to_owned(), "bytes=".to_owned(), "id=".to_owned()] {
        assert!(line.contains(&part), "{part} is not in {line}");
    }
    assert!(!log.contains(TOKEN), "{log}");

    fs::write(&path, "a file").unwrap();
    let said = hive.refused(&["serve", "--listen", &listen], 1);
    assert!(said.contains("something else than a socket"), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
}

fn metadata_uid(path: &Path) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap())
}

#[test]
fn children_get_no_credentials_and_a_url_shows_none() {
    let hive = Hive::new();
    let seen = hive.path().with_file_name("seen");
    let command = format!("env > {}", seen.display());
    let variables = [("HIVEKEEP_TOKEN", TOKEN), ("HIVEKEEP_KEY", "hk_a_secret"), ("HIVEKEEP_LOG", "warn")];
    let failing = ["--min-free", "9999999GiB", "--backup-interval", "1s", "--on-failure", &command];
    let failing = [&failing[..], &["--failure-url", "http://me:secret-word@127.0.0.1:9/x?k=secret-word"]].concat();
    let service = Service::with(&hive, &failing, &variables);
    service.until("the command has run", |_| fs::read_to_string(&seen).is_ok_and(|text| text.contains("FAILED_STORE")));
    let (_, log) = service.stop("-TERM");
    let text = fs::read_to_string(&seen).unwrap();
    assert!(text.contains("HIVEKEEP_LOG=warn"), "{text}");
    assert!(![TOKEN, "hk_a_secret", "secret-word"].iter().any(|secret| text.contains(secret)), "{text}");
    assert!(!log.contains("secret-word"), "{log}");

    let mut guard = hive.command(&["guard", "--", "sh", "-c", &command]);
    guard.envs(variables);
    assert!(guard.output().unwrap().status.success());
    let text = fs::read_to_string(&seen).unwrap();
    assert!(text.contains("HIVEKEEP_GUARD_POINT") && !text.contains(TOKEN) && !text.contains("hk_a_secret"), "{text}");
    let url = ["serve", "--print-config", "--failure-url", "http://me:secret-word@127.0.0.1:9/x?k=secret-word"];
    let printed = hive.ok(&url);
    assert!(printed.contains("http://***@127.0.0.1:9/x?k=***") && !printed.contains("secret-word"), "{printed}");
}
