//! `events`: the bus of the runtime. What it tells a script comes in by a port, as messages do.

use std::sync::Arc;

use mlua::{Lua, Table};

use crate::lua::call::{Answer, Args, Reply};
use crate::lua::error::{ErrorObject, Kind};
use crate::lua::own::Own;
use crate::lua::ports::SUBSCRIPTIONS_MAX;
use crate::lua::value;
use crate::lua::vm::Builder;
use crate::process::{BusError, BusEvent};

pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<Table> {
    let fields = builder.lua.create_table()?;
    fields.raw_set("send", builder.function("send", send)?)?;
    let parts = builder.lua.create_table()?;
    parts.raw_set("subscribe", builder.raw("subscribe", subscribe)?)?;
    parts.raw_set(
        "unsubscribe",
        builder.raw("unsubscribe", |_, own, args| {
            own.ports.unsubscribe(args.integer()?);
            Reply::none()
        })?,
    )?;
    parts.raw_set(
        "missed",
        builder.raw("missed", |lua, own, args| Reply::values(lua, own.ports.missed(args.integer()?)))?,
    )?;
    builder.run::<()>("events", include_str!("events.lua"), (builder.core, &fields, parts))?;
    Ok(fields)
}

impl From<BusError> for ErrorObject {
    fn from(error: BusError) -> Self {
        let kind = if error == BusError::TooMany { Kind::RateLimited } else { Kind::Invalid };
        Self::new(kind, error.to_string())
    }
}

fn send(lua: &Lua, own: &Arc<Own>, args: &mut Args) -> Answer {
    let (system, kind, path) = (args.text()?, args.text()?, args.text()?);
    own.peers.check_allowed("events.send", "send events to system", &system)?;
    let data = value::to_payload(&args.next())?;
    own.peers.bus().send(BusEvent::new(system, kind, path).data(data)).map_err(ErrorObject::from)?;
    Reply::values(lua, true)
}

/// Listens to the bus; the number of the port.
fn subscribe(lua: &Lua, own: &Arc<Own>, args: &mut Args) -> Answer {
    let (system, kind) = (args.text()?, args.optional_text()?);
    own.peers.check_allowed("events.subscribe", "subscribe to events of system", &system)?;
    let listening = own.peers.bus().listen(&system, kind.as_deref()).map_err(ErrorObject::from)?;
    match own.ports.subscribe(listening) {
        Some(number) => Reply::values(lua, number),
        None => {
            let message = format!("a process may have {SUBSCRIPTIONS_MAX} subscriptions at once");
            Err(ErrorObject::new(Kind::RateLimited, message).into())
        }
    }
}
