//! `wasi:sockets`: TCP, UDP and name lookup over the reactor, with the state machines of the WASI 0.2 documents.
//!
//! **Does not know** preview 1 or HTTP. Rules are those of [`NetworkPolicy`](super::NetworkPolicy), names go to the
//! configuration's [`Resolver`](super::Resolver).
//!
//! **Entry**: [`add_to_linker`], for entries that list `wasi:sockets`.
//!
//! **Invariants**
//! - Every system call here is non-blocking; what waits leaves its waker with a registration of the reactor.
//! - A pollable that is ready was ready when it was asked: readiness of the past is checked with the system.
//! - An address is checked against the rules where it is used, and the checked one is the one that is used.
//! - No task runs beside the guest: what the system did not take of a write is sent by the waker of the socket itself.
//! - An IPv6 socket never speaks IPv4; mapped addresses are refused.

mod connection;
mod haste;
mod lookup;
#[cfg(test)]
mod policies;
mod socket;
mod tcp;
mod udp;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTableError};
use wasmtime_wasi::p2::SocketError;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, Network};
use wasmtime_wasi::p2::bindings::sockets::{
    instance_network, ip_name_lookup, network, tcp as tcp_binding, tcp_create_socket, udp as udp_binding,
    udp_create_socket,
};
use wasmtime_wasi_io::streams::Error as StreamError;

use super::state::{WasiState, WasiView};
use crate::limits::Permit;
#[cfg(feature = "http")]
pub(super) use lookup::literal;

/// What a fallible function of these interfaces gives.
type SocketResult<T> = std::result::Result<T, SocketError>;

/// The host state as the bindings want it.
type State = HasSelf<WasiState>;

/// Links the seven interfaces of `wasi:sockets`.
///
/// # Errors
/// When something of them is in the linker already.
pub(super) fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let mut options = network::LinkOptions::default();
    // Not in the first 0.2 versions, and asked for by guests of later ones.
    options.network_error_code(true);
    network::add_to_linker::<T, State>(linker, &options, T::wasi)?;
    instance_network::add_to_linker::<T, State>(linker, T::wasi)?;
    tcp_binding::add_to_linker::<T, State>(linker, T::wasi)?;
    tcp_create_socket::add_to_linker::<T, State>(linker, T::wasi)?;
    udp_binding::add_to_linker::<T, State>(linker, T::wasi)?;
    udp_create_socket::add_to_linker::<T, State>(linker, T::wasi)?;
    ip_name_lookup::add_to_linker::<T, State>(linker, T::wasi)
}

/// The one network there is: a handle without content, whose possession is the permission.
struct InstanceNetwork;

/// The error of a socket that could not be put into the table: a full one is a limit that the documents have a code for.
fn socket_limit(error: ResourceTableError) -> SocketError {
    match error {
        ResourceTableError::Full => ErrorCode::NewSocketLimit.into(),
        error => error.into(),
    }
}

/// The address as policies know it: an IPv4 address inside an IPv6 one counts as what it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A handle of the bindings as a handle of our own type: the table holds ours.
fn ours<Theirs: 'static, Ours: 'static>(handle: &Resource<Theirs>) -> Resource<Ours> {
    Resource::new_borrow(handle.rep())
}

/// The other direction, for what is given to the guest.
fn theirs<Ours: 'static, Theirs: 'static>(handle: &Resource<Ours>) -> Resource<Theirs> {
    Resource::new_own(handle.rep())
}

impl instance_network::Host for WasiState {
    fn instance_network(&mut self) -> Result<Resource<Network>> {
        Ok(theirs(&self.table.push(InstanceNetwork)?))
    }
}

impl network::Host for WasiState {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(&mut self, error: Resource<StreamError>) -> Result<Option<ErrorCode>> {
        let error = self.table.get(&error)?;
        Ok(error.downcast_ref::<connection::ConnectionFailure>().map(|failure| failure.code()))
    }
}

impl network::HostNetwork for WasiState {
    fn drop(&mut self, network: Resource<Network>) -> Result<()> {
        self.table.delete(Resource::<InstanceNetwork>::new_own(network.rep()))?;
        Ok(())
    }
}

/// How many addresses a process keeps by which names it found them; the oldest go first. Only kept where rules exist.
const KNOWN_ADDRESSES_MAX: usize = 1024;

/// By which names a process found which addresses: what rules about names need to know when it connects.
#[derive(Default)]
pub(super) struct KnownAddresses(VecDeque<(IpAddr, Arc<str>)>);

impl KnownAddresses {
    fn add(&mut self, address: IpAddr, name: &Arc<str>) {
        self.0.retain(|(known, by)| (*known, by) != (address, name));
        if self.0.len() == KNOWN_ADDRESSES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((address, name.clone()));
    }

    fn names_of(&self, address: IpAddr) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| *known == address).map(|(_, name)| &**name)
    }
}

impl WasiState {
    /// Whether the entry's rules let the guest talk to this address.
    fn may_talk_to(&self, address: SocketAddr) -> bool {
        let rules = &self.config.network;
        rules.allows_everything() || rules.allows(address, self.known_addresses.names_of(address.ip().to_canonical()))
    }

    /// Whether the rules and the guest's policies let it open a connection to this address, or send to it.
    fn may_connect_to(&self, address: SocketAddr) -> bool {
        self.may_talk_to(address) && self.config.security.allows("socket.connect", &canonical(address), &[])
    }

    /// Whether the guest's policies let others reach it at this address.
    fn may_listen_at(&self, address: SocketAddr) -> bool {
        self.config.security.allows("socket.listen", &canonical(address), &[])
    }

    /// Room for one more socket.
    fn permit_socket(&self) -> std::result::Result<Permit, ErrorCode> {
        self.usage().open_socket().ok_or(ErrorCode::NewSocketLimit)
    }

    /// Fails unless the guest still holds this network.
    fn check_network(&self, network: &Resource<Network>) -> SocketResult<()> {
        self.table.get(&ours::<_, InstanceNetwork>(network))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_longest_ago_is_forgotten_first() {
        let mut known = KnownAddresses::default();
        let name: Arc<str> = "a.test".into();
        for at in 0..=KNOWN_ADDRESSES_MAX as u32 {
            known.add(IpAddr::V4(at.into()), &name);
        }
        assert_eq!(known.0.len(), KNOWN_ADDRESSES_MAX);
        assert_eq!(known.names_of(IpAddr::V4(0.into())).count(), 0);
        assert_eq!(known.names_of(IpAddr::V4(1.into())).count(), 1);
        // Found again, it is the newest, and there once.
        known.add(IpAddr::V4(1.into()), &name);
        known.add(IpAddr::V4(9999.into()), &name);
        assert_eq!(known.names_of(IpAddr::V4(1.into())).count(), 1);
    }
}
