//! Names to addresses: the one call of the network that has no readiness.

use std::future::Future;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;

use crate::reactor::{BlockingConfig, BlockingError, BlockingPool, BlockingStats, assert_may_block};

/// Most lookups at once: name servers answer side by side, and each lookup holds a thread while it waits.
pub const LOOKUPS_MAX: usize = 16;

/// Most lookups that wait for one of these; further ones wait in their guests.
pub const LOOKUPS_QUEUED_MAX: usize = 1024;

/// Most lookups of processes that have ended whose threads are replaced meanwhile: a silent name server holds each for half a
/// minute.
pub const ABANDONED_LOOKUPS_MAX: usize = 64;

/// The answer of a [`Resolver`], on its way. Dropping it gives the lookup up.
pub type Lookup = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, ResolveError>> + Send>>;

/// Why a name has no addresses.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name does not exist, or has no address.
    #[error("the name has no address")]
    NotFound,
    /// Another attempt may succeed.
    #[error("the name server can't be asked now")]
    Temporary,
    /// Another attempt will not succeed.
    #[error("the lookup failed")]
    Permanent,
}

/// Who finds the addresses of names for guests.
///
/// ```
/// use std::net::IpAddr;
/// use wippy::wasi::{Lookup, ResolveError, Resolver};
///
/// /// Knows one name.
/// struct Hosts;
///
/// impl Resolver for Hosts {
///     fn resolve(&self, name: &str) -> Lookup {
///         let known = name == "echo.test";
///         Box::pin(async move { if known { Ok(vec![IpAddr::from([127, 0, 0, 1])]) } else { Err(ResolveError::NotFound) } })
///     }
/// }
/// ```
pub trait Resolver: Send + Sync + 'static {
    /// Finds the addresses of `name`, best first; `name` is a host name in ASCII, never an address. The future is polled by
    /// the guest's task and must not block.
    fn resolve(&self, name: &str) -> Lookup;
}

/// A resolver that finds nothing: the default of a configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _name: &str) -> Lookup {
        Box::pin(async { Err(ResolveError::Permanent) })
    }
}

/// The system's resolver (`getaddrinfo`), on threads of its own: a silent name server can't hold those that files need.
///
/// At most [`LOOKUPS_MAX`] lookups run at once and [`LOOKUPS_QUEUED_MAX`] wait. A lookup whose process ends is abandoned:
/// it counts in [`BlockingStats::abandoned_jobs`] until the system gives up, and at most [`ABANDONED_LOOKUPS_MAX`] of such
/// are replaced. Clones are the same resolver. No thread exists before the first lookup.
#[derive(Clone, Debug)]
pub struct SystemResolver {
    pool: BlockingPool,
}

impl Default for SystemResolver {
    fn default() -> SystemResolver {
        SystemResolver {
            pool: BlockingPool::new(BlockingConfig {
                threads_max: LOOKUPS_MAX,
                queue_max: LOOKUPS_QUEUED_MAX,
                abandoned_jobs_max: ABANDONED_LOOKUPS_MAX,
                ..BlockingConfig::default()
            }),
        }
    }
}

impl SystemResolver {
    /// What its threads are doing.
    #[must_use]
    pub fn stats(&self) -> BlockingStats {
        self.pool.stats()
    }
}

impl Resolver for SystemResolver {
    fn resolve(&self, name: &str) -> Lookup {
        let name: Arc<str> = name.into();
        let lookup = self.pool.run(move || look_up(&name));
        Box::pin(async move {
            match lookup.await {
                Ok(found) => found,
                Err(BlockingError::NoThread(_)) => Err(ResolveError::Temporary),
                Err(_) => Err(ResolveError::Permanent),
            }
        })
    }
}

fn look_up(name: &str) -> Result<Vec<IpAddr>, ResolveError> {
    assert_may_block();
    match (name, 0).to_socket_addrs() {
        Ok(found) => {
            let mut addresses = Vec::new();
            for address in found.map(|address| address.ip().to_canonical()) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            if addresses.is_empty() { Err(ResolveError::NotFound) } else { Ok(addresses) }
        }
        Err(error) => Err(failure_of(&error)),
    }
}

/// The standard library keeps the resolver's own error as text only, which is the C library's and not translated, since this
/// program sets no locale. What is not recognised is the usual failure: no such name.
fn failure_of(error: &io::Error) -> ResolveError {
    let text = error.to_string();
    if text.contains("Temporary failure") || text.contains("try again") {
        ResolveError::Temporary
    } else if text.contains("Non-recoverable failure") || error.raw_os_error().is_some() {
        ResolveError::Permanent
    } else {
        ResolveError::NotFound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasi::testing::block_on;

    #[test]
    fn the_system_knows_this_machine() {
        let resolver = SystemResolver::default();
        assert_eq!(resolver.stats().threads, 0);
        let found = block_on(resolver.resolve("localhost")).unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert_eq!(resolver.stats().finished, 1);
    }

    #[test]
    fn failures_are_told_apart() {
        let of = |text: &str| failure_of(&io::Error::other(format!("failed to lookup address information: {text}")));
        assert!(matches!(of("Name or service not known"), ResolveError::NotFound));
        assert!(matches!(of("Temporary failure in name resolution"), ResolveError::Temporary));
        assert!(matches!(of("Non-recoverable failure in name resolution"), ResolveError::Permanent));
        assert!(matches!(failure_of(&io::Error::from_raw_os_error(24)), ResolveError::Permanent));
    }
}
