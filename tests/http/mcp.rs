//! `/mcp`: the tools of agents over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::service::{Answer, Service};
use crate::util::Hive;

/// An agent with a session over HTTP.
struct Agent<'s> {
    service: &'s Service,
    key: String,
    session: String,
}

const ACCEPT: &str = "Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n";

/// A request to `/mcp`.
fn ask(service: &Service, method: &str, headers: &str, body: &str) -> Answer {
    let head = format!(
        "{method} /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    service.bare(&[head.as_bytes(), body.as_bytes()].concat())
}

fn hello() -> Value {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params":
        {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}})
}

/// The last message of an answer of events.
fn message(answer: &Answer) -> Value {
    let mut lines = answer.body.lines().filter_map(|line| line.strip_prefix("data: "));
    let last = lines.rfind(|line| line.starts_with('{'));
    serde_json::from_str(last.unwrap_or_else(|| panic!("{answer}"))).unwrap()
}

impl<'s> Agent<'s> {
    fn new(service: &'s Service, key: &str) -> Self {
        let key = if key.is_empty() { String::new() } else { format!("Authorization: Bearer {key}\r\n") };
        let answer = ask(service, "POST", &format!("{ACCEPT}{key}"), &hello().to_string());
        assert_eq!(answer.status, 200, "{answer}");
        let line = answer.head.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).unwrap();
        let agent = Self { service, key, session: format!("Mcp-Session-Id: {}\r\n", line.trim()) };
        let done = agent.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        assert_eq!(done.status, 202, "{done}");
        agent
    }

    fn headers(&self) -> String {
        format!("{ACCEPT}{}{}", self.key, self.session)
    }

    fn post(&self, body: &Value) -> Answer {
        ask(self.service, "POST", &self.headers(), &body.to_string())
    }

    /// Begins a request, and waits for no answer.
    fn begin(&self, method: &str, body: &str) -> TcpStream {
        let mut stream = self.service.connect();
        let (headers, length) = (self.headers(), body.len());
        write!(stream, "{method} /mcp HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
            .unwrap();
        stream
    }

    fn call(&self, tool: &str, arguments: Value) -> (Value, bool) {
        let answer = self.post(&call_of(tool, arguments));
        let answer = message(&answer);
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        (hivekeep::json::parse(text.as_bytes()).unwrap(), answer["result"]["isError"] == true)
    }

    fn ok(&self, tool: &str, arguments: Value) -> Value {
        let (answer, is_error) = self.call(tool, arguments);
        assert!(!is_error, "{tool}: {answer}");
        answer
    }

    fn refused(&self, tool: &str, arguments: Value, kind: &str) -> String {
        let (answer, is_error) = self.call(tool, arguments);
        assert!(is_error && answer["kind"] == kind, "{tool}: {answer}");
        answer["error"].as_str().unwrap().to_owned()
    }
}

/// A call of a tool.
fn call_of(tool: &str, arguments: Value) -> Value {
    let mut body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}});
    // Moved, as `json!` would write its numbers in another way.
    body["params"]["arguments"] = arguments;
    body
}

/// The first line of an answer, which may have no end.
fn status(stream: &TcpStream) -> String {
    let mut line = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
    line
}

/// A new key.
fn key(hive: &Hive, name: &str, role: &str, bot: Option<&str>) -> String {
    let bot = bot.map(|bot| ["--bot", bot]);
    let arguments = [&["key", "add", name, "--role", role][..], bot.as_ref().map_or(&[], |bot| &bot[..])].concat();
    hive.ok(&arguments).split_whitespace().find(|word| word.starts_with("hk_")).unwrap().to_owned()
}

#[test]
fn the_key_of_a_session_decides_its_bot_and_its_role() {
    let hive = Hive::new();
    let [one, two] = ["BOT-1", "BOT-2"].map(|bot| key(&hive, &bot.to_lowercase(), "bot", Some(bot)));
    let (reader, operator) = (key(&hive, "reader", "reader", None), key(&hive, "operator", "operator", None));
    let service = Service::start(&hive, &[]);
    assert_eq!(ask(&service, "POST", ACCEPT, &hello().to_string()).status, 401);
    let [one, two, reader, operator] = [&one, &two, &reader, &operator].map(|key| Agent::new(&service, key));
    one.ok("enqueue", hivekeep::json::parse(br#"{"payload":{"a":1.50},"id":"a"}"#).unwrap());
    let claims = one.ok("claim", json!({}));
    assert_eq!(claims["claims"][0]["payload"].to_string(), r#"{"a":1.50}"#);
    assert_eq!(claims["lease_is_extended"], true);
    assert_eq!(one.ok("me", json!({}))["bot"], "BOT-1");
    assert_eq!(two.ok("task", json!({"task": "a"}))["holder"]["token"], json!(null));
    two.refused("complete", json!({"task": "a", "token": claims["claims"][0]["token"]}), "forbidden");
    two.refused("claim", json!({"bot": "BOT-1"}), "forbidden");
    reader.ok("tasks", json!({}));
    reader.refused("enqueue", json!({"payload": 1}), "forbidden");
    operator.ok("point_make", json!({"description": "before"}));
    one.ok("complete", json!({"task": "a"}));
    let plan = one.ok("restore_plan", json!({"point": "latest", "only": ["queue"]}));
    let apply = json!({"point": "latest", "only": ["queue"], "expect": plan["state"]});
    let said = one.refused("restore", apply.clone(), "forbidden");
    assert!(said.contains("needs the role operator"), "{said}");
    operator.ok("restore", apply);
    let entries = hive.json(&["get", "audit"]);
    let claimed = entries.as_array().unwrap().iter().find(|entry| entry["action"] == "queue_claim").unwrap();
    assert_eq!((&claimed["actor"], &claimed["asked_by"]["bot"]), (&json!("bot-1"), &json!("BOT-1")));
    assert_eq!((&claimed["details"]["way"], &claimed["asked_by"]["address"]), (&json!("mcp"), &json!("127.0.0.1")));
    service.until("the refusals are written", |_| hive.ok(&["get", "audit"]).contains("mcp restore"));
}

#[test]
fn a_session_belongs_to_the_key_that_began_it_and_ends_with_the_key() {
    let hive = Hive::new();
    let [one, two] = ["BOT-1", "BOT-2"].map(|bot| key(&hive, &bot.to_lowercase(), "bot", Some(bot)));
    let service = Service::start(&hive, &[]);
    let (first, second) = (Agent::new(&service, &one), Agent::new(&service, &two));
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let headers = format!("{ACCEPT}{}{}", second.key, first.session);
    for (method, body) in [("POST", ping.to_string()), ("GET", String::new()), ("DELETE", String::new())] {
        assert_eq!(ask(&service, method, &headers, &body).status, 404, "{method}");
    }
    assert_eq!(first.post(&ping).status, 200);
    hive.ok(&["key", "revoke", "bot-1"]);
    service.until("the key is refused", |_| first.post(&ping).status == 401);
    assert_eq!(second.post(&ping).status, 200);
}

#[test]
fn the_tasks_of_a_session_go_back_when_it_ends_and_when_the_service_stops() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let agent = Agent::new(&service, "");
    agent.ok("enqueue", json!({"payload": 1, "id": "a"}));
    let claim = json!({"bot": "BOT-1", "lease_ms": 3_600_000});
    assert_eq!(agent.ok("claim", claim.clone())["claims"][0]["id"], "a");
    assert_eq!(ask(&service, "DELETE", &agent.headers(), "").status, 202);
    service.until("the task is back", |service| service.get("/api/queue/a").ok()["state"] == "ready");
    assert_eq!(service.get("/api/queue/a").ok()["attempts"], 0);
    assert_eq!(agent.post(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})).status, 404);

    let agent = Agent::new(&service, "");
    assert_eq!(agent.ok("claim", claim)["claims"][0]["id"], "a");
    // A stream that is open does not hold up the end.
    let mut stream = agent.begin("GET", "");
    assert!(status(&stream).starts_with("HTTP/1.1 200"));
    assert_eq!(service.stop("-TERM").0, Some(0));
    drop(stream.read_to_end(&mut Vec::new()));
    let task = hive.json(&["get", "queue", "a"]);
    assert_eq!((&task["state"], &task["attempts"]), (&json!("ready"), &json!(0)));
}

#[test]
fn a_request_without_a_session_gets_a_claim_that_only_its_lease_ends() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    service.post("/api/queue", json!({"payload": 1, "id": "a"})).ok();
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}});
    let call = |id: u64, tool: &str, arguments: Value| {
        let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        let headers =
            format!("{ACCEPT}MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n");
        let answer = message(&ask(&service, "POST", &headers, &body.to_string()));
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        serde_json::from_str::<Value>(text).unwrap()
    };
    let claims = call(1, "claim", json!({"bot": "BOT-1"}));
    assert_eq!((&claims["claims"][0]["id"], &claims["lease_is_extended"]), (&json!("a"), &json!(false)));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(service.get("/api/queue/a").ok()["state"], "claimed");
    let token = claims["claims"][0]["token"].clone();
    assert_eq!(call(2, "complete", json!({"task": "a"}))["kind"], "invalid");
    assert_eq!(call(3, "complete", json!({"task": "a", "token": token}))["completed"]["state"], "done");
}

#[test]
fn hosts_origins_lengths_and_messages_are_looked_at_as_for_every_route() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let other = format!(
        "POST /mcp HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n{ACCEPT}Content-Length: 2\r\n\r\n{{}}"
    );
    assert_eq!(service.bare(other.as_bytes()).status, 421);
    let page = format!("{ACCEPT}Origin: https://evil.example\r\n");
    assert_eq!(ask(&service, "POST", &page, &hello().to_string()).status, 403);
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    for body in ["", "{", "[]", "5", "{}", "\u{0}", &deep, r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#] {
        let answer = ask(&service, "POST", ACCEPT, body);
        assert_eq!(answer.status, 400, "{answer}");
        assert_eq!(answer.with(400)["jsonrpc"], "2.0", "{answer}");
    }
    assert_eq!(ask(&service, "POST", ACCEPT, &"x".repeat((1 << 20) + 1)).status, 413);
    assert_eq!(ask(&service, "POST", "Content-Type: application/json\r\n", &hello().to_string()).status, 406);
    assert_eq!(ask(&service, "PUT", ACCEPT, "{}").status, 405);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    assert_eq!(ask(&service, "POST", &format!("{ACCEPT}Mcp-Session-Id: nosuch\r\n"), &ping).status, 404);
    assert_eq!(ask(&service, "POST", &format!("{ACCEPT}Mcp-Session-Id: \u{e4}\r\n"), &ping).status, 404);
    Agent::new(&service, "").ok("me", json!({}));
}

#[test]
fn one_client_has_a_limit_of_sessions_until_one_ends() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let agents: Vec<_> = (0..8).map(|_| Agent::new(&service, "")).collect();
    let refused = ask(&service, "POST", ACCEPT, &hello().to_string());
    assert!(refused.refused(503).contains("limit=8"), "{refused}");
    assert_eq!(ask(&service, "DELETE", &agents[0].headers(), "").status, 202);
    service.until("there is room again", |service| ask(service, "POST", ACCEPT, &hello().to_string()).status == 200);
}

#[test]
fn a_session_that_its_client_ends_gives_its_tasks_back_although_a_call_waits() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let agent = Agent::new(&service, "");
    agent.ok("enqueue", json!({"payload": 1, "id": "a"}));
    agent.ok("claim", json!({"bot": "BOT-1", "lease_ms": 3_600_000}));
    let mut waiting = agent.begin("POST", &call_of("claim", json!({"bot": "BOT-1", "wait_ms": 50_000})).to_string());
    assert!(status(&waiting).starts_with("HTTP/1.1 200"));
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    assert_eq!(ask(&service, "DELETE", &agent.headers(), "").status, 202);
    service.until("the task is back", |service| service.get("/api/queue/a").ok()["state"] == "ready");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // The wait has ended too, so that it takes no task for nobody.
    waiting.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    drop(waiting.read_to_end(&mut Vec::new()));
    std::thread::sleep(Duration::from_millis(300));
    let task = service.get("/api/queue/a").ok();
    assert_eq!((&task["state"], &task["attempts"]), (&json!("ready"), &json!(0)));
}

#[test]
fn a_session_has_two_streams_of_events_and_no_more_until_one_ends() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let agent = Agent::new(&service, "");
    let streams: Vec<_> = (0..2).map(|_| agent.begin("GET", "")).collect();
    assert!(streams.iter().all(|stream| status(stream).starts_with("HTTP/1.1 200")));
    let refused = ask(&service, "GET", &agent.headers(), "");
    assert!(refused.refused(409).contains("limit=2"), "{refused}");
    agent.ok("me", json!({}));
    drop(streams);
    service.until("there is room again", |_| status(&agent.begin("GET", "")).starts_with("HTTP/1.1 200"));
}

#[test]
fn the_waits_of_one_key_leave_places_and_memory_to_all_others() {
    let hive = Hive::new();
    let [one, two] = ["BOT-1", "BOT-2"].map(|bot| key(&hive, &bot.to_lowercase(), "bot", Some(bot)));
    let service = Service::start(&hive, &["--request-memory", "64MiB"]);
    let (greedy, other) = (Agent::new(&service, &one), Agent::new(&service, &two));
    let mut wait = call_of("claim", json!({"wait_ms": 50_000}));
    wait["params"]["_meta"] = json!({"x": "x".repeat(1_000_000)});
    let waiting: Vec<_> = (0..16)
        .map(|_| {
            let stream = greedy.begin("POST", &wait.to_string());
            assert!(status(&stream).starts_with("HTTP/1.1 200"));
            // The next one comes when this one waits, as the memory is for one at a time.
            std::thread::sleep(Duration::from_millis(200));
            stream
        })
        .collect();
    let said = greedy.refused("claim", json!({"wait_ms": 50_000}), "busy");
    assert!(said.contains("waiting"), "{said}");
    let third = other.begin("POST", &wait.to_string());
    assert!(status(&third).starts_with("HTTP/1.1 200"));
    other.ok("enqueue", json!({"payload": "x".repeat(900_000), "id": "a"}));
    drop(waiting);
}

#[test]
fn a_message_takes_its_memory_for_as_long_as_its_call_runs() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--request-memory", "40MiB"]);
    let agent = Agent::new(&service, "");
    let long = |name: &str| {
        let arguments = json!({"bot": "BOT-1", "name": name, "value": "x".repeat(1_000_000)});
        call_of("note_write", arguments).to_string()
    };
    let store = hive.open();
    let ((go, goes), (begin, begins)) = (mpsc::channel::<()>(), mpsc::channel());
    let writer = std::thread::spawn(move || {
        store.write(|_| {
            begin.send(()).unwrap();
            goes.recv().unwrap();
            Ok(())
        })
    });
    begins.recv().unwrap();
    let slow = agent.begin("POST", &long("slow"));
    assert!(status(&slow).starts_with("HTTP/1.1 200"));
    assert_eq!(ask(&service, "POST", &agent.headers(), &long("second")).status, 503);
    agent.ok("me", json!({}));
    go.send(()).unwrap();
    writer.join().unwrap().unwrap();
    service.until("the memory is given back", |service| {
        ask(service, "POST", &agent.headers(), &long("third")).status == 200
    });
}
