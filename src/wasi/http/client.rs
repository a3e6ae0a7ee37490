//! The client of one host: its connections, idle ones by origin, and their bounds.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use parking_lot::Mutex;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

use super::connect::Origin;
use super::connection::{self, Job};
use super::tls::TlsRoots;
use crate::reactor::Reactor;

/// Default for [`HttpConfig::idle_per_origin_max`]: as many as a busy entry uses at once, mostly.
pub const IDLE_PER_ORIGIN_MAX: usize = 32;

/// Default for [`HttpConfig::idle_max`]: descriptors that are worth keeping for speed alone.
pub const IDLE_MAX: usize = 256;

/// Default for [`HttpConfig::connections_max`]: below the usual hard limit of descriptors of a program.
pub const CONNECTIONS_MAX: usize = 16 * 1024;

/// Default for [`HttpConfig::idle_time`]: servers close idle connections after one to two minutes.
pub const IDLE_TIME: Duration = Duration::from_secs(60);

/// Default for each time limit of a request that sets none: ten minutes, as other hosts have it.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);

/// Runs futures beside guests: TLS and HTTP need more stack than a guest's fiber has to spare.
pub trait Spawner: Send + Sync + 'static {
    /// Runs `future` to its end. One that can't be run is dropped, and whoever waits for it sees that.
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>);
}

/// The bounds and the surroundings of a [`HttpClient`]; the defaults are the named constants of this room.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Most connections that wait for the next request to the same server of the same entry. More are closed.
    pub idle_per_origin_max: usize,
    /// Most connections that wait for the next request in all. More are closed.
    pub idle_max: usize,
    /// How long a connection waits for the next request.
    pub idle_time: Duration,
    /// Most connections in all; a request that needs one more fails with `connection-limit-reached`.
    pub connections_max: usize,
    /// Time for lookup, connection and TLS, for requests without `connect-timeout`.
    pub connect_timeout: Duration,
    /// Time from the start of a request to the head of its response, for requests without `first-byte-timeout`.
    pub first_byte_timeout: Duration,
    /// Time to wait for the next bytes of a body, for requests without `between-bytes-timeout`.
    pub between_bytes_timeout: Duration,
    /// Whom servers are checked against.
    pub roots: TlsRoots,
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            idle_per_origin_max: IDLE_PER_ORIGIN_MAX,
            idle_max: IDLE_MAX,
            idle_time: IDLE_TIME,
            connections_max: CONNECTIONS_MAX,
            connect_timeout: REQUEST_TIMEOUT,
            first_byte_timeout: REQUEST_TIMEOUT,
            between_bytes_timeout: REQUEST_TIMEOUT,
            roots: TlsRoots::default(),
        }
    }
}

impl std::fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpConfig")
            .field("idle_per_origin_max", &self.idle_per_origin_max)
            .field("idle_max", &self.idle_max)
            .field("idle_time", &self.idle_time)
            .field("connections_max", &self.connections_max)
            .field("roots", &self.roots)
            .finish_non_exhaustive()
    }
}

/// What a client is doing. A snapshot: other threads go on meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpStats {
    /// Connections, those under way included.
    pub connections: usize,
    /// Those of them that wait for a next request.
    pub idle: usize,
    /// Connections begun since the client was made.
    pub opened: u64,
}

/// Sends the requests of guests. Clones are the same client: the processes of one host share it, and with it the idle
/// connections of their entry.
///
/// ```
/// use std::future::Future;
/// use std::pin::Pin;
/// use std::sync::Arc;
/// use wippy::reactor::{Clock, Reactor, ReactorConfig};
/// use wippy::wasi::{HttpClient, HttpConfig, Spawner, WasiConfig};
///
/// /// Hands futures to the executor of the program.
/// struct Executor;
///
/// impl Spawner for Executor {
///     fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
///         # drop(future);
///         // my_executor.spawn(future)
///     }
/// }
///
/// let reactor = Reactor::new(Clock::real(), ReactorConfig::default())?;
/// let client = HttpClient::new(reactor, Arc::new(Executor), HttpConfig::default());
/// let config = WasiConfig { http: Some(client.clone()), ..WasiConfig::default() };
/// assert_eq!(client.stats().connections, 0);
/// # drop(config);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct HttpClient(Arc<Inner>);

struct Inner {
    reactor: Arc<Reactor>,
    spawner: Arc<dyn Spawner>,
    config: HttpConfig,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    /// Idle connections, the one that was used last at the end.
    idle: HashMap<Origin, Vec<Idle>>,
    idle_count: usize,
    connections: usize,
    opened: u64,
    next_place: u64,
}

/// A connection that waits for a job.
struct Idle {
    place: u64,
    give: oneshot::Sender<Job>,
}

impl Pool {
    fn take(&mut self, origin: &Origin) -> Option<oneshot::Sender<Job>> {
        let waiting = self.idle.get_mut(origin)?;
        let idle = waiting.pop()?;
        if waiting.is_empty() {
            self.idle.remove(origin);
        }
        self.idle_count -= 1;
        Some(idle.give)
    }

    /// Any idle connection, to make room for a new one.
    fn take_any(&mut self) -> Option<oneshot::Sender<Job>> {
        let origin = self.idle.keys().next()?.clone();
        self.take(&origin)
    }
}

impl HttpClient {
    /// A client whose connections are watched by `reactor` and run by `spawner`.
    #[must_use]
    pub fn new(reactor: Arc<Reactor>, spawner: Arc<dyn Spawner>, config: HttpConfig) -> HttpClient {
        HttpClient(Arc::new(Inner { reactor, spawner, config, pool: Mutex::default() }))
    }

    /// What it is doing now.
    #[must_use]
    pub fn stats(&self) -> HttpStats {
        let pool = self.0.pool.lock();
        HttpStats { connections: pool.connections, idle: pool.idle_count, opened: pool.opened }
    }

    pub(super) fn reactor(&self) -> &Arc<Reactor> {
        &self.0.reactor
    }

    pub(super) fn config(&self) -> &HttpConfig {
        &self.0.config
    }

    /// Sends a job over an idle connection to its origin, or over a new one.
    pub(super) fn send(&self, origin: Origin, mut job: Job) {
        loop {
            let Some(give) = self.0.pool.lock().take(&origin) else { break };
            match give.send(job) {
                Ok(()) => return,
                // It has just ended.
                Err(back) => job = back,
            }
        }
        let Some(open) = Open::new(self) else {
            job.answer(Err(ErrorCode::ConnectionLimitReached));
            return;
        };
        self.0.spawner.spawn(Box::pin(connection::run(open, origin, job)));
    }
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient")
            .field("config", &self.0.config)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// A connection's place in the count of all; held by its task.
pub(super) struct Open {
    pub(super) client: HttpClient,
}

impl Open {
    fn new(client: &HttpClient) -> Option<Open> {
        let mut pool = client.0.pool.lock();
        let full = pool.connections >= client.0.config.connections_max;
        let evicted = if full { Some(pool.take_any()?) } else { None };
        pool.connections += 1;
        pool.opened += 1;
        drop(pool);
        // Outside the lock: it wakes the connection, which ends.
        drop(evicted);
        Some(Open { client: client.clone() })
    }

    /// Offers this connection for the next job to `origin`. `None` when enough are idle already.
    pub(super) fn offer(&self, origin: &Origin) -> Option<Offer> {
        let Inner { config, pool, .. } = &*self.client.0;
        let mut pool = pool.lock();
        let waiting = pool.idle.get(origin).map_or(0, Vec::len);
        if pool.idle_count >= config.idle_max || waiting >= config.idle_per_origin_max {
            return None;
        }
        let (give, job) = oneshot::channel();
        pool.next_place += 1;
        pool.idle_count += 1;
        let place = pool.next_place;
        pool.idle.entry(origin.clone()).or_default().push(Idle { place, give });
        Some(Offer { place, job })
    }

    /// Takes an offer back; a job that came meanwhile is sent another way.
    pub(super) fn withdraw(&self, origin: &Origin, mut offer: Offer) {
        let mut pool = self.client.0.pool.lock();
        let mut withdrawn = None;
        if let Some(waiting) = pool.idle.get_mut(origin)
            && let Some(at) = waiting.iter().position(|idle| idle.place == offer.place)
        {
            withdrawn = Some(waiting.remove(at));
            if waiting.is_empty() {
                pool.idle.remove(origin);
            }
            pool.idle_count -= 1;
        }
        drop(pool);
        drop(withdrawn);
        offer.job.close();
        if let Ok(Some(job)) = offer.job.try_recv() {
            self.client.send(origin.clone(), job);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.client.0.pool.lock().connections -= 1;
    }
}

/// An idle connection's side of its place in the pool.
pub(super) struct Offer {
    place: u64,
    /// The next job; cancelled when the pool needs the place.
    pub(super) job: oneshot::Receiver<Job>,
}
