//! The memory that the bodies and answers of all requests may take together, so that no client can take all of it.
//!
//! Each request is charged for its body as it is read and parsed, and for its answer until that has been sent. The
//! first bytes of each cost nothing, so that small requests pass while large ones are refused.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;

use crate::face::http::problem::Problem;

/// Bytes of a request, and of its answer, that cost nothing. All connections together have 128 MiB of them.
const FREE: usize = 64 << 10;
/// The length of a piece of an answer.
pub(super) const PIECE: usize = 64 << 10;
/// A request with many small values is charged in steps of this many bytes.
const STEP: usize = 16 << 10;

tokio::task_local! {
    /// The charge of the request whose handler runs.
    static CURRENT: Charge;
}

/// The memory of all requests. Clones share it.
#[derive(Clone, Debug)]
pub(in crate::face::http) struct Memory(Arc<Total>);

#[derive(Debug)]
struct Total {
    used: AtomicUsize,
    most: AtomicUsize,
}

/// The memory of one request or answer, given back when the last clone is dropped.
#[derive(Clone, Debug)]
pub(in crate::face::http) struct Charge(Arc<Charged>);

#[derive(Debug)]
struct Charged {
    memory: Memory,
    taken: Mutex<usize>,
}

impl Memory {
    pub(in crate::face::http) fn new(most: usize) -> Self {
        Self(Arc::new(Total { used: AtomicUsize::new(0), most: AtomicUsize::new(most) }))
    }

    /// Changes the limit.
    pub(in crate::face::http) fn renew(&self, most: usize) {
        self.0.most.store(most, Ordering::Relaxed);
    }

    /// The bytes that are in use.
    pub(in crate::face::http) fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    pub(in crate::face::http) fn charge(&self) -> Charge {
        Charge(Arc::new(Charged { memory: self.clone(), taken: Mutex::default() }))
    }

    fn most(&self) -> usize {
        self.0.most.load(Ordering::Relaxed)
    }
}

impl Charge {
    /// The charge of the request whose handler runs; a new one outside of a handler.
    pub(in crate::face::http) fn current(memory: &Memory) -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_else(|_| memory.charge())
    }

    /// Takes more bytes from the limit.
    pub(in crate::face::http) fn take(&self, bytes: usize) -> Result<(), Problem> {
        let memory = &self.0.memory;
        let mut taken = self.0.taken.lock();
        let (before, after) = (taken.saturating_sub(FREE), taken.saturating_add(bytes).saturating_sub(FREE));
        if after > memory.most() {
            return Err(too_much(memory.most()));
        }
        let more = after - before;
        let used = memory.0.used.fetch_add(more, Ordering::Relaxed);
        if more > 0 && used.saturating_add(more) > memory.most() {
            memory.0.used.fetch_sub(more, Ordering::Relaxed);
            return Err(all_taken(memory.most()));
        }
        *taken += bytes;
        Ok(())
    }

    /// The same without a limit, for the answer to a change that has been made.
    fn owe(&self, bytes: usize) {
        let mut taken = self.0.taken.lock();
        let (before, after) = (taken.saturating_sub(FREE), taken.saturating_add(bytes).saturating_sub(FREE));
        self.0.memory.0.used.fetch_add(after - before, Ordering::Relaxed);
        *taken += bytes;
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.memory.0.used.fetch_sub(self.taken.lock().saturating_sub(FREE), Ordering::Relaxed);
    }
}

/// Counts the memory of the values of a body while they are parsed.
#[derive(Debug)]
pub(in crate::face::http) struct Meter {
    charge: Charge,
    /// Bytes that have been counted, but not charged.
    open: usize,
    refused: Option<Problem>,
}

impl Meter {
    pub(in crate::face::http) fn new(charge: Charge) -> Self {
        Self { charge, open: 0, refused: None }
    }

    pub(in crate::face::http) fn count(&mut self, bytes: usize) {
        self.open += bytes;
        if self.open > STEP && self.refused.is_none() {
            self.refused = self.charge.take(std::mem::take(&mut self.open)).err();
        }
    }

    /// Whether nothing more may be parsed.
    pub(in crate::face::http) fn is_full(&self) -> bool {
        self.refused.is_some()
    }

    /// The refusal, if there was one.
    pub(in crate::face::http) fn into_refusal(self) -> Option<Problem> {
        self.refused
    }
}

/// Charges a request while its handler runs, and its answer until it has been sent. Only an answer that was read, and
/// can be read again, is refused for lack of memory.
pub(in crate::face::http) async fn within_memory(
    State(memory): State<Memory>,
    request: Request,
    next: Next,
) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let response = CURRENT.scope(memory.charge(), next.run(request)).await;
    let charge = memory.charge();
    let bytes = usize::try_from(response.body().size_hint().lower()).unwrap_or(usize::MAX);
    match charge.take(bytes) {
        Ok(()) => {}
        Err(refusal) if reads => return refusal.into_response(),
        Err(_) => charge.owe(bytes),
    }
    if bytes <= FREE { response } else { response.map(|body| Holding::body(body, charge)) }
}

/// The body of an answer, and something that is dropped with it. It comes in pieces, of which the connection takes
/// another once those before are with the system: so the memory is held for as long as the client does not read.
pub(in crate::face::http) struct Holding<T> {
    body: Body,
    /// The rest of the piece that the body has given.
    rest: Bytes,
    _held: T,
}

impl<T: Send + Unpin + 'static> Holding<T> {
    pub(in crate::face::http) fn body(body: Body, held: T) -> Body {
        Body::new(Self { body, rest: Bytes::new(), _held: held })
    }
}

impl<T: Unpin> HttpBody for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(frame))) => return Poll::Ready(Some(Ok(frame))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

fn too_much(limit: usize) -> Problem {
    let detail = format!(
        "the request needs more memory than all requests may; split it, or raise the limit with hivekeep serve \
         --request-memory: limit_bytes={limit}"
    );
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
}

fn all_taken(limit: usize) -> Problem {
    let detail = format!("other requests take the memory for requests; retry: limit_bytes={limit}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).with(header::RETRY_AFTER, "1")
}
