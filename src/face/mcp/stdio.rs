//! Messages as lines on standard input and output. Nothing else is ever written to standard output.
//!
//! A thread reads and parses, so that a hostile line costs only itself. A line that is no message is answered with an
//! error, and the next one is read.

use std::borrow::Cow;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::sync::mpsc;

use crate::face::mcp::agent_session::{AgentSession, FindDoor};
use crate::face::mcp::door::Door;
use crate::face::mcp::message::{MESSAGE_BYTES, parsed, too_long};
use crate::{Error, ErrorKind, Result};

/// Messages that are read ahead.
const AHEAD: usize = 8;

/// Serves one session until standard input ends, or `stop` resolves. The claims that it keeps are given back then.
///
/// # Errors
///
/// `Io` when no thread can be started.
pub(in crate::face) async fn serve(door: Arc<dyn Door>, stop: impl Future<Output = ()>) -> Result<()> {
    let own = door.clone();
    let find: FindDoor = Arc::new(move |_| Some((own.clone(), true)));
    let session = AgentSession::new(find);
    let lines = Lines::read()?;
    tokio::select! {
        () = stop => {}
        () = run(session.clone(), lines) => {}
    }
    let claims = session.claims();
    let ended = tokio::task::spawn_blocking(move || claims.end()).await;
    let panicked = |source| Error::new(ErrorKind::Io, "a session could not give its claims back").with_source(source);
    ended.map_err(panicked)?.map(drop)
}

async fn run(session: AgentSession, lines: Lines) {
    match rmcp::serve_server(session, lines).await {
        Ok(running) => drop(running.waiting().await),
        Err(error) => tracing::warn!(%error, "a session has not begun"),
    }
}

/// Standard input and output as a transport.
struct Lines {
    messages: mpsc::Receiver<ClientJsonRpcMessage>,
}

impl Lines {
    /// Starts the thread that reads. It ends with its input, or with the process.
    fn read() -> Result<Self> {
        let (tell, messages) = mpsc::channel(AHEAD);
        std::thread::Builder::new().name("hivekeep-mcp-in".into()).spawn(move || {
            let (mut input, mut line) = (io::stdin().lock(), Vec::new());
            while let Ok(Some(read)) = next_line(&mut input, &mut line) {
                let message = match read {
                    LineRead::Line if line.trim_ascii().is_empty() => continue,
                    LineRead::Line => parsed(&line),
                    LineRead::TooLong => Err(too_long()),
                };
                let taken = match message {
                    Ok(message) => tell.blocking_send(*message).is_ok(),
                    Err(answer) => write_line(answer.to_string().as_bytes()).is_ok(),
                };
                if !taken {
                    return;
                }
            }
        })?;
        Ok(Self { messages })
    }
}

impl Transport<RoleServer> for Lines {
    type Error = io::Error;

    fn name() -> Cow<'static, str> {
        "lines".into()
    }

    #[expect(clippy::manual_async_fn, reason = "the future must not borrow the transport")]
    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        async move { tokio::task::spawn_blocking(move || write_message(&message)).await.map_err(io::Error::other)? }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        self.messages.recv().await
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.messages.close();
        Ok(())
    }
}

fn write_message(message: &ServerJsonRpcMessage) -> io::Result<()> {
    write_line(&serde_json::to_vec(message)?)
}

/// Writes a line as a whole.
fn write_line(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(&[text, b"\n"].concat())?;
    out.flush()
}

/// A line, which is in the buffer then, or one that was too long for it.
#[derive(Debug, PartialEq)]
enum LineRead {
    Line,
    TooLong,
}

/// Reads up to the end of the next line; none at the end of the input. A last line without an end is one.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<LineRead>> {
    line.clear();
    let (mut is_too_long, mut is_empty) = (false, true);
    loop {
        let part = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            part => part?,
        };
        if part.is_empty() {
            return Ok((!is_empty).then_some(if is_too_long { LineRead::TooLong } else { LineRead::Line }));
        }
        is_empty = false;
        let end = part.iter().position(|byte| *byte == b'\n');
        let text = part.get(..end.unwrap_or(part.len())).unwrap_or_default();
        if !is_too_long && line.len() + text.len() <= MESSAGE_BYTES {
            line.extend_from_slice(text);
        } else {
            is_too_long = true;
            line.clear();
        }
        let taken = text.len() + usize::from(end.is_some());
        input.consume(taken);
        if end.is_some() {
            return Ok(Some(if is_too_long { LineRead::TooLong } else { LineRead::Line }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_up_to_a_limit_and_a_longer_one_costs_only_itself() {
        let long = "x".repeat(MESSAGE_BYTES + 1);
        let text = format!("a\n{long}\nb\n\nlast");
        let mut input = io::BufReader::with_capacity(7, text.as_bytes());
        let (mut line, mut lines) = (Vec::new(), Vec::new());
        while let Some(read) = next_line(&mut input, &mut line).unwrap() {
            lines.push(if read == LineRead::Line {
                String::from_utf8(line.clone()).unwrap()
            } else {
                "too long".into()
            });
        }
        assert_eq!(lines, ["a", "too long", "b", "", "last"]);
    }
}
