//! The stream of a connection: of the network, or of a Unix socket.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// The stream of a connection.
#[derive(Debug)]
pub(in crate::face::http) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// Calls the same method of whichever it is.
macro_rules! either {
    ($stream:expr, $own:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($own) => $call,
            #[cfg(unix)]
            Stream::Unix($own) => $call,
        }
    };
}

impl Stream {
    /// Small and complete answers are sent at once.
    pub(super) fn without_delay(&self) {
        if let Self::Tcp(stream) = self {
            let _unsupported = stream.set_nodelay(true);
        }
    }

    pub(in crate::face::http) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        either!(self, stream => stream.ready(interest).await)
    }

    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        either!(self, stream => stream.take_error())
    }

    /// Notes that the stream is not ready, so that [`ready`](Self::ready) waits again.
    pub(super) fn is_not_ready(&self, interest: Interest) {
        let nothing = either!(self, stream => {
            stream.try_io(interest, || Err::<(), _>(io::ErrorKind::WouldBlock.into()))
        });
        debug_assert!(nothing.is_err());
    }

    /// Waits for data, and leaves it there; gives how much of a byte there is, which is nothing at the end.
    pub(super) async fn peek(&self) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.peek(&mut [0]).await,
            #[cfg(unix)]
            Self::Unix(stream) => loop {
                stream.readable().await?;
                match peek_unix(stream) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    peeked => return peeked,
                }
            },
        }
    }

    /// The same for a task.
    pub(super) fn poll_peek(&self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => stream.poll_peek(context, &mut ReadBuf::new(&mut [0])),
            #[cfg(unix)]
            Self::Unix(stream) => loop {
                ready!(stream.poll_read_ready(context))?;
                match peek_unix(stream) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    peeked => return Poll::Ready(peeked),
                }
            },
        }
    }

    pub(super) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read_ready(context))
    }

    pub(super) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_write_ready(context))
    }

    pub(in crate::face::http) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        either!(self, stream => stream.try_read(into))
    }

    pub(in crate::face::http) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, stream => stream.try_write(bytes))
    }

    pub(super) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self, stream => stream.try_write_vectored(pieces))
    }

    pub(in crate::face::http) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}

#[cfg(unix)]
fn peek_unix(stream: &UnixStream) -> io::Result<usize> {
    let peek = || Ok(rustix::net::recv(stream, &mut [0][..], rustix::net::RecvFlags::PEEK)?.0);
    stream.try_io(Interest::READABLE, peek)
}
