//! A client of the Model Context Protocol that sends also what no library would.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::util::Hive;

/// Long enough for a slow machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An agent with a session of its own.
pub struct Agent {
    pub child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    last_id: u64,
}

impl Agent {
    /// A session that acts as a bot.
    pub fn new(hive: &Hive, bot: &str) -> Self {
        Self::with(hive, &["--as", bot])
    }

    /// A session with these options, after the handshake.
    pub fn with(hive: &Hive, options: &[&str]) -> Self {
        let mut agent = Self::silent(hive, options);
        let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
        let answer = agent.ask("initialize", hello);
        assert_eq!(answer["result"]["serverInfo"]["name"], "hivekeep", "{answer}");
        agent.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        agent
    }

    /// A session without a handshake.
    pub fn silent(hive: &Hive, options: &[&str]) -> Self {
        let mut command = hive.command(&[&["mcp", "--quiet"], options].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let (tell, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { input: child.stdin.take(), child, lines, last_id: 0 }
    }

    /// Sends a line.
    pub fn send(&mut self, line: impl AsRef<[u8]>) {
        let input = self.input.as_mut().unwrap();
        input.write_all(line.as_ref()).unwrap();
        input.write_all(b"\n").unwrap();
        input.flush().unwrap();
    }

    /// The next line, which is JSON.
    pub fn next(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("no answer came");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Whether nothing is said for a while.
    pub fn says_nothing(&self) -> bool {
        self.lines.recv_timeout(Duration::from_millis(300)).is_err()
    }

    /// Begins a request, and gives its id.
    pub fn begin(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let mut request = json!({"jsonrpc": "2.0", "id": self.last_id, "method": method});
        // Moved, as `json!` would write its numbers in another way.
        request["params"] = params;
        self.send(request.to_string());
        self.last_id
    }

    /// The answer to a request.
    pub fn answer(&self, id: u64) -> Value {
        let answer = self.next();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params);
        self.answer(id)
    }

    /// Calls a tool; its answer, and whether that is an error.
    pub fn call(&mut self, tool: &str, arguments: Value) -> (Value, bool) {
        let mut params = json!({ "name": tool });
        params["arguments"] = arguments;
        let answer = self.ask("tools/call", params);
        told(&answer)
    }

    /// Calls a tool, which must do it.
    pub fn ok(&mut self, tool: &str, arguments: Value) -> Value {
        let (answer, is_error) = self.call(tool, arguments);
        assert!(!is_error, "{tool}: {answer}");
        answer
    }

    /// Calls a tool, which must refuse it; the refusal has that kind.
    pub fn refused(&mut self, tool: &str, arguments: Value, kind: &str) -> String {
        let (answer, is_error) = self.call(tool, arguments);
        assert!(is_error && answer["kind"] == kind, "{tool}: {answer}");
        assert!(answer["next"].as_str().unwrap().len() > 10, "{answer}");
        answer["error"].as_str().unwrap().to_owned()
    }

    /// The content of a resource.
    pub fn read(&mut self, uri: &str) -> Value {
        let answer = self.ask("resources/read", json!({"uri": uri}));
        let text = answer["result"]["contents"][0]["text"].as_str().unwrap_or_else(|| panic!("{uri}: {answer}"));
        serde_json::from_str(text).unwrap()
    }

    /// Closes standard input, and waits for the end.
    pub fn hang_up(mut self) {
        self.input = None;
        assert!(self.child.wait().unwrap().success());
    }

    /// Kills the server.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // One that has ended is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The JSON that a tool answers, and whether that is an error.
pub fn told(answer: &Value) -> (Value, bool) {
    let result = &answer["result"];
    let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
    (hivekeep::json::parse(text.as_bytes()).unwrap(), result["isError"] == true)
}
