//! The runtimes of this user as they are now, for the commands that look at them.

use super::args::RuntimeArg;
use super::report::{CommandError, Terminal};
use crate::control::{self, ControlError, Folders, Peer, ProcessInfo, RuntimeInfo};

/// A runtime that answered.
pub(super) struct Seen {
    pub(super) peer: Peer,
    pub(super) runtime: RuntimeInfo,
    pub(super) processes: Vec<ProcessInfo>,
}

/// All runtimes that answer, or those that `wanted` names, in the order of their names. Those that do not answer are told of
/// in `warnings`, which is a line for each.
pub(super) fn look(wanted: &RuntimeArg, warnings: &mut Vec<String>) -> Vec<Seen> {
    let (peers, problems) = control::runtimes(&Folders::of_user());
    warnings.extend(problems.iter().map(ToString::to_string));
    let mut seen = Vec::new();
    for peer in peers.into_iter().filter(|peer| wanted.names(peer)) {
        match peer.processes() {
            Ok((runtime, processes)) => seen.push(Seen { peer, runtime, processes }),
            // Between the look at the folder and the question.
            Err(ControlError::Gone) => {}
            Err(error) => warnings.push(format!("runtime `{}`: {error}", peer.id())),
        }
    }
    seen
}

/// [`look`], once: warnings go to stderr, and no runtime at all is an error.
///
/// # Errors
/// There is no such runtime.
pub(super) fn look_once(wanted: &RuntimeArg, terminal: Terminal) -> Result<Vec<Seen>, CommandError> {
    let mut warnings = Vec::new();
    let seen = look(wanted, &mut warnings);
    for warning in warnings {
        terminal.err(&format!("warning: {warning}\n"));
    }
    if seen.is_empty() { Err(nobody(wanted)) } else { Ok(seen) }
}

fn nobody(wanted: &RuntimeArg) -> CommandError {
    match &wanted.id {
        Some(id) => CommandError::failed(format!("no runtime `{id}` is running"))
            .help("without `--runtime`, `wippy ps` shows those of all runtimes"),
        None => CommandError::failed("no runtime of this user is running")
            .help("`wippy run` starts one; a command is seen once it has run for 100 ms"),
    }
}

impl RuntimeArg {
    fn names(&self, peer: &Peer) -> bool {
        self.id.as_ref().is_none_or(|id| *id == peer.id() || *id == peer.program().to_string())
    }
}
