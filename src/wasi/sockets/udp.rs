//! `wasi:sockets/udp`: sockets and their two datagram streams.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::net::{RecvFlags, SendFlags, SocketType};
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::SocketError;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::udp::{
    self, IncomingDatagram, IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket,
};
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::socket::{self, WRITABLE, Watched, would_block};
use super::{SocketResult, ours, socket_limit, theirs};
use crate::limits::{Permit, WaitReason, wait_for};
use crate::reactor::{FdSource, Interest};
use crate::wasi::state::WasiState;
use crate::wasi::stdio::TRANSFER_BYTES_MAX;

/// Most datagrams of one call in either direction.
const DATAGRAMS_MAX: usize = 16;

/// The largest datagram there is, in bytes.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Most datagrams that one `receive` forgets because they are from somebody else than the stream's peer, or whom the rules
/// refuse: a flood of them must not hold the worker.
const FORGOTTEN_PER_RECEIVE: usize = 64;

/// What a `udp-socket` is.
struct Udp {
    family: IpAddressFamily,
    socket: Arc<Watched>,
    stage: Stage,
    /// Whom the streams talk to, when it is one peer.
    remote: Option<SocketAddr>,
    /// It counts as open until the guest drops it.
    _permit: Permit,
}

#[derive(Clone, Copy)]
enum Stage {
    Unbound,
    BindStarted,
    /// With the address it was bound to.
    Bound(SocketAddr),
}

impl Udp {
    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.get().as_fd()
    }

    /// Forgets the peer. Linux gives up a port that it chose itself with it: the socket gets it back.
    fn disconnect(&mut self, bound: SocketAddr) -> std::result::Result<(), ErrorCode> {
        if self.remote.take().is_some() {
            rustix::net::connect_unspec(self.fd())?;
            if socket::local_address(self.fd())?.port() == 0 {
                socket::bind(self.fd(), bound)?;
            }
        }
        Ok(())
    }
}

/// What an `incoming-datagram-stream` is.
struct Incoming {
    socket: Arc<Watched>,
    remote: Option<SocketAddr>,
    /// An error that came behind datagrams: told by the next call.
    failed: Option<ErrorCode>,
}

/// What an `outgoing-datagram-stream` is.
struct Outgoing {
    family: IpAddressFamily,
    socket: Arc<Watched>,
    remote: Option<SocketAddr>,
    /// How many datagrams the last check allows.
    permitted: usize,
    /// The system had no room for the last datagram.
    blocked: bool,
}

impl WasiState {
    fn udp(&mut self, this: &Resource<UdpSocket>) -> SocketResult<&mut Udp> {
        Ok(self.table.get_mut(&ours::<_, Udp>(this))?)
    }
}

impl udp_create_socket::Host for WasiState {
    async fn create_udp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        let permit = self.permit_socket()?;
        let fd = socket::open(family, SocketType::DGRAM)?;
        let socket = Arc::new(self.reactor.register(FdSource(fd), Interest::ReadWrite)?);
        let udp = Udp { family, socket, stage: Stage::Unbound, remote: None, _permit: permit };
        Ok(theirs(&self.table.push(udp).map_err(socket_limit)?))
    }
}

impl udp::Host for WasiState {}

impl udp::HostUdpSocket for WasiState {
    async fn start_bind(
        &mut self,
        this: Resource<UdpSocket>,
        network: Resource<Network>,
        local_address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.check_network(&network)?;
        let address = SocketAddr::from(local_address);
        // A port that the system chooses is one that nobody knows before: whoever only sends has such a one.
        let may_bind = address.port() == 0 || self.may_listen_at(address);
        let socket = self.udp(&this)?;
        match socket.stage {
            Stage::Unbound => {}
            Stage::BindStarted => return Err(ErrorCode::ConcurrencyConflict.into()),
            Stage::Bound(_) => return Err(ErrorCode::InvalidState.into()),
        }
        if !socket::fits(address.ip(), socket.family) {
            return Err(ErrorCode::InvalidArgument.into());
        }
        if !may_bind {
            return Err(ErrorCode::AccessDenied.into());
        }
        socket::bind(socket.fd(), address)?;
        socket.stage = Stage::BindStarted;
        Ok(())
    }

    fn finish_bind(&mut self, this: Resource<UdpSocket>) -> SocketResult<()> {
        let socket = self.udp(&this)?;
        let Stage::BindStarted = socket.stage else { return Err(ErrorCode::NotInProgress.into()) };
        socket.stage = Stage::Bound(socket::local_address(socket.fd())?);
        Ok(())
    }

    async fn stream(
        &mut self,
        this: Resource<UdpSocket>,
        remote_address: Option<IpSocketAddress>,
    ) -> SocketResult<(Resource<IncomingDatagramStream>, Resource<OutgoingDatagramStream>)> {
        let handle = ours::<_, Udp>(&this);
        if self.table.iter_children(&handle)?.any(|child| child.is::<Incoming>() || child.is::<Outgoing>()) {
            let message = "the guest asked for datagram streams of a socket whose earlier ones it still has";
            return Err(SocketError::trap(wasmtime::Error::msg(message)));
        }
        let remote = remote_address.map(SocketAddr::from);
        let may_talk = remote.is_none_or(|remote| self.may_connect_to(remote));
        let socket = self.udp(&this)?;
        let Stage::Bound(bound) = socket.stage else { return Err(ErrorCode::InvalidState.into()) };
        if remote.is_some_and(|remote| !socket::is_destination(remote, socket.family)) {
            return Err(ErrorCode::InvalidArgument.into());
        }
        if !may_talk {
            return Err(ErrorCode::AccessDenied.into());
        }
        socket.disconnect(bound)?;
        if let Some(remote) = remote {
            rustix::net::connect(socket.fd(), &remote).map_err(|errno| match errno {
                rustix::io::Errno::ADDRNOTAVAIL => ErrorCode::AddressInUse,
                errno => errno.into(),
            })?;
            socket.remote = Some(remote);
        }
        let (family, socket) = (socket.family, socket.socket.clone());
        let incoming = Incoming { socket: socket.clone(), remote, failed: None };
        let outgoing = Outgoing { family, socket, remote, permitted: 0, blocked: false };
        let incoming = self.table.push_child(incoming, &handle)?;
        let outgoing = self.table.push_child(outgoing, &handle)?;
        Ok((theirs(&incoming), theirs(&outgoing)))
    }

    fn local_address(&mut self, this: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        let socket = self.udp(&this)?;
        match socket.stage {
            Stage::Bound(_) => Ok(socket::local_address(socket.fd())?.into()),
            Stage::Unbound | Stage::BindStarted => Err(ErrorCode::InvalidState.into()),
        }
    }

    fn remote_address(&mut self, this: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.udp(&this)?.remote.ok_or(ErrorCode::InvalidState)?.into())
    }

    fn address_family(&mut self, this: Resource<UdpSocket>) -> Result<IpAddressFamily> {
        Ok(self.table.get(&ours::<_, Udp>(&this))?.family)
    }

    fn unicast_hop_limit(&mut self, this: Resource<UdpSocket>) -> SocketResult<u8> {
        let socket = self.udp(&this)?;
        Ok(socket::hop_limit(socket.fd(), socket.family)?)
    }

    fn set_unicast_hop_limit(&mut self, this: Resource<UdpSocket>, value: u8) -> SocketResult<()> {
        let socket = self.udp(&this)?;
        Ok(socket::set_hop_limit(socket.fd(), socket.family, value)?)
    }

    fn receive_buffer_size(&mut self, this: Resource<UdpSocket>) -> SocketResult<u64> {
        Ok(socket::receive_buffer_size(self.udp(&this)?.fd())?)
    }

    fn set_receive_buffer_size(&mut self, this: Resource<UdpSocket>, value: u64) -> SocketResult<()> {
        Ok(socket::set_receive_buffer_size(self.udp(&this)?.fd(), value)?)
    }

    fn send_buffer_size(&mut self, this: Resource<UdpSocket>) -> SocketResult<u64> {
        Ok(socket::send_buffer_size(self.udp(&this)?.fd())?)
    }

    fn set_send_buffer_size(&mut self, this: Resource<UdpSocket>, value: u64) -> SocketResult<()> {
        Ok(socket::set_send_buffer_size(self.udp(&this)?.fd(), value)?)
    }

    fn subscribe(&mut self, this: Resource<UdpSocket>) -> Result<Resource<DynPollable>> {
        subscribe(&mut self.table, ours::<_, Udp>(&this))
    }

    fn drop(&mut self, this: Resource<UdpSocket>) -> Result<()> {
        self.table.delete(Resource::<Udp>::new_own(this.rep()))?;
        Ok(())
    }
}

#[async_trait]
impl Pollable for Udp {
    /// Nothing of the socket itself takes time.
    async fn ready(&mut self) {}
}

impl udp::HostIncomingDatagramStream for WasiState {
    fn receive(
        &mut self,
        this: Resource<IncomingDatagramStream>,
        max_results: u64,
    ) -> SocketResult<Vec<IncomingDatagram>> {
        let handle = ours::<_, Incoming>(&this);
        if let Some(code) = self.table.get_mut(&handle)?.failed.take() {
            return Err(code.into());
        }
        let stream = self.table.get(&handle)?;
        let wanted = usize::try_from(max_results).unwrap_or(usize::MAX).min(DATAGRAMS_MAX);
        let (mut datagrams, mut bytes, mut forgotten) = (Vec::new(), 0, 0);
        let mut buffer = Vec::with_capacity(if wanted > 0 { DATAGRAM_BYTES_MAX } else { 0 });
        while datagrams.len() < wanted && bytes < TRANSFER_BYTES_MAX && forgotten < FORGOTTEN_PER_RECEIVE {
            buffer.clear();
            let received = stream.socket.try_read_with(|fd| {
                let spare = rustix::buffer::spare_capacity(&mut buffer);
                let (_, _, from) = rustix::net::recvfrom(fd.as_fd(), spare, RecvFlags::empty())?;
                Ok(from)
            });
            match received {
                Ok(from) => match from.and_then(|from| SocketAddr::try_from(from).ok()) {
                    Some(from)
                        if stream.remote.is_none_or(|remote| is_same(remote, from)) && self.may_talk_to(from) =>
                    {
                        bytes += buffer.len();
                        datagrams.push(IncomingDatagram { data: buffer.clone(), remote_address: from.into() });
                    }
                    // It came before the socket had this peer, or the rules refuse whom it is from.
                    _ => forgotten += 1,
                },
                Err(error) if would_block(&error) => break,
                Err(error) if datagrams.is_empty() => return Err(error.into()),
                Err(error) => {
                    self.table.get_mut(&handle)?.failed = Some(error.into());
                    break;
                }
            }
        }
        Ok(datagrams)
    }

    fn subscribe(&mut self, this: Resource<IncomingDatagramStream>) -> Result<Resource<DynPollable>> {
        subscribe(&mut self.table, ours::<_, Incoming>(&this))
    }

    fn drop(&mut self, this: Resource<IncomingDatagramStream>) -> Result<()> {
        self.table.delete(Resource::<Incoming>::new_own(this.rep()))?;
        Ok(())
    }
}

/// The same endpoint: what else an IPv6 address carries (flow, scope) does not make another of it.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip(), one.port()) == (other.ip(), other.port())
}

#[async_trait]
impl Pollable for Incoming {
    async fn ready(&mut self) {
        if self.failed.is_none() {
            wait_for(WaitReason::UdpReceive, |cx| socket::poll_readable(&self.socket, cx)).await;
        }
    }
}

impl Outgoing {
    /// Where a datagram goes, if it may.
    fn destination(&self, address: Option<SocketAddr>) -> std::result::Result<SocketAddr, ErrorCode> {
        match (address, self.remote) {
            (None, None) => Err(ErrorCode::InvalidArgument),
            (None, Some(remote)) => Ok(remote),
            (Some(address), _) if !socket::is_destination(address, self.family) => Err(ErrorCode::InvalidArgument),
            (Some(address), Some(remote)) if !is_same(address, remote) => Err(ErrorCode::InvalidArgument),
            (Some(address), _) => Ok(address),
        }
    }

    fn send(&self, bytes: &[u8], to: SocketAddr) -> std::io::Result<usize> {
        self.socket.try_write_with(|fd| {
            Ok(match self.remote {
                Some(_) => rustix::net::send(fd.as_fd(), bytes, SendFlags::NOSIGNAL)?,
                None => rustix::net::sendto(fd.as_fd(), bytes, SendFlags::NOSIGNAL, &to)?,
            })
        })
    }
}

impl udp::HostOutgoingDatagramStream for WasiState {
    fn check_send(&mut self, this: Resource<OutgoingDatagramStream>) -> SocketResult<u64> {
        let stream = self.table.get_mut(&ours::<_, Outgoing>(&this))?;
        stream.blocked &= !socket::is_ready_now(stream.socket.get().as_fd(), WRITABLE);
        stream.permitted = if stream.blocked { 0 } else { DATAGRAMS_MAX };
        Ok(stream.permitted as u64)
    }

    fn send(&mut self, this: Resource<OutgoingDatagramStream>, datagrams: Vec<OutgoingDatagram>) -> SocketResult<u64> {
        let handle = ours::<_, Outgoing>(&this);
        let stream = self.table.get_mut(&handle)?;
        if datagrams.is_empty() {
            return Ok(0);
        }
        if datagrams.len() > stream.permitted {
            let message = "the guest sent more datagrams than `check-send` allowed";
            return Err(SocketError::trap(wasmtime::Error::msg(message)));
        }
        stream.permitted = 0;
        let mut sent = 0;
        for datagram in datagrams {
            let stream = self.table.get(&handle)?;
            let result = stream.destination(datagram.remote_address.map(SocketAddr::from)).and_then(|to| {
                if !self.may_connect_to(to) {
                    return Err(ErrorCode::AccessDenied);
                }
                stream.send(&datagram.data, to).map_err(ErrorCode::from)
            });
            match result {
                Ok(_) => sent += 1,
                Err(ErrorCode::WouldBlock) => {
                    self.table.get_mut(&handle)?.blocked = true;
                    break;
                }
                // What was sent is told first; the next attempt meets the error again.
                Err(_) if sent > 0 => break,
                Err(code) => return Err(code.into()),
            }
        }
        Ok(sent)
    }

    fn subscribe(&mut self, this: Resource<OutgoingDatagramStream>) -> Result<Resource<DynPollable>> {
        subscribe(&mut self.table, ours::<_, Outgoing>(&this))
    }

    async fn drop(&mut self, this: Resource<OutgoingDatagramStream>) -> Result<()> {
        self.table.delete(Resource::<Outgoing>::new_own(this.rep()))?;
        Ok(())
    }
}

#[async_trait]
impl Pollable for Outgoing {
    async fn ready(&mut self) {
        if self.blocked {
            wait_for(WaitReason::UdpSend, |cx| socket::poll_writable(&self.socket, cx)).await;
        }
    }
}
