//! A client for the service, over a plain socket, so that a test also sends what no client library would.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::described;
use crate::util::Hive;

/// Long enough for a slow machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The service, running on a store.
pub struct Service {
    child: Child,
    address: String,
    token: Option<String>,
    /// Which of the answers that are declared it has given.
    seen: Mutex<BTreeSet<String>>,
}

/// A file beside the store that only its owner can read.
pub fn secret(hive: &Hive, name: &str, text: &str) -> std::path::PathBuf {
    let file = hive.path().with_file_name(name);
    std::fs::write(&file, text).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    file
}

/// An answer of the service.
#[derive(Debug)]
pub struct Answer {
    pub asked: String,
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Service {
    /// Starts it on a free port.
    pub fn start(hive: &Hive, arguments: &[&str]) -> Self {
        Self::with(hive, arguments, &[])
    }

    /// The same with variables in its environment.
    pub fn with(hive: &Hive, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let own = ["serve", "--json"];
        let listen = ["--listen", "127.0.0.1:0"];
        let listen = if arguments.contains(&"--listen") { &[][..] } else { &listen[..] };
        let mut command = hive.command(&[&own[..], listen, arguments].concat());
        command.envs(variables.iter().copied());
        Self::running(command)
    }

    /// The same with a limit of file descriptors.
    pub fn with_descriptors(hive: &Hive, descriptors: u32) -> Self {
        Self::within(hive, &format!("ulimit -n {descriptors}"), &[])
    }

    /// The same with a limit that the shell sets.
    pub fn within(hive: &Hive, limit: &str, arguments: &[&str]) -> Self {
        let serve = hive.command(&[&["serve", "--json", "--listen", "127.0.0.1:0"], arguments].concat());
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limit}; exec \"$0\" \"$@\"")]);
        command.arg(serve.get_program()).args(serve.get_args()).stdin(Stdio::null());
        for (name, value) in serve.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Self::running(command)
    }

    fn running(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        let Ok(said) = serde_json::from_str::<Value>(&line) else {
            let output = child.wait_with_output().unwrap();
            panic!("the service did not start: {}", String::from_utf8_lossy(&output.stderr));
        };
        let address =
            said["listening"].as_str().unwrap().trim_start_matches("http://").trim_start_matches("https://").to_owned();
        Self { child, address, token: None, seen: Mutex::default() }
    }

    /// The most memory that its process has had, in bytes.
    #[cfg(target_os = "linux")]
    pub fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    /// Shows this token from now on.
    pub fn showing(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", "")
    }

    pub fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.ask("POST", path, "Content-Type: application/json\r\n", &body.to_string())
    }

    pub fn put(&self, path: &str, body: impl ToString) -> Answer {
        self.ask("PUT", path, "", &body.to_string())
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, "", "")
    }

    /// A request with these headers.
    pub fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}{headers}{length}\r\n");
        let answer = self.exchange(&[head.as_bytes(), body.as_bytes()].concat());
        self.hold(method, path, body, &answer);
        answer
    }

    /// Asks without holding the answer against what is declared.
    pub fn unheld(&self, path: &str) -> Answer {
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
    }

    /// The status of what a service answers that may end meanwhile.
    pub fn status_if_any(&self, path: &str) -> Option<u16> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.split(' ').nth(1)?.parse().ok()
    }

    /// Waits until it has ended by itself, and gives the exit code and what it said.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        let code = self.wait();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (code, said)
    }

    fn wait(&mut self) -> Option<i32> {
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "the service did not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.wait().unwrap().code()
    }

    /// These very bytes.
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        let answer = self.exchange(bytes);
        let mut words = answer.asked.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        self.hold(method, path, "", &answer);
        answer
    }

    /// These very bytes, for an answer that is not made by a route.
    pub fn bare(&self, bytes: &[u8]) -> Answer {
        self.exchange(bytes)
    }

    /// Which of the answers that are declared it has given.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().cloned().collect()
    }

    /// Holds an answer against what is declared.
    fn hold(&self, method: &str, target: &str, body: &str, answer: &Answer) {
        self.seen.lock().unwrap().insert(described::hold(method, target, body, answer));
    }

    fn exchange(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let asked = String::from_utf8_lossy(&bytes[..bytes.len().min(500)]).into_owned();
        let status = status.unwrap_or_else(|| panic!("{asked}\nwas answered with no HTTP: {text:?}"));
        Answer { asked, status, head: head.to_owned(), body: body.to_owned() }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Waits until something is so.
    pub fn until(&self, what: &str, mut so: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !so(self) {
            assert!(begun.elapsed() < PATIENCE, "it never came that {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal, waits for the end, and gives the exit code and what it said.
    pub fn stop(self, signal: &str) -> (Option<i32>, String) {
        self.send(signal);
        self.ended()
    }

    /// Sends a signal without a program that would have to begin first.
    #[cfg(unix)]
    pub fn send_at_once(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Sends a signal.
    pub fn send(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // One that was stopped is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    /// Its JSON, when the status is this one.
    pub fn with(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        hivekeep::json::parse(self.body.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }

    /// Its JSON, when it went well.
    pub fn ok(&self) -> Value {
        self.with(200)
    }

    /// The problem document of an answer with this status.
    pub fn refused(&self, status: u16) -> String {
        let problem = self.with(status);
        assert!(self.head.to_lowercase().contains("content-type: application/problem+json"), "{self}");
        assert_eq!(problem["success"], false, "{self}");
        assert_eq!(problem["status"], status, "{self}");
        problem["detail"].as_str().unwrap().to_owned()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "asked:\n{}\nanswered:\n{}\n\n{}", self.asked, self.head, self.body)
    }
}
