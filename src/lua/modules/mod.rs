//! The modules that scripts may use: one file each, with a function `install` that makes its table.
//!
//! A module's function is made by [`Builder::function`](super::vm::Builder::function): it reads its arguments with
//! [`Args`](super::call::Args) and answers with a [`Reply`](super::call::Reply): values at once, or a wait, which suspends the
//! calling coroutine and nobody else. What fails comes back as `nil` and an error object, or is raised, see
//! [`Refusal`](super::call::Refusal). No function calls a function of a script: C frames below a script can't be suspended.
//! Where that is wanted, for an iterator or a callback, it is done in a Lua part beside the file, which has `core` and the
//! module's table and passes answers of `Builder::raw` through `core.settle`.

mod channel;
mod ctx;
mod env;
mod errors;
mod events;
mod fs;
mod funcs;
mod io;
mod json;
mod logger;
mod manner;
mod object;
mod payload;
mod process;
mod security;
mod time;

use std::collections::HashMap;

use mlua::{Function, Lua, Table, Value};

use super::chunks::LIBRARIES;
use super::vm::Builder;
pub(super) use payload::PayloadObject;
pub(super) use time::{Moment, Span, prepare as prepare_time, text_of as text_of_time};

/// Makes the table of a module.
type Install = fn(&Builder<'_>) -> mlua::Result<Table>;

/// A module.
struct Module {
    name: &'static str,
    install: Install,
    /// Whether it is there without being listed.
    is_global: bool,
    /// Whether its Lua part works with channels, timers, or the settings that calls and starts share.
    waits: bool,
}

/// The module that those need that wait.
const CHANNEL: &str = "channel";

const MODULES: &[Module] = &[
    Module { name: "channel", install: channel::install, is_global: true, waits: false },
    Module { name: "ctx", install: ctx::install, is_global: false, waits: false },
    Module { name: "env", install: env::install, is_global: false, waits: false },
    Module { name: "errors", install: errors::install, is_global: true, waits: false },
    Module { name: "events", install: events::install, is_global: false, waits: true },
    Module { name: "fs", install: fs::install, is_global: false, waits: false },
    Module { name: "funcs", install: funcs::install, is_global: false, waits: true },
    Module { name: "io", install: io::install, is_global: false, waits: false },
    Module { name: "json", install: json::install, is_global: false, waits: false },
    Module { name: "logger", install: logger::install, is_global: false, waits: false },
    Module { name: "payload", install: payload::install, is_global: true, waits: false },
    Module { name: "process", install: process::install, is_global: true, waits: true },
    Module { name: "security", install: security::install, is_global: false, waits: false },
    Module { name: "time", install: time::install, is_global: false, waits: true },
];

/// The modules that Wippy has besides: for databases, networks, other formats.
const FOREIGN: &[&str] = &[
    "archive",
    "base64",
    "btea",
    "cdc",
    "cloudstorage",
    "compress",
    "contract",
    "crypto",
    "eval",
    "eval_runner",
    "eval_sandbox",
    "excel",
    "exec",
    "expr",
    "hash",
    "html",
    "http",
    "http_client",
    "hub",
    "lsp",
    "metrics",
    "otel",
    "pg",
    "queue",
    "registry",
    "sql",
    "store",
    "stream",
    "system",
    "templates",
    "text",
    "toml",
    "treesitter",
    "tty",
    "upstream",
    "uuid",
    "websocket",
    "workflow",
    "yaml",
];

/// Whether Wippy has a module of this name that is none of ours.
pub(super) fn is_foreign(name: &str) -> bool {
    FOREIGN.contains(&name)
}

/// The module of this name, in our own letters.
pub(super) fn find(name: &str) -> Option<&'static str> {
    names().find(|known| *known == name)
}

/// Every module there is.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    MODULES.iter().map(|module| module.name)
}

/// The modules that a VM has.
pub(super) struct Known(HashMap<&'static str, Value>);

impl Known {
    /// A table of these.
    pub(super) fn table(&self, lua: &Lua, names: &[&'static str]) -> mlua::Result<Table> {
        let table = lua.create_table()?;
        for name in names {
            table.raw_set(*name, self.0.get(name))?;
        }
        Ok(table)
    }

    /// Adds those that are there without being listed.
    pub(super) fn add_globals(&self, table: &Table) -> mlua::Result<()> {
        MODULES
            .iter()
            .filter(|module| module.is_global)
            .try_for_each(|module| table.raw_set(module.name, self.0.get(module.name)))
    }
}

/// The modules that are listed, and those that are always there. Each is made when a script first reads something of it.
pub(super) fn install(core: &Table, listed: impl Iterator<Item = &'static str>) -> mlua::Result<Known> {
    let listed: Vec<&'static str> = listed.collect();
    let lazy: Function = core.raw_get("lazy")?;
    let wanted = MODULES.iter().filter(|module| module.is_global || listed.contains(&module.name));
    wanted.map(|module| Ok((module.name, lazy.call(module.name)?))).collect::<mlua::Result<_>>().map(Known)
}

/// Makes the table of a module, or of a library of the prelude.
pub(super) fn build(builder: &Builder<'_>, name: &str) -> mlua::Result<Table> {
    if let Some((_, chunk, source)) = LIBRARIES.iter().find(|(library, ..)| *library == name) {
        return builder.run(chunk, source, builder.core);
    }
    let missing = || mlua::Error::runtime(format!("there is no module `{name}`"));
    let module = MODULES.iter().find(|module| module.name == name).ok_or_else(missing)?;
    if module.waits {
        builder.core.raw_get::<Function>("need")?.call::<()>(CHANNEL)?;
    }
    let fields = (module.install)(builder)?;
    if name == CHANNEL {
        time::install_after(builder)?;
        manner::install(builder)?;
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_is_not_told_to_be_missing() {
        let both: Vec<_> = names().filter(|name| is_foreign(name)).collect();
        assert!(both.is_empty(), "{both:?}");
    }
}
