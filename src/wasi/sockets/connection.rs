//! An established TCP connection and its two streams.
//!
//! A write goes to the system at once. What the system does not take stays here, at most one permission's worth
//! ([`TRANSFER_BYTES_MAX`]), and is sent when the socket has room again: the waker left with the reactor is not the
//! guest's but one that sends ([`Flusher`]), so the bytes are on their way whatever the guest does meanwhile.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

use super::haste::Haste;
use super::socket::{Watched, local_address, poll_readable, would_block};
use crate::limits::{Charge, Usage, WaitReason, wait_for};
use crate::reactor::{FdSource, Interest, Reactor};
use crate::wasi::stdio::TRANSFER_BYTES_MAX;

/// Why a stream of a connection failed: what `network-error-code` reads out of a stream's error.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the connection failed: {0}")]
pub(super) struct ConnectionFailure(#[source] Arc<io::Error>);

impl ConnectionFailure {
    pub(super) fn code(&self) -> ErrorCode {
        (&*self.0).into()
    }
}

/// One direction's end.
enum Ended {
    /// In order; nothing more comes or goes.
    Closed,
    /// Told once, then it is closed.
    Failed(io::Error),
}

impl Ended {
    fn of(error: io::Error) -> Ended {
        // The other side has gone, which is how it says that it wants no more.
        if error.kind() == io::ErrorKind::BrokenPipe { Ended::Closed } else { Ended::Failed(error) }
    }

    fn tell(&mut self) -> StreamError {
        match std::mem::replace(self, Ended::Closed) {
            Ended::Closed => StreamError::Closed,
            Ended::Failed(error) => {
                StreamError::LastOperationFailed(wasmtime::Error::new(ConnectionFailure(Arc::new(error))))
            }
        }
    }
}

/// What of the outgoing direction waits.
#[derive(Default)]
struct Outgoing {
    /// Taken from the guest, and not by the system yet; at most [`TRANSFER_BYTES_MAX`].
    rest: BytesMut,
    /// For `rest`.
    charge: Option<Charge>,
    ended: Option<Ended>,
    /// The other side is told of the end once `rest` is out.
    closing: bool,
    /// The guest, while it waits for `rest` to be out.
    waiter: Option<Waker>,
}

/// What of the incoming direction is known.
#[derive(Default)]
struct Incoming {
    ended: Option<Ended>,
    haste: Haste,
}

/// A connected socket, shared by the guest's socket handle and both streams. It is closed with the last of them.
pub(super) struct Connection {
    socket: Watched,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Outgoing>,
    usage: Arc<Usage>,
    /// The waker of [`Flusher`].
    flusher: Waker,
}

/// Sends what waits when the socket has room. Weak: the socket keeps this waker, and must not keep itself alive by it.
struct Flusher(Weak<Connection>);

impl Wake for Flusher {
    fn wake(self: Arc<Self>) {
        if let Some(connection) = self.0.upgrade() {
            connection.flush();
        }
    }
}

impl Incoming {
    /// What the guest gets of a read that has happened.
    fn received(&mut self, read: io::Result<usize>, bytes: Vec<u8>) -> StreamResult<Bytes> {
        match read {
            Ok(0) => Err(self.ended.insert(Ended::Closed).tell()),
            Ok(_) => Ok(bytes.into()),
            Err(error) => Err(self.ended.insert(Ended::of(error)).tell()),
        }
    }
}

impl Connection {
    /// A connection of the process whose bookkeeping `usage` is.
    pub(super) fn new(socket: Watched, usage: &Arc<Usage>) -> Arc<Connection> {
        Arc::new_cyclic(|connection| Connection {
            socket,
            incoming: Mutex::default(),
            outgoing: Mutex::default(),
            usage: Arc::clone(usage),
            flusher: Arc::new(Flusher(connection.clone())).into(),
        })
    }

    /// A connection over a descriptor that is connected already.
    pub(super) fn accepted(reactor: &Arc<Reactor>, fd: OwnedFd, usage: &Arc<Usage>) -> io::Result<Arc<Connection>> {
        Ok(Connection::new(reactor.register(FdSource(fd), Interest::ReadWrite)?, usage))
    }

    pub(super) fn streams(self: &Arc<Connection>) -> (ConnectionInput, ConnectionOutput) {
        (ConnectionInput(self.clone()), ConnectionOutput { connection: self.clone(), permitted: 0 })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.get().as_fd()
    }

    pub(super) fn local_address(&self) -> Result<SocketAddr, ErrorCode> {
        local_address(self.fd())
    }

    pub(super) fn remote_address(&self) -> Result<SocketAddr, ErrorCode> {
        let address = rustix::net::getpeername(self.fd())?.ok_or(ErrorCode::InvalidState)?;
        SocketAddr::try_from(address).map_err(|_| ErrorCode::Unknown)
    }

    /// Nothing more is read: what has come is forgotten.
    pub(super) fn close_incoming(&self) {
        self.incoming.lock().ended.get_or_insert(Ended::Closed);
        // Not connected any more: closed all the same.
        let _ = rustix::net::shutdown(self.fd(), Shutdown::Read);
    }

    /// Nothing more is written: the other side learns of it after what is on its way.
    pub(super) fn close_outgoing(&self) {
        self.outgoing.lock().closing = true;
        self.flush();
    }

    fn read(&self, size: usize) -> StreamResult<Bytes> {
        let incoming = &mut *self.incoming.lock();
        if let Some(ended) = &mut incoming.ended {
            return Err(ended.tell());
        }
        if size == 0 {
            return Ok(Bytes::new());
        }
        let (wanted, mut bytes) = (size.min(TRANSFER_BYTES_MAX), Vec::new());
        let read = self.socket.try_read_bytes(wanted, |socket| receive(socket, &mut bytes, wanted));
        match read {
            Err(error) if would_block(&error) => Ok(Bytes::new()),
            read => incoming.received(read, bytes),
        }
    }

    /// Ready with the bytes of one read; it waits for an event first, where [`Connection::read`] asks the system at once, unless
    /// it is the `is_first` poll of a read that had better [hurry](Haste).
    fn poll_read(&self, cx: &mut Context<'_>, size: usize, is_first: bool) -> Poll<StreamResult<Bytes>> {
        let incoming = &mut *self.incoming.lock();
        if let Some(ended) = &mut incoming.ended {
            return Poll::Ready(Err(ended.tell()));
        }
        let (wanted, mut bytes) = (size.min(TRANSFER_BYTES_MAX), Vec::new());
        if is_first && incoming.haste.asks() {
            let read = self.socket.try_read_bytes(wanted, |socket| receive(socket, &mut bytes, wanted));
            let is_nothing = read.as_ref().is_err_and(would_block);
            incoming.haste.asked(!is_nothing);
            if !is_nothing {
                return Poll::Ready(incoming.received(read, bytes));
            }
        }
        let read = self.socket.poll_read_bytes(cx, wanted, |socket| receive(socket, &mut bytes, wanted));
        Poll::Ready(incoming.received(std::task::ready!(read), bytes))
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.incoming.lock().ended.is_some() {
            return Poll::Ready(());
        }
        poll_readable(&self.socket, cx)
    }

    /// Takes all of `bytes`.
    fn write(&self, bytes: &[u8]) -> StreamResult<()> {
        let mut outgoing = self.outgoing.lock();
        if outgoing.closing {
            return Err(StreamError::Closed);
        }
        if let Some(ended) = &mut outgoing.ended {
            return Err(ended.tell());
        }
        let mut unsent = bytes;
        if outgoing.rest.is_empty() {
            while !unsent.is_empty() {
                match self.socket.try_write_with(|socket| send(socket, unsent)) {
                    Ok(sent) => unsent = &unsent[sent..],
                    Err(error) if would_block(&error) => break,
                    Err(error) => return Err(outgoing.ended.insert(Ended::of(error)).tell()),
                }
            }
        }
        if !unsent.is_empty() {
            match self.usage.charge(outgoing.rest.len() + unsent.len()) {
                Ok(charge) => outgoing.charge = Some(charge),
                Err(_) => return Err(outgoing.ended.insert(Ended::Failed(Errno::NOMEM.into())).tell()),
            }
            outgoing.rest.extend_from_slice(unsent);
            self.send_rest(&mut outgoing);
        }
        Ok(())
    }

    /// Sends what waits, as far as there is room, and sees to it that the rest is sent when there is more.
    fn send_rest(&self, outgoing: &mut Outgoing) {
        while !outgoing.rest.is_empty() && outgoing.ended.is_none() {
            let mut cx = Context::from_waker(&self.flusher);
            let result = self.socket.poll_write_with(&mut cx, |socket| send(socket, &outgoing.rest));
            match result {
                Poll::Ready(Ok(sent)) => outgoing.rest.advance(sent),
                Poll::Ready(Err(error)) => {
                    outgoing.rest.clear();
                    outgoing.ended = Some(Ended::of(error));
                }
                Poll::Pending => return,
            }
        }
        // A burst should not keep its memory for the rest of the connection.
        outgoing.rest = BytesMut::new();
        outgoing.charge = None;
        if outgoing.closing && outgoing.ended.is_none() {
            outgoing.ended = Some(Ended::Closed);
            let _ = rustix::net::shutdown(self.fd(), Shutdown::Write);
        }
    }

    fn flush(&self) {
        let mut outgoing = self.outgoing.lock();
        self.send_rest(&mut outgoing);
        let waiter = if outgoing.rest.is_empty() { outgoing.waiter.take() } else { None };
        drop(outgoing);
        // Outside the lock: a waker may come back in here.
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Whether everything taken so far is with the system.
    fn check_write(&self) -> StreamResult<bool> {
        let mut outgoing = self.outgoing.lock();
        if let Some(ended) = &mut outgoing.ended {
            return Err(ended.tell());
        }
        if outgoing.closing {
            return Err(StreamError::Closed);
        }
        Ok(outgoing.rest.is_empty())
    }

    fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut outgoing = self.outgoing.lock();
        if outgoing.rest.is_empty() {
            return Poll::Ready(());
        }
        let old = outgoing.waiter.replace(cx.waker().clone());
        drop(outgoing);
        drop(old);
        Poll::Pending
    }
}

/// One receive of at most `wanted` into `bytes`, which has room from here on; none: the other side has ended.
fn receive(socket: &FdSource<OwnedFd>, bytes: &mut Vec<u8>, wanted: usize) -> io::Result<usize> {
    bytes.reserve_exact(wanted);
    let (count, _) = rustix::net::recv(socket.as_fd(), rustix::buffer::spare_capacity(bytes), RecvFlags::empty())?;
    Ok(count)
}

/// One send; the signal that a broken pipe would raise is not wanted, whatever the program does with it.
fn send(socket: &FdSource<OwnedFd>, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket.as_fd(), bytes, SendFlags::NOSIGNAL)?)
}

/// The `input-stream` of a connection.
pub(super) struct ConnectionInput(Arc<Connection>);

#[async_trait]
impl Pollable for ConnectionInput {
    async fn ready(&mut self) {
        wait_for(WaitReason::TcpRead, |cx| self.0.poll_readable(cx)).await;
    }
}

#[async_trait]
impl InputStream for ConnectionInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.0.read(size)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            self.ready().await;
            return self.read(size);
        }
        let mut is_first = true;
        wait_for(WaitReason::TcpRead, |cx| self.0.poll_read(cx, size, std::mem::take(&mut is_first))).await
    }
}

impl Drop for ConnectionInput {
    fn drop(&mut self) {
        self.0.close_incoming();
    }
}

/// The `output-stream` of a connection. Dropping it is the end of what the guest sends.
pub(super) struct ConnectionOutput {
    connection: Arc<Connection>,
    /// What the last check allows to be written: a guest that writes more without asking is at fault.
    permitted: usize,
}

#[async_trait]
impl Pollable for ConnectionOutput {
    async fn ready(&mut self) {
        wait_for(WaitReason::TcpWrite, |cx| self.connection.poll_flushed(cx)).await;
    }
}

#[async_trait]
impl OutputStream for ConnectionOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > self.permitted {
            return Err(StreamError::trap("the guest wrote more bytes than `check-write` allowed"));
        }
        self.permitted -= bytes.len();
        self.connection.write(&bytes)
    }

    /// Asks for nothing: bytes are on their way from the moment they are taken.
    fn flush(&mut self) -> StreamResult<()> {
        self.connection.check_write().map(|_| ())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.permitted = if self.connection.check_write()? { TRANSFER_BYTES_MAX } else { 0 };
        Ok(self.permitted)
    }

    /// A guest that drops the stream believes its bytes sent: it waits until they are.
    async fn cancel(&mut self) {
        self.ready().await;
    }
}

impl Drop for ConnectionOutput {
    fn drop(&mut self) {
        self.connection.close_outgoing();
    }
}
