//! From the name of a server to a connection: lookup, socket, TLS.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

use super::client::HttpConfig;
use super::errors;
use super::socket::Socket;
use super::tls::{Stream, Tls};
use crate::reactor::Reactor;
use crate::security::SecurityContext;
use crate::wasi::network::{NameCheck, NetworkPolicy, leads_inside};
use crate::wasi::resolver::Resolver;

/// How many addresses of one name are tried, in the order of the lookup.
pub(super) const ADDRESSES_MAX: usize = 8;

/// Where a request goes, and for whom: requests of different entries never share a connection.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    /// The ID of the process's entry.
    pub(super) entry: Arc<str>,
    pub(super) tls: bool,
    /// A name in the form in which names are compared, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Of the process: those that act as somebody else, or by other policies, have connections of their own.
    pub(super) security: SecurityContext,
}

/// What decides where a request may go, of the process that sends it.
#[derive(Clone)]
pub(super) struct Network {
    pub(super) policy: Arc<NetworkPolicy>,
    pub(super) resolver: Arc<dyn Resolver>,
}

impl Origin {
    /// The address, where the host is one.
    fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether the policies of the process permit this address: they are asked about those that lead inside.
    fn may_reach(&self, address: IpAddr) -> bool {
        let asked = ("http_client.private_ip", &address.to_canonical());
        !leads_inside(address) || self.security.allows(asked.0, asked.1, &[("host", &self.host)])
    }

    /// Whether the policies of the process permit a request for this target here.
    pub(super) fn may_be_asked_for(&self, target: &str) -> bool {
        self.security.allows("http_client.request", &Url { origin: self, target }, &[])
    }

    /// Whether the rules permit to look its name up, or to connect to its address.
    pub(super) fn is_permitted(&self, policy: &NetworkPolicy) -> Result<(), ErrorCode> {
        match self.address() {
            Some(address) if policy.allows(SocketAddr::new(address, self.port), []) && self.may_reach(address) => {
                Ok(())
            }
            Some(_) => Err(ErrorCode::DestinationIpProhibited),
            None if policy.check_name(&self.host, Some(self.port)) == NameCheck::Permitted => Ok(()),
            None => Err(ErrorCode::HttpRequestDenied),
        }
    }
}

/// A whole URL as policies know it: with the name or the address that is really connected to, and a port that is not the
/// usual one.
struct Url<'a> {
    origin: &'a Origin,
    target: &'a str,
}

impl fmt::Display for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { tls, host, port, .. } = self.origin;
        let (scheme, usual) = if *tls { ("https", 443) } else { ("http", 80) };
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]")?,
            false => write!(f, "{scheme}://{host}")?,
        }
        if *port != usual {
            write!(f, ":{port}")?;
        }
        f.write_str(self.target)
    }
}

/// Connects to `origin`.
pub(super) async fn connect(
    reactor: &Arc<Reactor>,
    config: &HttpConfig,
    origin: &Origin,
    network: &Network,
) -> Result<Stream, ErrorCode> {
    // Asked here as well as by who sends the request: this is where a connection begins.
    origin.is_permitted(&network.policy)?;
    let addresses = match origin.address() {
        Some(address) => vec![address],
        None => {
            let found = network.resolver.resolve(&origin.host).await.map_err(|error| errors::of_lookup(&error))?;
            permitted(&found, origin, &network.policy)?
        }
    };
    let socket = reach(reactor, origin.port, &addresses).await?;
    if !origin.tls {
        return Ok(Stream::Plain(socket));
    }
    let session = config.roots.config(reactor.blocking()).await;
    let session = session.map_err(|error| ErrorCode::InternalError(Some(error)))?;
    match Tls::connect(socket, session, &origin.host).await {
        Ok(tls) => Ok(Stream::Tls(Box::new(tls))),
        // Somebody answered, and stopped in the middle of the handshake.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ErrorCode::TlsProtocolError),
        Err(error) => Err(errors::of_io(&error)),
    }
}

/// The addresses of a name that the rules allow: a connection uses no other.
fn permitted(found: &[IpAddr], origin: &Origin, policy: &NetworkPolicy) -> Result<Vec<IpAddr>, ErrorCode> {
    if found.is_empty() {
        return Err(ErrorCode::DestinationNotFound);
    }
    let allowed = |address: &&IpAddr| {
        policy.allows(SocketAddr::new(**address, origin.port), [origin.host.as_str()]) && origin.may_reach(**address)
    };
    let addresses: Vec<_> = found.iter().filter(allowed).copied().take(ADDRESSES_MAX).collect();
    if addresses.is_empty() { Err(ErrorCode::DestinationIpProhibited) } else { Ok(addresses) }
}

/// Connects to the first address that answers.
async fn reach(reactor: &Arc<Reactor>, port: u16, addresses: &[IpAddr]) -> Result<Socket, ErrorCode> {
    let mut failed = ErrorCode::DestinationNotFound;
    for address in addresses {
        match Socket::connect(reactor, SocketAddr::new(*address, port)).await {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = errors::of_io(&error),
        }
    }
    Err(failed)
}
