//! `wasi:sockets/ip-name-lookup`: names are matched before the lookup, addresses after it.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{Host, HostResolveAddressStream, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, Network};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::{SocketResult, ours, theirs};
use crate::limits::{WaitReason, wait_for};
use crate::wasi::network::{NameCheck, host_name};
use crate::wasi::resolver::{Lookup, ResolveError};
use crate::wasi::state::WasiState;

/// What a `resolve-address-stream` is.
struct Addresses {
    name: Arc<str>,
    stage: Stage,
}

enum Stage {
    Asking(Lookup),
    /// The answer has come and was not looked at.
    Answered(std::result::Result<Vec<IpAddr>, ResolveError>),
    Telling(std::vec::IntoIter<IpAddr>),
    Failed(ErrorCode),
}

impl Addresses {
    fn poll_answered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Stage::Asking(lookup) = &mut self.stage {
            let answer = std::task::ready!(lookup.as_mut().poll(cx));
            self.stage = Stage::Answered(answer);
        }
        Poll::Ready(())
    }
}

impl Host for WasiState {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.check_network(&network)?;
        let addresses = match literal(&name) {
            // Nothing is asked of anybody; the rules speak when it is used.
            Some(address) => Addresses { name: name.into(), stage: Stage::Telling(vec![address].into_iter()) },
            None => {
                let name: Arc<str> = host_name(&name).ok_or(ErrorCode::InvalidArgument)?.into();
                if self.config.network.check_name(&name, None) == NameCheck::Refused {
                    return Err(ErrorCode::AccessDenied.into());
                }
                if !self.config.security.allows("socket.resolve", &name, &[]) {
                    return Err(ErrorCode::AccessDenied.into());
                }
                let lookup = self.config.resolver.resolve(&name);
                let mut addresses = Addresses { name, stage: Stage::Asking(lookup) };
                // It begins now, also when the guest waits for something else first.
                let _ = addresses.poll_answered(&mut Context::from_waker(Waker::noop()));
                addresses
            }
        };
        Ok(theirs(&self.table.push(addresses)?))
    }
}

/// The address that a name may be, in any form that the system's own resolver would take for one.
pub(in crate::wasi) fn literal(name: &str) -> Option<IpAddr> {
    if let Ok(address) = name.parse::<Ipv6Addr>() {
        return Some(IpAddr::V6(address).to_canonical());
    }
    match url::Host::parse(name) {
        Ok(url::Host::Ipv4(address)) => Some(address.into()),
        Ok(url::Host::Ipv6(address)) => Some(IpAddr::V6(address).to_canonical()),
        _ => None,
    }
}

impl HostResolveAddressStream for WasiState {
    fn resolve_next_address(&mut self, stream: Resource<ResolveAddressStream>) -> SocketResult<Option<IpAddress>> {
        let rules = &self.config.network;
        let addresses = self.table.get_mut(&ours::<_, Addresses>(&stream))?;
        if addresses.poll_answered(&mut Context::from_waker(Waker::noop())).is_pending() {
            return Err(ErrorCode::WouldBlock.into());
        }
        if let Stage::Answered(answer) = &mut addresses.stage {
            let name = &addresses.name;
            addresses.stage = match std::mem::replace(answer, Ok(Vec::new())) {
                Ok(mut found) => {
                    let any = !found.is_empty();
                    found.retain(|address| rules.allows_some_port(*address, name));
                    if !rules.allows_everything() {
                        found.iter().for_each(|address| self.known_addresses.add(address.to_canonical(), name));
                    }
                    match found.is_empty() {
                        true if any => Stage::Failed(ErrorCode::AccessDenied),
                        true => Stage::Failed(ErrorCode::NameUnresolvable),
                        false => Stage::Telling(found.into_iter()),
                    }
                }
                Err(ResolveError::NotFound) => Stage::Failed(ErrorCode::NameUnresolvable),
                Err(ResolveError::Temporary) => Stage::Failed(ErrorCode::TemporaryResolverFailure),
                Err(ResolveError::Permanent) => Stage::Failed(ErrorCode::PermanentResolverFailure),
            };
        }
        match &mut addresses.stage {
            Stage::Telling(addresses) => Ok(addresses.next().map(|address| address.to_canonical().into())),
            Stage::Failed(code) => Err((*code).into()),
            Stage::Asking(_) | Stage::Answered(_) => unreachable!("an answer was looked at"),
        }
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> Result<Resource<DynPollable>> {
        subscribe(&mut self.table, ours::<_, Addresses>(&stream))
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> Result<()> {
        self.table.delete(Resource::<Addresses>::new_own(stream.rep()))?;
        Ok(())
    }
}

#[async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {
        wait_for(WaitReason::Lookup, |cx| self.poll_answered(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_not_looked_up() {
        for (text, address) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            // Forms that `inet_aton` takes: a rule about names must not see them.
            ("0x7f.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
        ] {
            assert_eq!(literal(text), Some(address.parse().unwrap()), "{text}");
        }
        for name in ["example.com", "localhost", "a b", ""] {
            assert_eq!(literal(name), None, "{name:?}");
        }
    }
}
