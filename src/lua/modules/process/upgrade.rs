//! `process.upgrade`: the process goes on as another script.

use std::sync::Arc;

use mlua::{Lua, Value};

use crate::lua::call::{Answer, Args, Refusal, Reply};
use crate::lua::error::{ErrorObject, Kind};
use crate::lua::own::Own;
use crate::lua::program::Program;
use crate::lua::upgrade::Next;
use crate::lua::value;
use crate::process::{Exit, Failure, FailureKind, Payload};
use crate::registry::EntryId;

/// Whatever is wrong with it ends the process, as Wippy has it: what follows the call is not written to be run. Only what a
/// policy denies is answered.
pub(super) fn upgrade(lua: &Lua, own: &Arc<Own>, args: &mut Args) -> Answer {
    let text = match args.next() {
        Value::Nil => None,
        Value::String(text) if text.as_bytes().is_empty() => None,
        Value::String(text) => Some(text.to_string_lossy()),
        other => return Err(args.bad(format_args!("an entry or nil expected, got {}", other.type_name()))),
    };
    match next(lua, own, text, args) {
        Ok(next) => Ok(Reply::Upgrade(Box::new(next))),
        Err(Refusal::Error(error)) if error.kind != Kind::PermissionDenied => {
            let message = format!("upgrade: {}", error.message);
            let failure = Failure::new(FailureKind::Script, format!("`{}`: {message}", own.entry));
            let error = value::error_to_payload(&ErrorObject { message, ..*error });
            own.end(Exit::Failed(failure.of_error(error)))
        }
        Err(refusal) => Err(refusal),
    }
}

fn next(lua: &Lua, own: &Arc<Own>, text: Option<String>, args: &mut Args) -> Result<Next, Refusal> {
    let entry = match text {
        Some(text) => text.parse().map_err(|error| ErrorObject::invalid(format!("{error}")))?,
        None => own.entry.clone(),
    };
    own.peers.check_upgrade(&entry)?;
    if own.peers.calls().depth() > 0 {
        return Err(ErrorObject::invalid("a function can't become another process: whoever called it waits").into());
    }
    let program = program(own, &entry)?;
    let input = args.payloads()?;
    let held = own.hold(lua, input.iter().map(Payload::size).sum())?;
    Ok(Next { program, input, held })
}

/// The script of an entry.
fn program(own: &Own, entry: &EntryId) -> Result<Arc<Program>, Refusal> {
    let programs = own.shared.programs.get();
    if let Some(program) = programs.and_then(|programs| programs.get(entry)?.upgrade()) {
        return Ok(program);
    }
    own.peers.knows(entry)?;
    Err(ErrorObject::invalid(format!("`{entry}` is no `process.lua`, and a script can't become anything else")).into())
}
