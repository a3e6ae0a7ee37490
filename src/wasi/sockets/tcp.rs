//! `wasi:sockets/tcp`: the state machine of a TCP socket.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{SocketFlags, SocketType, sockopt};
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp::{self, ShutdownType, TcpSocket};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::connection::Connection;
use super::socket::{self, READABLE, WRITABLE, Watched, is_ready_now, would_block};
use super::{SocketResult, ours, socket_limit, theirs};
use crate::limits::{Permit, WaitReason, wait_for};
use crate::reactor::{FdSource, Interest};
use crate::wasi::state::WasiState;

/// How many connections wait for `accept` when the guest does not say: what Rust's library asks for.
const BACKLOG: i32 = 128;

/// Most connections that one `accept` refuses by rule before it says that none is there: a flood of them must not hold the
/// worker.
const REFUSED_PER_ACCEPT: usize = 64;

/// What a `tcp-socket` is.
struct Tcp {
    family: IpAddressFamily,
    backlog: i32,
    stage: Stage,
    /// It counts as open until the guest drops it.
    _permit: Permit,
}

/// Where a socket is on its way. Transitions only go down, and from anywhere to `Closed`.
enum Stage {
    Unbound(OwnedFd),
    BindStarted(OwnedFd),
    Bound(OwnedFd),
    ListenStarted(Watched),
    Listening(Watched),
    Connecting(Watched),
    /// The attempt failed as it began; `finish-connect` tells.
    ConnectFailed(ErrorCode),
    Connected(Arc<Connection>),
    Closed,
}

impl Tcp {
    /// The descriptor, in every state that has one.
    fn fd(&self) -> std::result::Result<BorrowedFd<'_>, ErrorCode> {
        match &self.stage {
            Stage::Unbound(fd) | Stage::BindStarted(fd) | Stage::Bound(fd) => Ok(fd.as_fd()),
            Stage::ListenStarted(socket) | Stage::Listening(socket) | Stage::Connecting(socket) => {
                Ok(socket.get().as_fd())
            }
            Stage::Connected(connection) => Ok(connection.fd()),
            Stage::ConnectFailed(_) | Stage::Closed => Err(ErrorCode::InvalidState),
        }
    }

    /// Fails while an operation was started and not finished.
    fn check_idle(&self) -> std::result::Result<(), ErrorCode> {
        match &self.stage {
            Stage::BindStarted(_) | Stage::ListenStarted(_) | Stage::Connecting(_) | Stage::ConnectFailed(_) => {
                Err(ErrorCode::ConcurrencyConflict)
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self) -> Stage {
        std::mem::replace(&mut self.stage, Stage::Closed)
    }
}

impl WasiState {
    fn tcp(&mut self, this: &Resource<TcpSocket>) -> SocketResult<&mut Tcp> {
        Ok(self.table.get_mut(&ours::<_, Tcp>(this))?)
    }

    /// Both streams of a connection, as children of its socket.
    fn push_streams(
        &mut self,
        socket: &Resource<Tcp>,
        connection: &Arc<Connection>,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let (input, output) = connection.streams();
        let (input, output): (DynInputStream, DynOutputStream) = (Box::new(input), Box::new(output));
        Ok((self.table.push_child(input, socket)?, self.table.push_child(output, socket)?))
    }
}

impl tcp_create_socket::Host for WasiState {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        let permit = self.permit_socket()?;
        let fd = socket::open(family, SocketType::STREAM)?;
        let tcp = Tcp { family, backlog: BACKLOG, stage: Stage::Unbound(fd), _permit: permit };
        Ok(theirs(&self.table.push(tcp).map_err(socket_limit)?))
    }
}

impl tcp::Host for WasiState {}

impl tcp::HostTcpSocket for WasiState {
    async fn start_bind(
        &mut self,
        this: Resource<TcpSocket>,
        network: Resource<Network>,
        local_address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.check_network(&network)?;
        let address = SocketAddr::from(local_address);
        let socket = self.tcp(&this)?;
        socket.check_idle()?;
        let Stage::Unbound(fd) = &socket.stage else { return Err(ErrorCode::InvalidState.into()) };
        if !socket::fits(address.ip(), socket.family) || !socket::is_unicast(address.ip()) {
            return Err(ErrorCode::InvalidArgument.into());
        }
        // A connection closed a moment ago must not hold its port.
        sockopt::set_socket_reuseaddr(fd, true)?;
        socket::bind(fd, address)?;
        if let Stage::Unbound(fd) = socket.take() {
            socket.stage = Stage::BindStarted(fd);
        }
        Ok(())
    }

    fn finish_bind(&mut self, this: Resource<TcpSocket>) -> SocketResult<()> {
        let socket = self.tcp(&this)?;
        match socket.take() {
            Stage::BindStarted(fd) => {
                socket.stage = Stage::Bound(fd);
                Ok(())
            }
            other => {
                socket.stage = other;
                Err(ErrorCode::NotInProgress.into())
            }
        }
    }

    fn start_connect(
        &mut self,
        this: Resource<TcpSocket>,
        network: Resource<Network>,
        remote_address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.check_network(&network)?;
        let address = SocketAddr::from(remote_address);
        let may_talk = self.may_connect_to(address);
        let reactor = self.reactor.clone();
        let socket = self.tcp(&this)?;
        socket.check_idle()?;
        if !matches!(socket.stage, Stage::Unbound(_) | Stage::Bound(_)) {
            return Err(ErrorCode::InvalidState.into());
        }
        if !socket::is_destination(address, socket.family) || !socket::is_unicast(address.ip()) {
            return Err(ErrorCode::InvalidArgument.into());
        }
        if !may_talk {
            return Err(ErrorCode::AccessDenied.into());
        }
        let (Stage::Unbound(fd) | Stage::Bound(fd)) = socket.take() else { unreachable!("looked at above") };
        socket.stage = match rustix::net::connect(&fd, &address) {
            // Watched from here on: before, the system would report a hang-up.
            Ok(()) | Err(Errno::INPROGRESS) => match reactor.register(FdSource(fd), Interest::ReadWrite) {
                Ok(watched) => Stage::Connecting(watched),
                Err(error) => Stage::ConnectFailed(error.into()),
            },
            Err(errno) => Stage::ConnectFailed(connect_error(errno)),
        };
        Ok(())
    }

    fn finish_connect(
        &mut self,
        this: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let usage = Arc::clone(self.usage());
        let socket = self.tcp(&this)?;
        let watched = match socket.take() {
            Stage::Connecting(watched) => watched,
            Stage::ConnectFailed(code) => return Err(code.into()),
            other => {
                socket.stage = other;
                return Err(ErrorCode::NotInProgress.into());
            }
        };
        if !socket::is_ready_now(watched.get().as_fd(), WRITABLE) {
            socket.stage = Stage::Connecting(watched);
            return Err(ErrorCode::WouldBlock.into());
        }
        // A failed attempt leaves the socket closed.
        sockopt::socket_error(watched.get().as_fd())?.map_err(connect_error)?;
        let connection = Connection::new(watched, &usage);
        socket.stage = Stage::Connected(connection.clone());
        self.push_streams(&ours(&this), &connection)
    }

    async fn start_listen(&mut self, this: Resource<TcpSocket>) -> SocketResult<()> {
        let reactor = self.reactor.clone();
        let socket = self.tcp(&this)?;
        socket.check_idle()?;
        let Stage::Bound(fd) = &socket.stage else { return Err(ErrorCode::InvalidState.into()) };
        let address = socket::local_address(fd.as_fd())?;
        if !self.may_listen_at(address) {
            return Err(ErrorCode::AccessDenied.into());
        }
        let socket = self.tcp(&this)?;
        let Stage::Bound(fd) = &socket.stage else { unreachable!("looked at above") };
        rustix::net::listen(fd, socket.backlog)?;
        if let Stage::Bound(fd) = socket.take() {
            socket.stage = Stage::ListenStarted(reactor.register(FdSource(fd), Interest::Read)?);
        }
        Ok(())
    }

    fn finish_listen(&mut self, this: Resource<TcpSocket>) -> SocketResult<()> {
        let socket = self.tcp(&this)?;
        match socket.take() {
            Stage::ListenStarted(watched) => {
                socket.stage = Stage::Listening(watched);
                Ok(())
            }
            other => {
                socket.stage = other;
                Err(ErrorCode::NotInProgress.into())
            }
        }
    }

    fn accept(
        &mut self,
        this: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        // Before one is taken from the line: at the limit it stays there for later. When nobody is there, that is the answer.
        let permit = match self.permit_socket() {
            Ok(permit) => permit,
            Err(limit) => {
                let Stage::Listening(watched) = &self.tcp(&this)?.stage else {
                    return Err(ErrorCode::InvalidState.into());
                };
                let waits = is_ready_now(watched.get().as_fd(), READABLE);
                return Err(if waits { limit } else { ErrorCode::WouldBlock }.into());
            }
        };
        let mut refused = 0;
        let (fd, family) = loop {
            let socket = self.table.get(&ours::<_, Tcp>(&this))?;
            let Stage::Listening(watched) = &socket.stage else { return Err(ErrorCode::InvalidState.into()) };
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let (fd, peer) = watched
                .try_read_with(|fd| Ok(rustix::net::acceptfrom_with(fd.as_fd(), flags)?))
                .map_err(|error| accept_error(&error))?;
            // Without an address it is gone already, and its streams will say so.
            let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
            if peer.is_none_or(|peer| self.may_talk_to(peer)) {
                break (fd, socket.family);
            }
            refused += 1;
            if refused == REFUSED_PER_ACCEPT {
                return Err(ErrorCode::WouldBlock.into());
            }
        };
        let connection = Connection::accepted(&self.reactor, fd, self.usage())?;
        let stage = Stage::Connected(connection.clone());
        let tcp = Tcp { family, backlog: BACKLOG, stage, _permit: permit };
        let socket = self.table.push(tcp).map_err(socket_limit)?;
        let (input, output) = self.push_streams(&socket, &connection)?;
        Ok((theirs(&socket), input, output))
    }

    fn local_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        let socket = self.tcp(&this)?;
        let address = match &socket.stage {
            Stage::Unbound(_) | Stage::BindStarted(_) => return Err(ErrorCode::InvalidState.into()),
            Stage::Connected(connection) => connection.local_address()?,
            _ => socket::local_address(socket.fd()?)?,
        };
        Ok(address.into())
    }

    fn remote_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        match &self.tcp(&this)?.stage {
            Stage::Connected(connection) => Ok(connection.remote_address()?.into()),
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    fn is_listening(&mut self, this: Resource<TcpSocket>) -> Result<bool> {
        Ok(matches!(self.table.get(&ours::<_, Tcp>(&this))?.stage, Stage::Listening(_)))
    }

    fn address_family(&mut self, this: Resource<TcpSocket>) -> Result<IpAddressFamily> {
        Ok(self.table.get(&ours::<_, Tcp>(&this))?.family)
    }

    fn set_listen_backlog_size(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        let socket = self.tcp(&this)?;
        if value == 0 {
            return Err(ErrorCode::InvalidArgument.into());
        }
        // The system cuts it further.
        let backlog = i32::try_from(value).unwrap_or(i32::MAX);
        match &socket.stage {
            Stage::Unbound(_) | Stage::BindStarted(_) | Stage::Bound(_) => {}
            Stage::ListenStarted(watched) | Stage::Listening(watched) => {
                rustix::net::listen(watched.get().as_fd(), backlog).map_err(|_| ErrorCode::NotSupported)?;
            }
            _ => return Err(ErrorCode::InvalidState.into()),
        }
        socket.backlog = backlog;
        Ok(())
    }

    fn keep_alive_enabled(&mut self, this: Resource<TcpSocket>) -> SocketResult<bool> {
        Ok(sockopt::socket_keepalive(self.tcp(&this)?.fd()?)?)
    }

    fn set_keep_alive_enabled(&mut self, this: Resource<TcpSocket>, value: bool) -> SocketResult<()> {
        Ok(sockopt::set_socket_keepalive(self.tcp(&this)?.fd()?, value)?)
    }

    fn keep_alive_idle_time(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(socket::nanos(sockopt::tcp_keepidle(self.tcp(&this)?.fd()?)?))
    }

    fn set_keep_alive_idle_time(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        Ok(sockopt::set_tcp_keepidle(self.tcp(&this)?.fd()?, socket::keep_alive_time(value)?)?)
    }

    fn keep_alive_interval(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(socket::nanos(sockopt::tcp_keepintvl(self.tcp(&this)?.fd()?)?))
    }

    fn set_keep_alive_interval(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        Ok(sockopt::set_tcp_keepintvl(self.tcp(&this)?.fd()?, socket::keep_alive_time(value)?)?)
    }

    fn keep_alive_count(&mut self, this: Resource<TcpSocket>) -> SocketResult<u32> {
        Ok(sockopt::tcp_keepcnt(self.tcp(&this)?.fd()?)?)
    }

    fn set_keep_alive_count(&mut self, this: Resource<TcpSocket>, value: u32) -> SocketResult<()> {
        Ok(sockopt::set_tcp_keepcnt(self.tcp(&this)?.fd()?, socket::keep_alive_count(value)?)?)
    }

    fn hop_limit(&mut self, this: Resource<TcpSocket>) -> SocketResult<u8> {
        let socket = self.tcp(&this)?;
        Ok(socket::hop_limit(socket.fd()?, socket.family)?)
    }

    fn set_hop_limit(&mut self, this: Resource<TcpSocket>, value: u8) -> SocketResult<()> {
        let socket = self.tcp(&this)?;
        Ok(socket::set_hop_limit(socket.fd()?, socket.family, value)?)
    }

    fn receive_buffer_size(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(socket::receive_buffer_size(self.tcp(&this)?.fd()?)?)
    }

    fn set_receive_buffer_size(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        Ok(socket::set_receive_buffer_size(self.tcp(&this)?.fd()?, value)?)
    }

    fn send_buffer_size(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(socket::send_buffer_size(self.tcp(&this)?.fd()?)?)
    }

    fn set_send_buffer_size(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        Ok(socket::set_send_buffer_size(self.tcp(&this)?.fd()?, value)?)
    }

    fn subscribe(&mut self, this: Resource<TcpSocket>) -> Result<Resource<DynPollable>> {
        subscribe(&mut self.table, ours::<_, Tcp>(&this))
    }

    fn shutdown(&mut self, this: Resource<TcpSocket>, shutdown_type: ShutdownType) -> SocketResult<()> {
        let Stage::Connected(connection) = &self.tcp(&this)?.stage else { return Err(ErrorCode::InvalidState.into()) };
        if matches!(shutdown_type, ShutdownType::Receive | ShutdownType::Both) {
            connection.close_incoming();
        }
        if matches!(shutdown_type, ShutdownType::Send | ShutdownType::Both) {
            connection.close_outgoing();
        }
        Ok(())
    }

    fn drop(&mut self, this: Resource<TcpSocket>) -> Result<()> {
        self.table.delete(Resource::<Tcp>::new_own(this.rep()))?;
        Ok(())
    }
}

/// Why an attempt to connect failed.
fn connect_error(errno: Errno) -> ErrorCode {
    match errno {
        // No port is left for the implicit bind.
        Errno::ADDRNOTAVAIL => ErrorCode::AddressInUse,
        // A local firewall's answer.
        Errno::PERM | Errno::ACCESS => ErrorCode::AccessDenied,
        errno => errno.into(),
    }
}

/// Why nothing was accepted. On Linux `accept` also tells what went wrong with the connection that is next.
fn accept_error(error: &io::Error) -> ErrorCode {
    match Errno::from_io_error(error) {
        _ if would_block(error) => ErrorCode::WouldBlock,
        Some(
            Errno::NETDOWN
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
            | Errno::TIMEDOUT
            | Errno::CONNABORTED
            | Errno::CONNRESET,
        ) => ErrorCode::ConnectionAborted,
        Some(Errno::NOMEM | Errno::NOBUFS) => ErrorCode::OutOfMemory,
        _ => error.into(),
    }
}

#[async_trait]
impl Pollable for Tcp {
    async fn ready(&mut self) {
        match &self.stage {
            Stage::Connecting(watched) => {
                wait_for(WaitReason::TcpConnect, |cx| socket::poll_writable(watched, cx)).await;
            }
            Stage::Listening(watched) => {
                wait_for(WaitReason::TcpAccept, |cx| socket::poll_readable(watched, cx)).await;
            }
            _ => {}
        }
    }
}
