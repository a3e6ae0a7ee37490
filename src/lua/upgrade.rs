//! A process that goes on as another script: what stays, and what it waits for in between.
//!
//! It is the same process for everybody else: its pid, mailbox, monitors, links, names, actor, scope, context and standard streams
//! are as they were, and its limits are those that it was started with and count on. Nothing of the old VM is left when the new
//! one begins: coroutines, channels, listeners, timers, calls and open files end with it. What was not read is for the new script.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::own::Own;
use super::program::Program;
use crate::limits::Charge;
use crate::process::Payload;
use crate::reactor::BlockingCall;

/// What a process wants to go on as.
pub(super) struct Next {
    pub(super) program: Arc<Program>,
    pub(super) input: Vec<Payload>,
    /// For the arguments, which are outside of a VM.
    pub(super) held: Charge,
}

/// A process between two scripts.
pub(super) struct Upgrade {
    pub(super) own: Arc<Own>,
    pub(super) input: Vec<Payload>,
    pub(super) held: Charge,
    /// The old VM, when that is large: both at once would be more than the process may have.
    pub(super) dropping: Option<BlockingCall<()>>,
}

impl Upgrade {
    /// Waits until nothing is left of the old VM.
    pub(super) fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.dropping {
            // A pool that is closed has dropped it all the same.
            Some(dropping) => Pin::new(dropping).poll(context).map(drop),
            None => Poll::Ready(()),
        }
    }
}
