//! The client of a connection: whether it has closed its half or is gone, and whether its claims have arrived.
//!
//! A client may end its half once it has asked (`printf .. | nc -N`), and is answered nevertheless. A client that is
//! gone looks just like that until something is written to it: then its system resets the connection. So claims are
//! given back when their answer cannot be written, and, where the client had ended its half before, when the connection
//! is reset soon after. A reset after an answer to a client whose half was open says nothing: it may have read it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use crate::face::http::sockets::connection_slots::Slot;
use crate::face::http::sockets::memory::PIECE;
use crate::face::http::sockets::stream::Stream;
use crate::face::parcel::Parcel;

/// Timeout for the reset from a client that is gone, after the response was written. It does not delay other clients.
const RESET_WITHIN: Duration = Duration::from_secs(2);

/// The other side of a connection. Clones are of the same one.
#[derive(Clone)]
pub(in crate::face::http) struct Peer(Arc<Inner>);

struct Inner {
    stream: Stream,
    slot: Slot,
    /// Claims on their way to the client, in order. Written by handlers, and by the connection as it writes.
    owed: Mutex<Vec<Owed>>,
}

/// Claims on their way.
struct Owed {
    parcel: Parcel,
    /// Whether the whole answer is with the connection, so that it is written once that has written all it has.
    handed: bool,
}

/// The bytes of a connection, for the one who reads and writes HTTP. Shutting it down is left to [`Peer::settle`].
pub(in crate::face::http) struct Wire(Peer);

/// An answer that carries claims. They count as handed over with its last piece.
struct Carrier {
    text: Option<Bytes>,
    peer: Peer,
}

impl Peer {
    pub(in crate::face::http) fn new(stream: Stream, slot: Slot) -> Self {
        stream.without_delay();
        Self(Arc::new(Inner { stream, slot, owed: Mutex::default() }))
    }

    /// The slot of the connection.
    pub(in crate::face::http) fn slot(&self) -> &Slot {
        &self.0.slot
    }

    pub(in crate::face::http) fn wire(&self) -> Wire {
        Wire(self.clone())
    }

    /// The body of an answer that is to bring these claims: when it does not arrive, they go back.
    pub(in crate::face::http) fn bring(&self, parcel: Parcel, text: Vec<u8>) -> Body {
        self.0.owed.lock().push(Owed { parcel, handed: false });
        Body::new(Carrier { text: Some(text.into()), peer: self.clone() })
    }

    /// Ends when the client has ended its half, as one does that is gone or that only waits for its answer.
    pub(in crate::face::http) async fn ended(&self) {
        // Data that has arrived is the next request, so the client has not ended its half.
        if !matches!(self.0.stream.peek().await, Ok(0)) {
            std::future::pending().await
        }
    }

    /// Ends when the connection is broken: nothing reaches the client any more.
    pub(in crate::face::http) async fn broken(&self) {
        let stream = &self.0.stream;
        while stream.ready(Interest::ERROR).await.is_ok() {
            if !matches!(stream.take_error(), Ok(None)) {
                return;
            }
            stream.is_not_ready(Interest::ERROR);
        }
    }

    /// All responses that the connection has are written. To a client whose half is open, they have arrived.
    fn written(&self, context: &mut Context<'_>) {
        let mut owed = self.0.owed.lock();
        if owed.is_empty() {
            return;
        }
        let has_ended = self.0.stream.poll_peek(context);
        if matches!(has_ended, Poll::Ready(Ok(0) | Err(_))) {
            return;
        }
        let (arrived, on_their_way) = std::mem::take(&mut *owed).into_iter().partition(|owed| owed.handed);
        *owed = on_their_way;
        drop(owed);
        deliver(arrived);
    }

    /// Ends the connection once nobody reads or writes it any more. Claims that have not arrived are given back.
    pub(in crate::face::http) async fn settle(self, is_whole: bool) {
        // Dropped with the claims in it, if another part of the connection still has a share of it.
        let Some(Inner { mut stream, slot, owed }) = Arc::into_inner(self.0) else { return };
        let owed = owed.into_inner();
        let ends = poll_fn(|context| stream.poll_shutdown(context)).await;
        if owed.is_empty() || !is_whole || ends.is_err() || owed.iter().any(|owed| !owed.handed) {
            return;
        }
        let last = Self::new(stream, slot);
        if tokio::time::timeout(RESET_WITHIN, last.broken()).await.is_err() {
            deliver(owed);
        }
    }
}

/// They are the client's from now on.
fn deliver(owed: Vec<Owed>) {
    owed.into_iter().for_each(|owed| drop(owed.parcel.delivered()));
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = &self.0.0.stream;
        loop {
            ready!(stream.poll_read_ready(context))?;
            match stream.try_read(into.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    self.0.slot().head_begins();
                    return Poll::Ready(read.map(|length| into.advance(length)));
                }
            }
        }
    }
}

impl Wire {
    /// Writes once that is possible.
    fn poll_with(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&Stream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let stream = &self.0.0.stream;
        loop {
            ready!(stream.poll_write_ready(context))?;
            match write(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_with(context, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(context, |stream| stream.try_write_vectored(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.written(context);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl HttpBody for Carrier {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(mut text) = self.text.take() else { return Poll::Ready(None) };
        let piece = text.split_to(text.len().min(PIECE));
        if text.is_empty() {
            // Handlers answer one after another, so all that is owed by now is in answers up to this one.
            self.peer.0.owed.lock().iter_mut().for_each(|owed| owed.handed = true);
        } else {
            self.text = Some(text);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.text.as_ref().map_or(0, |text| text.len() as u64))
    }
}
