//! The standard streams of this program.

use std::sync::{Arc, OnceLock};

use super::{ProgramInput, Terminal};
use crate::reactor::Reactor;

/// The standard streams of this program, shared by all processes that have them: one queue of output, one buffer of
/// input. Made with the first such process, over the blocking pool that all hosts share.
#[derive(Default)]
pub(crate) struct ProgramStreams(OnceLock<(Terminal, ProgramInput)>);

impl ProgramStreams {
    pub(crate) fn get(&self, reactor: &Arc<Reactor>) -> &(Terminal, ProgramInput) {
        self.0.get_or_init(|| (Terminal::program(reactor), ProgramInput::stdin(reactor)))
    }
}
