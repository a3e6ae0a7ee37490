//! What a function of an embedder knows of the process that calls it, and how it fails.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::function::{Call, WeakFunctions};
use crate::limits::Usage;
use crate::process::{Payload, Peers, Pid};
use crate::reactor::{Clock, Reactor, Sleep};
use crate::registry::EntryId;

/// The process that calls a host function. Cheap to clone, so that what waits can keep it.
#[derive(Clone)]
pub struct HostContext(Arc<Caller>);

struct Caller {
    entry: EntryId,
    peers: Peers,
    usage: Arc<Usage>,
    reactor: Arc<Reactor>,
    functions: WeakFunctions,
}

impl HostContext {
    pub(in crate::wasm) fn new(
        entry: EntryId,
        peers: Peers,
        usage: Arc<Usage>,
        reactor: Arc<Reactor>,
        functions: WeakFunctions,
    ) -> Self {
        Self(Arc::new(Caller { entry, peers, usage, reactor, functions }))
    }

    /// Its name.
    #[must_use]
    pub fn pid(&self) -> &Pid {
        self.0.peers.pid()
    }

    /// The entry it is made from.
    #[must_use]
    pub fn entry(&self) -> &EntryId {
        &self.0.entry
    }

    /// The other processes, as far as its entry and its policies let it have to do with them.
    #[must_use]
    pub fn peers(&self) -> &Peers {
        &self.0.peers
    }

    /// Its limits, and what it has used of them.
    #[must_use]
    pub fn usage(&self) -> &Usage {
        &self.0.usage
    }

    /// The clock of its runtime.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.0.reactor.clock()
    }

    /// Ready after this time on that clock; dropping it costs nothing.
    pub fn sleep(&self, time: Duration) -> Sleep {
        self.0.reactor.sleep(time)
    }

    /// Calls a function of the application on behalf of the process, as its policies allow.
    pub fn call(&self, function: &str, input: impl IntoIterator<Item = impl Into<Payload>>) -> Call {
        self.0.functions.call(&self.0.peers, function, input.into_iter().map(Into::into).collect())
    }
}

impl fmt::Debug for HostContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostContext").field("pid", self.pid()).field("entry", self.entry()).finish_non_exhaustive()
    }
}

/// Why a host function has no answer: it ends the process that called, with [`Exit::Failed`](crate::process::Exit::Failed).
///
/// What the guest shall handle itself is no such error but a `Result` in the signature. Every error converts into this one:
///
/// ```
/// use wippy::wasm::HostError;
///
/// fn port(text: &str) -> Result<u16, HostError> {
///     Ok(text.parse()?)
/// }
/// assert_eq!(port("x").unwrap_err().to_string(), "invalid digit found in string");
/// ```
#[derive(Debug)]
pub struct HostError(String);

impl HostError {
    /// An error with this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for HostError {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self(text)
    }
}
