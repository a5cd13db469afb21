//! The `Date` header. hyper panics outside of the years 1970 to 9999, so the service refuses requests while the system
//! clock is outside of them.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{StatusCode, header};
use tokio::io::Interest;

use crate::face::http::layers::middleware::FOR_BROWSERS;
use crate::face::http::problem::Problem;
use crate::face::http::sockets::stream::Stream;

/// The first second, after 1970, of the year 10000.
const END: Duration = Duration::from_secs(253_402_300_800);
/// Timeout for reading the request and writing the refusal.
const WITHIN: Duration = Duration::from_secs(5);

/// Whether the date can be written now.
pub(in crate::face::http) fn can_be_written() -> bool {
    is_writable(SystemTime::now())
}

fn is_writable(now: SystemTime) -> bool {
    now.duration_since(UNIX_EPOCH).is_ok_and(|since| since < END)
}

/// Goes on with a connection for as long as the date can be written; none when that is over.
pub(in crate::face::http) async fn while_it_can_be<C: Future + ?Sized>(
    mut connection: Pin<&mut C>,
) -> Option<C::Output> {
    poll_fn(|context| match can_be_written() {
        true => connection.as_mut().poll(context).map(Some),
        false => Poll::Ready(None),
    })
    .await
}

/// Refuses a client with the reason.
pub(in crate::face::http) async fn refuse(mut stream: Stream) {
    let answered = async {
        // Closing the connection over unread data would reset it before the response arrives.
        if read(&stream).await? > 0 {
            write(&stream, refusal().as_bytes()).await?;
            poll_fn(|context| stream.poll_shutdown(context)).await?;
            while read(&stream).await? > 0 {}
        }
        io::Result::Ok(())
    };
    if !matches!(tokio::time::timeout(WITHIN, answered).await, Ok(Ok(()))) {
        tracing::debug!("a client did not wait for its refusal");
    }
}

/// Reads something and lets go of it; gives how much.
async fn read(stream: &Stream) -> io::Result<usize> {
    loop {
        stream.ready(Interest::READABLE).await?;
        match stream.try_read(&mut [0; 4096]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

async fn write(stream: &Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.ready(Interest::WRITABLE).await?;
        match stream.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => bytes = bytes.get(written?..).unwrap_or_default(),
        }
    }
    Ok(())
}

fn refusal() -> String {
    let detail = "the system clock of the service is before 1970 or after 9999; set it";
    let body = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "clock", detail).body();
    let for_browsers: String = FOR_BROWSERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\n{}: application/problem+json\r\n{}: 60\r\n{}: close\r\n{for_browsers}{}: {}\r\n\r\n{body}",
        header::CONTENT_TYPE,
        header::RETRY_AFTER,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        body.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_from_1970_to_9999() {
        assert!(is_writable(UNIX_EPOCH) && is_writable(UNIX_EPOCH + END - Duration::from_nanos(1)));
        assert!(!is_writable(UNIX_EPOCH - Duration::from_nanos(1)) && !is_writable(UNIX_EPOCH + END));
    }
}
