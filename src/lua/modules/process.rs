//! `process`: other processes, messages and events.

mod exec;
mod upgrade;

use std::sync::Arc;

use mlua::{Lua, Table, Value};

use super::manner::Manner;
use crate::lua::call::{Answer, Args, Refusal, Reply};
use crate::lua::error::{ErrorObject, Kind};
use crate::lua::own::Own;
use crate::lua::ports::{EVENTS, INBOX, LISTENERS_MAX};
use crate::lua::value;
use crate::lua::vm::Builder;
use crate::process::{Message, Peers, Pid, SignalError, Start};
use crate::registry::EntryId;

/// What the messages of events are called.
const EVENTS_BY_NAME: [(&str, &str); 3] =
    [("CANCEL", "pid.cancel"), ("EXIT", "pid.exit"), ("LINK_DOWN", "pid.link.down")];

/// The reaches of a name in a cluster. Here there is one node, so all of them are the same.
const SCOPES: [(&str, i64); 4] = [("LOCAL", 0), ("EVENTUAL", 1), ("CONSISTENT", 2), ("STRONG", 3)];

pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<Table> {
    let lua = builder.lua;
    let fields = lua.create_table()?;
    let set = |name: &'static str, body: fn(&Lua, &Arc<Own>, &mut Args) -> Answer| -> mlua::Result<()> {
        fields.raw_set(name, builder.function(name, body)?)
    };
    set("pid", |lua, own, _| Reply::values(lua, own.pid().to_string()))?;
    set("id", |lua, own, _| Reply::values(lua, own.entry.to_string()))?;
    set("send", send)?;
    set("cancel", |lua, own, args| {
        let target = target(own, args)?;
        let reason = args.optional_text()?.unwrap_or_default();
        done(lua, own.peers.cancel(&target, &reason))
    })?;
    set("terminate", |lua, own, args| to_peer(lua, own, args, Peers::terminate))?;
    set("monitor", |lua, own, args| to_peer(lua, own, args, Peers::monitor))?;
    set("unmonitor", |lua, own, args| to_peer(lua, own, args, Peers::unmonitor))?;
    set("link", |lua, own, args| to_peer(lua, own, args, Peers::link))?;
    set("unlink", |lua, own, args| to_peer(lua, own, args, Peers::unlink))?;
    set("get_options", |lua, own, _| {
        let options = lua.create_table()?;
        options.raw_set("trap_links", own.inbox.traps_links())?;
        Reply::values(lua, options)
    })?;
    set("set_options", set_options)?;
    fields.raw_set("event", named(lua, &EVENTS_BY_NAME)?)?;
    fields.raw_set("registry", registry(builder)?)?;
    let parts = lua.create_table()?;
    parts.raw_set("start", builder.raw("spawn", spawn)?)?;
    parts.raw_set("exec", builder.raw("exec", exec::exec)?)?;
    parts.raw_set("upgrade", builder.raw("upgrade", upgrade::upgrade)?)?;
    parts.raw_set("listen", builder.raw("listen", listen)?)?;
    parts.raw_set(
        "unlisten",
        builder.raw("unlisten", |_, own, args| {
            own.ports.unlisten(args.integer()?);
            Reply::none()
        })?,
    )?;
    parts.raw_set("inbox", INBOX)?;
    parts.raw_set("events", EVENTS)?;
    builder.run::<()>("process", include_str!("process.lua"), (builder.core, &fields, parts))?;
    Ok(fields)
}

fn named<'a, T: mlua::IntoLua + Copy + 'a>(lua: &Lua, values: &'a [(&'a str, T)]) -> mlua::Result<Table> {
    lua.create_table_from(values.iter().copied())
}

/// `true`, or what a signal became.
fn done(lua: &Lua, result: Result<(), SignalError>) -> Answer {
    result?;
    Reply::values(lua, true)
}

/// The process that an argument means: a pid, or a name.
fn target(own: &Own, args: &mut Args) -> Result<Pid, Refusal> {
    let text = args.text()?;
    // No name begins like this, so what is wrong with it as a pid is worth more than that nobody is called so.
    if text.starts_with('{') {
        return text.parse().map_err(|error: crate::process::PidError| ErrorObject::invalid(error.to_string()).into());
    }
    Ok(own.peers.resolve(&text)?)
}

fn to_peer(lua: &Lua, own: &Arc<Own>, args: &mut Args, deed: fn(&Peers, &Pid) -> Result<(), SignalError>) -> Answer {
    let target = target(own, args)?;
    done(lua, deed(&own.peers, &target))
}

fn send(lua: &Lua, own: &Arc<Own>, args: &mut Args) -> Answer {
    let target = target(own, args)?;
    let topic = args.text()?;
    if topic.starts_with('@') {
        return Err(ErrorObject::invalid("cannot send to @ topics").into());
    }
    let message = Message::new(topic.parse()?, args.payloads()?);
    done(lua, own.peers.send(&target, message))
}

fn set_options(lua: &Lua, own: &Arc<Own>, args: &mut Args) -> Answer {
    let options = args.table()?;
    let mut trap = None;
    for pair in options.pairs::<Value, Value>() {
        match pair? {
            (Value::String(name), Value::Boolean(value)) if name == "trap_links" => trap = Some(value),
            (Value::String(name), _) if name == "trap_links" => {
                return Err(ErrorObject::invalid("option trap_links must be true or false").into());
            }
            (name, _) => {
                let name = value::text_of(&name);
                return Err(ErrorObject::invalid(format!("option {name} is not supported")).into());
            }
        }
    }
    if let Some(trap) = trap {
        own.inbox.trap_links(trap);
    }
    Reply::values(lua, true)
}

/// An entry or a host that an argument names in full.
fn entry(text: &str) -> Result<EntryId, Refusal> {
    text.parse::<EntryId>().map_err(|error| ErrorObject::invalid(error.to_string()).into())
}

/// A start from its settings, an entry, a host and arguments.
fn start(args: &mut Args) -> Result<(Start, Table), Refusal> {
    let settings = args.aside()?;
    if args.left() < 2 {
        let function: String = settings.raw_get("called")?;
        return Err(Refusal::raise(format!("{function} requires at least id and host arguments")));
    }
    let (id, host) = (args.text()?, args.text()?);
    let mut start = Start::new(entry(&id)?, entry(&host)?).input(args.payloads()?);
    start.name = settings.raw_get("name")?;
    let Manner { context, actor, scope } = Manner::of(&settings)?;
    (start.context, start.actor, start.scope) = (context, actor, scope);
    start.trap_links = settings.raw_get::<Option<bool>>("trap_links")?.unwrap_or_default();
    let messages: Option<Table> = settings.raw_get("messages")?;
    for message in messages.iter().flat_map(Table::sequence_values::<Table>) {
        let message = message?;
        let topic: String = message.raw_get("topic")?;
        let payloads: Table = message.raw_get("payloads")?;
        let count: i64 = message.raw_get("count")?;
        let payloads = (1..=count)
            .map(|at| Ok(value::to_payload(&payloads.raw_get(at)?)?))
            .collect::<Result<Vec<_>, Refusal>>()?;
        start.messages.push(Message::new(topic.parse()?, payloads));
    }
    Ok((start, settings))
}

/// Starts a process: settings, entry, host, arguments.
fn spawn(lua: &Lua, own: &Arc<Own>, args: &mut Args) -> Answer {
    let (mut start, settings) = start(args)?;
    let is_set = |name: &str| settings.raw_get::<Option<bool>>(name).map(Option::unwrap_or_default);
    start.monitored_by = is_set("monitor")?.then(|| own.pid().clone());
    start.linked_with = is_set("link")?.then(|| own.pid().clone());
    let pid = own.peers.spawn(start)?;
    Reply::values(lua, pid.to_string())
}

fn listen(lua: &Lua, own: &Arc<Own>, args: &mut Args) -> Answer {
    let topic = args.text()?;
    let options = args.optional_table()?;
    let whole = options.map_or(Ok(None), |options| options.raw_get::<Option<bool>>("message"))?.unwrap_or_default();
    if topic.is_empty() || topic.starts_with('@') {
        return Err(ErrorObject::invalid(format!("`{topic}` is no topic to listen to")).into());
    }
    match own.ports.listen(topic, whole) {
        Some(number) => Reply::values(lua, number),
        None => {
            let message = format!("a process may listen to {LISTENERS_MAX} topics at once");
            Err(ErrorObject::new(Kind::RateLimited, message).into())
        }
    }
}

fn registry(builder: &Builder<'_>) -> mlua::Result<Table> {
    let lua = builder.lua;
    let fields = named(lua, &SCOPES)?;
    fields.raw_set(
        "register",
        builder.function("register", |lua, own, args| {
            let name = args.text()?;
            let pid = match args.optional_text()? {
                Some(text) => {
                    text.parse().map_err(|error: crate::process::PidError| ErrorObject::invalid(error.to_string()))?
                }
                None => own.pid().clone(),
            };
            done(lua, own.peers.register(&name, &pid))
        })?,
    )?;
    fields.raw_set(
        "lookup",
        builder.function("lookup", |lua, own, args| {
            let name = args.text()?;
            match own.peers.lookup(&name) {
                Some(pid) => Reply::values(lua, pid.to_string()),
                None => Err(ErrorObject::new(Kind::NotFound, format!("name not registered: {name}")).into()),
            }
        })?,
    )?;
    fields.raw_set(
        "unregister",
        builder.function("unregister", |lua, own, args| {
            let name = args.text()?;
            done(lua, own.peers.unregister(&name))
        })?,
    )?;
    Ok(fields)
}
