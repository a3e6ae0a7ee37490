//! A TCP connection on the reactor, as hyper reads and writes it.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::ReadBufCursor;
use mio::net::TcpStream;

use crate::reactor::{Interest, Reactor, Registration};

/// How many bytes one read of the system asks for.
const READ_BYTES: usize = 16 * 1024;

/// A connected socket.
pub(super) struct Socket {
    stream: Arc<Registration<TcpStream>>,
    /// Where bytes wait between the system and who asked for them: hyper's own buffer can't be filled without `unsafe`.
    buffer: Box<[u8]>,
}

impl Socket {
    /// Connects to `address`.
    pub(super) async fn connect(reactor: &Arc<Reactor>, address: SocketAddr) -> io::Result<Socket> {
        let stream = reactor.register(TcpStream::connect(address)?, Interest::ReadWrite)?;
        loop {
            let ready = stream.writable().await?;
            if let Some(error) = stream.get().take_error()? {
                return Err(error);
            }
            match stream.get().peer_addr() {
                Ok(_) => break,
                // Woken before the connection was made.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => stream.clear_write_ready(ready),
                Err(error) => return Err(error),
            }
        }
        // Requests are small and wait for an answer.
        stream.get().set_nodelay(true)?;
        Ok(Socket { stream: Arc::new(stream), buffer: vec![0; READ_BYTES].into() })
    }

    /// Lends the socket to code that knows `WouldBlock`, with the waker of `cx` left where that happens.
    pub(super) fn blocking<'a, 'b>(&'a self, cx: &'a mut Context<'b>) -> Lent<'a, 'b> {
        Lent { stream: &self.stream, cx }
    }

    /// A second look at the socket, for when hyper has the first.
    pub(super) fn probe(&self) -> Probe {
        Probe(Arc::clone(&self.stream))
    }

    pub(super) fn shutdown(&self) -> io::Result<()> {
        match self.stream.get().shutdown(Shutdown::Write) {
            // The other side was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }
}

/// Says whether the other side is still there.
pub(super) struct Probe(Arc<Registration<TcpStream>>);

impl Probe {
    /// False when the other side has closed the connection, also when the event that says so is still on its way.
    pub(super) fn is_open(&self) -> bool {
        match self.0.get().peek(&mut [0]) {
            Ok(count) => count > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

impl hyper::rt::Read for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let Socket { stream, buffer } = self.get_mut();
        let wanted = buf.remaining().min(buffer.len());
        let count = ready!(stream.poll_read_bytes(cx, wanted, |mut stream| stream.read(&mut buffer[..wanted])))?;
        buf.put_slice(&buffer[..count]);
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_write_with(cx, |mut stream| stream.write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write_with(cx, |mut stream| stream.write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown())
    }
}

/// A socket as [`io::Read`] and [`io::Write`]: "not now" is the error `WouldBlock`, and then the task is woken later.
pub(super) struct Lent<'a, 'b> {
    stream: &'a Registration<TcpStream>,
    cx: &'a mut Context<'b>,
}

fn or_would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl io::Read for Lent<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        or_would_block(self.stream.poll_read_bytes(self.cx, buf.len(), |mut stream| stream.read(buf)))
    }
}

impl io::Write for Lent<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        or_would_block(self.stream.poll_write_with(self.cx, |mut stream| stream.write(buf)))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        or_would_block(self.stream.poll_write_with(self.cx, |mut stream| stream.write_vectored(bufs)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
