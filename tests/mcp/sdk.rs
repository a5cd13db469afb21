//! The client of the official SDK, over pipes and over HTTP.

use std::process::Stdio;

use hivekeep::json;
use rmcp::model::{CallToolRequestParams, ReadResourceRequestParams};
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{RoleClient, ServiceExt};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::agent::PATIENCE;
use crate::util::{Hive, Running};

/// A session of the client.
type Client = RunningService<RoleClient, ()>;

/// A session with a server of its own.
async fn over_pipes(hive: &Hive, bot: &str) -> (Client, Child) {
    let mut command = Command::from(hive.command(&["mcp", "--quiet", "--as", bot]));
    let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let pipes = (server.stdout.take().unwrap(), server.stdin.take().unwrap());
    (().serve(pipes).await.unwrap(), server)
}

/// A service on a socket of the file system.
fn service(hive: &Hive) -> Running {
    let socket = format!("unix:{}", socket(hive));
    let mut running = Running::start(hive, &["serve", "--json", "--listen", &socket]);
    assert!(running.line().contains("listening"));
    running
}

fn socket(hive: &Hive) -> String {
    hive.path().with_extension("sock").display().to_string()
}

/// A session with a service.
async fn over_http(hive: &Hive) -> Client {
    let way = StreamableHttpClientTransport::from_unix_socket(&socket(hive), "http://localhost/mcp");
    ().serve(way).await.unwrap()
}

/// The answer of a tool, which must do it.
async fn call(client: &Client, tool: &'static str, arguments: Value) -> Value {
    let arguments = arguments.as_object().unwrap().clone();
    let called = client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments));
    let answer = timeout(PATIENCE, called).await.unwrap().unwrap();
    let text = &answer.content[0].as_text().unwrap().text;
    assert_ne!(answer.is_error, Some(true), "{tool}: {text}");
    json::parse(text.as_bytes()).unwrap()
}

/// Everything that an agent does in a day.
async fn work(client: &Client, bot: &str) {
    assert_eq!(client.peer_info().unwrap().server_info.as_ref().unwrap().name, "hivekeep");
    let tools = client.list_all_tools().await.unwrap();
    assert!(["claim", "complete", "restore"].iter().all(|name| tools.iter().any(|tool| tool.name == *name)));
    call(client, "register", json!({"bot": bot})).await;
    let (first, second) = (format!("{bot}-1"), format!("{bot}-2"));
    call(client, "enqueue", json!({"payload": {"n": 1}, "id": first, "assigned_to": bot})).await;
    call(client, "enqueue", json!({"payload": {"n": 2}, "id": second, "assigned_to": bot})).await;
    let claims = call(client, "claim", json!({"bot": bot, "wait_ms": 1000})).await;
    assert_eq!((&claims["claims"][0]["id"], &claims["claims"][0]["payload"]), (&json!(first), &json!({"n": 1})));
    let done = call(client, "complete", json!({"task": first, "claim_next": true})).await;
    assert_eq!((&done["completed"]["state"], &done["claims"][0]["id"]), (&json!("done"), &json!(second)));
    let refused = client.call_tool(
        CallToolRequestParams::new("complete").with_arguments(json!({"task": first}).as_object().unwrap().clone()),
    );
    assert_eq!(refused.await.unwrap().is_error, Some(true));
    let uri = format!("hivekeep://queue/{second}");
    let read = client.read_resource(ReadResourceRequestParams::new(uri)).await.unwrap();
    let read = serde_json::to_value(read).unwrap();
    assert!(read["contents"][0]["text"].as_str().unwrap().contains(r#""state":"claimed""#), "{read}");
    assert!(client.list_all_resources().await.unwrap().iter().any(|resource| resource.uri == "hivekeep://queue"));
}

/// The tasks that a session gets, one after the other, from its first claim on.
async fn claims_until_none(client: &Client, mut claims: Value) -> Vec<String> {
    let mut done = Vec::new();
    while let Some(task) = claims["claims"][0]["id"].as_str() {
        done.push(task.to_owned());
        claims = call(client, "complete", json!({"task": task, "claim_next": true})).await;
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_the_official_sdk_does_the_work_of_a_day_over_pipes_and_over_http() {
    let hive = Hive::new();
    let (client, mut server) = over_pipes(&hive, "BOT-1").await;
    work(&client, "BOT-1").await;
    client.cancel().await.unwrap();
    assert!(timeout(PATIENCE, server.wait()).await.unwrap().unwrap().success());
    assert_eq!(hive.json(&["get", "queue", "BOT-1-2"])["state"], "ready", "the session has ended");
    let mut running = service(&hive);
    let client = over_http(&hive).await;
    work(&client, "BOT-2").await;
    client.cancel().await.unwrap();
    assert_eq!(hive.json(&["get", "queue", "BOT-2-2"])["state"], "ready", "the session has ended");
    running.stop("-TERM");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_of_the_official_client_that_claim_at_once_never_get_the_same_task() {
    let hive = Hive::new();
    let ((one, _first), (two, _second)) = (over_pipes(&hive, "BOT-1").await, over_pipes(&hive, "BOT-2").await);
    let ids: Vec<_> = (10..40).map(|number| format!("both-{number}")).collect();
    let tasks: Vec<_> = ids.iter().map(|id| json!({"payload": 1, "id": id})).collect();
    call(&one, "enqueue_all", json!({"tasks": tasks})).await;
    // Each has a task before either goes on, however late a process is scheduled.
    let (first, second) = tokio::join!(call(&one, "claim", json!({})), call(&two, "claim", json!({})));
    let (ones, twos) = tokio::join!(claims_until_none(&one, first), claims_until_none(&two, second));
    assert!(!ones.is_empty() && !twos.is_empty());
    let mut both = [ones, twos].concat();
    both.sort();
    assert_eq!(both, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_task_of_a_session_of_the_official_client_whose_server_is_killed_goes_to_another_one() {
    let hive = Hive::new();
    let ((one, mut first), (two, _second)) = (over_pipes(&hive, "BOT-1").await, over_pipes(&hive, "BOT-2").await);
    call(&one, "enqueue", json!({"payload": 1, "id": "killed"})).await;
    let claims = call(&one, "claim", json!({"lease_ms": 3_600_000})).await;
    assert_eq!(claims["claims"][0]["id"], "killed");
    first.kill().await.unwrap();
    let claims = call(&two, "claim", json!({"wait_ms": 30_000})).await;
    assert_eq!((&claims["claims"][0]["id"], &claims["claims"][0]["attempt"]), (&json!("killed"), &json!(2)));
    // The client of a server that was killed is told so, and does not hang.
    let asked = timeout(PATIENCE, one.call_tool(CallToolRequestParams::new("me"))).await.unwrap();
    assert!(asked.is_err());
}
