//! What policies say of sockets, at the functions that guests call.

use std::net::UdpSocket as StdUdpSocket;

use wasmtime_wasi::p2::bindings::sockets::instance_network::Host as _;
use wasmtime_wasi::p2::bindings::sockets::network::IpAddressFamily;
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket;
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::bindings::sockets::udp::HostUdpSocket;
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket::Host as _;

use super::*;
use crate::security::testing::may_only;
use crate::wasi::config::WasiConfig;
use crate::wasi::testing::{block_on, manual_reactor};

/// A guest that may do one thing with these addresses.
fn guest(action: &str, resource: &str) -> WasiState {
    let security = may_only(action, resource);
    WasiState::new(WasiConfig { security, ..WasiConfig::default() }, manual_reactor().1)
}

/// `ok`, or the code of the error.
fn said<T>(result: SocketResult<T>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.downcast().expect("a code").name().to_owned(),
    }
}

/// A handle once more: a call takes it away from nobody.
fn again<T: 'static>(handle: &Resource<T>) -> Resource<T> {
    Resource::new_own(handle.rep())
}

#[test]
fn who_may_listen_does_so_at_its_addresses_only() {
    for (action, resource, expected) in [
        ("socket.listen", "127.0.0.1:*", "ok"),
        ("socket.listen", "*", "ok"),
        ("socket.listen", "127.0.0.2:*", "access-denied"),
        ("socket.connect", "*", "access-denied"),
    ] {
        let mut state = guest(action, resource);
        let network = state.instance_network().unwrap();
        let socket = state.create_tcp_socket(IpAddressFamily::Ipv4).map_err(drop).unwrap();
        let any_port: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let bound = block_on(HostTcpSocket::start_bind(&mut state, again(&socket), again(&network), any_port.into()));
        assert_eq!(said(bound), "ok", "a port alone reaches nobody");
        assert_eq!(said(HostTcpSocket::finish_bind(&mut state, again(&socket))), "ok");
        assert_eq!(said(block_on(state.start_listen(again(&socket)))), expected, "{action} {resource}");
        let finished = said(state.finish_listen(again(&socket)));
        assert_eq!(finished, if expected == "ok" { "ok" } else { "not-in-progress" });
    }
}

#[test]
fn a_port_of_its_choice_is_one_to_be_reached_at() {
    // Taken, so that a bind that is allowed ends with another error, whoever else runs here.
    let taken = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    let chosen = taken.local_addr().unwrap();
    for (action, resource, address, expected) in [
        ("socket.connect", "*", "127.0.0.1:0".parse().unwrap(), "ok"),
        ("socket.connect", "*", chosen, "access-denied"),
        ("socket.listen", "*", chosen, "address-in-use"),
        ("socket.listen", &chosen.to_string(), chosen, "address-in-use"),
        ("socket.listen", "127.0.0.1:1", chosen, "access-denied"),
    ] {
        let mut state = guest(action, resource);
        let network = state.instance_network().unwrap();
        let socket = block_on(state.create_udp_socket(IpAddressFamily::Ipv4)).map_err(drop).unwrap();
        let bound = block_on(HostUdpSocket::start_bind(&mut state, socket, network, address.into()));
        assert_eq!(said(bound), expected, "{action} {resource} {address}");
    }
}

#[test]
fn an_address_in_another_form_is_the_same() {
    for (written, expected) in
        [("[::ffff:127.0.0.1]:80", "127.0.0.1:80"), ("127.0.0.1:80", "127.0.0.1:80"), ("[::1]:80", "[::1]:80")]
    {
        assert_eq!(canonical(written.parse().unwrap()).to_string(), expected);
    }
}
