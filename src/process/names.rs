//! Names of processes: one owner each, given back with its end.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::cell::ProcessCell;
use super::message::SignalError;

/// How many names one process may have.
pub const NAMES_MAX: usize = 64;

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// The names of one runtime.
#[derive(Default)]
pub(super) struct Names(RwLock<HashMap<Arc<str>, Arc<ProcessCell>>>);

impl Names {
    /// Gives a name to a process. One that it has already is fine.
    ///
    /// Lock order: the names, then the ties of the process.
    pub(super) fn register(self: &Arc<Self>, name: &str, cell: &Arc<ProcessCell>) -> Result<(), SignalError> {
        valid(name)?;
        let name: Arc<str> = name.into();
        let mut names = self.0.write();
        if let Some(owner) = names.get(&name) {
            return if Arc::ptr_eq(owner, cell) {
                Ok(())
            } else {
                Err(SignalError::NameTaken { name: name.to_string(), owner: owner.pid.clone() })
            };
        }
        let mut ties = cell.ties.lock();
        if ties.has_ended() {
            return Err(SignalError::NoProcess { pid: cell.pid.clone() });
        }
        let own = &mut ties.bonds().names;
        if own.len() >= NAMES_MAX {
            return Err(SignalError::TooMany { pid: cell.pid.clone(), what: "names", allowed: NAMES_MAX });
        }
        own.push((Arc::clone(self), Arc::clone(&name)));
        drop(ties);
        names.insert(name, Arc::clone(cell));
        Ok(())
    }

    /// Takes a name from the process that has it.
    pub(super) fn unregister(&self, name: &str, cell: &Arc<ProcessCell>) -> Result<(), SignalError> {
        let mut names = self.0.write();
        match names.get(name) {
            None => Err(SignalError::NoName { name: name.to_owned() }),
            Some(owner) if !Arc::ptr_eq(owner, cell) => {
                Err(SignalError::NameTaken { name: name.to_owned(), owner: owner.pid.clone() })
            }
            Some(_) => {
                cell.ties.lock().bonds().names.retain(|(_, own)| **own != *name);
                let removed = names.remove(name);
                drop(names);
                drop(removed);
                Ok(())
            }
        }
    }

    /// The end of a process: its name is free again.
    pub(super) fn release(&self, name: &str, cell: &Arc<ProcessCell>) {
        let mut names = self.0.write();
        if names.get(name).is_some_and(|owner| Arc::ptr_eq(owner, cell)) {
            let removed = names.remove(name);
            drop(names);
            drop(removed);
        }
    }

    pub(super) fn lookup(&self, name: &str) -> Option<Arc<ProcessCell>> {
        self.0.read().get(name).cloned()
    }
}

/// A name must not be taken for a pid or a topic of the runtime.
fn valid(name: &str) -> Result<(), SignalError> {
    let why = match name {
        "" => "it is empty",
        name if name.len() > NAME_BYTES_MAX => "it has more than 256 bytes",
        name if name.starts_with('{') => "a text that begins with `{` is a pid",
        name if name.starts_with('@') => "those that begin with `@` are the runtime's own",
        _ => return Ok(()),
    };
    Err(SignalError::InvalidName { name: name.to_owned(), why })
}
