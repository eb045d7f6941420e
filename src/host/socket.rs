//! The TCP connection under SSH: tuned for many small messages, quick to notice a dead peer, and
//! always hung up in the end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How long the kernel waits for a peer that takes no data. Keepalives cannot notice that: they
/// would queue behind the data.
const UNACKNOWLEDGED: Duration = Duration::from_secs(8);

/// One connection, as russh reads and writes it.
pub(super) struct Socket(Arc<TcpStream>);

/// Hangs up when dropped. Without it, a handshake that is given up would live on in russh's task.
pub(super) struct Hangup(Arc<TcpStream>);

/// Connects to `host`, trying each of its addresses.
pub(super) async fn connect(host: &str, port: u16) -> io::Result<(Socket, Hangup)> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED.as_millis().try_into().unwrap_or(0))?;
    let stream = Arc::new(stream);
    Ok((Socket(Arc::clone(&stream)), Hangup(stream)))
}

impl Drop for Hangup {
    fn drop(&mut self) {
        // It fails only when the peer was faster.
        let _ = shutdown(&self.0, Shutdown::Both);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
                Ok(count) => {
                    buf.advance(count);
                    // The kernel falls back to delayed acknowledgements (40 ms, while the peer's
                    // Nagle waits for them) on its own, so this is said anew each time.
                    let _ = sockopt::set_tcp_quickack(&self.0, true);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(data) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Never fails: russh would report that instead of the reason for closing.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = shutdown(&self.0, Shutdown::Write);
        Poll::Ready(Ok(()))
    }
}
