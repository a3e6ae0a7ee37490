//! What the runtime tells a process of others.

use std::sync::Arc;

use super::{Exit, Pid};
use crate::registry::EntryId;

/// Something that happened to a process that this one has to do with, or that somebody wants of this one.
///
/// Events and messages of one process to another arrive in the order in which they were caused: what a process sent before
/// it ended is there before the word of its end.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A process that is monitored has ended; [`FailureKind::NoProcess`](super::FailureKind::NoProcess) when it was gone
    /// before it could be monitored.
    Exit {
        /// Who ended.
        from: Pid,
        /// The entry it was made from; unknown of a process that was gone before.
        entry: Option<EntryId>,
        /// How.
        exit: Arc<Exit>,
    },
    /// A process that is linked with this one ended abnormally. Told only to those who trap links: everybody else ends.
    LinkDown {
        /// Who ended.
        from: Pid,
        /// The entry it was made from.
        entry: Option<EntryId>,
        /// How.
        exit: Arc<Exit>,
    },
    /// Somebody asks this process to end. Nothing is forced by it.
    Cancel {
        /// Who asks; none when it is not a process.
        from: Option<Pid>,
        /// Why.
        reason: String,
    },
}

/// What comes out of a mailbox.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// A message of another process, or of the embedder.
    Message(super::Message),
    /// A word of the runtime.
    Event(Event),
}
