//! `env`: the variables that the application declares.

use std::sync::Arc;

use mlua::{Lua, Table};

use crate::env::EnvError;
use crate::lua::call::{Answer, Args, Refusal, Reply};
use crate::lua::error::{ErrorObject, Kind};
use crate::lua::own::Own;
use crate::lua::pool::on_pool;
use crate::lua::vm::Builder;
use crate::registry::EntryId;
use crate::security::{Attributes, Decision, Denied, Request};

/// Something that is done with a variable: what policies know it as, and what it is in words.
#[derive(Clone, Copy)]
struct Deed(&'static str, &'static str);

const GET: Deed = Deed("env.get", "read environment variable");
const SET: Deed = Deed("env.set", "set environment variable");

pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<Table> {
    let fields = builder.lua.create_table()?;
    fields.raw_set("get", builder.function("get", get)?)?;
    fields.raw_set("set", builder.function("set", set)?)?;
    fields.raw_set("get_all", builder.function("get_all", |lua, own, _| get_all(lua, own))?)?;
    Ok(fields)
}

impl From<EnvError> for Box<ErrorObject> {
    fn from(error: EnvError) -> Self {
        let kind = match &error {
            EnvError::UnknownVariable { .. } | EnvError::UnknownStorage { .. } => Kind::NotFound,
            EnvError::VariableReadOnly { .. } | EnvError::StorageReadOnly { .. } => Kind::PermissionDenied,
            EnvError::BadValue { .. } | EnvError::BadKey { .. } => Kind::Invalid,
            _ => Kind::Internal,
        };
        Self::new(ErrorObject::caused(kind, &error))
    }
}

/// The variable that an argument names, if this may be done with it.
fn variable(own: &Own, args: &mut Args, deed: Deed) -> Result<(String, EntryId), Refusal> {
    let name = args.text()?;
    if name.is_empty() {
        return Err(ErrorObject::invalid("the name of a variable can't be empty").into());
    }
    // Before anybody looks: who may not do it learns nothing of what there is.
    own.peers.check_allowed(deed.0, deed.1, &name)?;
    let environment = &own.shared.world.environment;
    let id = environment.find(&name, own.entry.namespace()).map_err(Box::<ErrorObject>::from)?;
    let public = environment.variables().find(|(known, _)| *known == id).and_then(|(_, name)| name);
    for other in [Some(id.to_string().as_str()), public].into_iter().flatten() {
        if other != name && is_denied(own, deed, other) {
            return Err(Denied { action: deed.0, deed: deed.1, resource: name }.into());
        }
    }
    Ok((name, id.clone()))
}

/// Whether a policy denies it by this name. A variable has several, and one that is denied by one of them can't be had by
/// another.
fn is_denied(own: &Own, deed: Deed, resource: &str) -> bool {
    let security = own.peers.security();
    let (Some(actor), Some(scope)) = (security.actor(), security.scope()) else { return false };
    let attributes = Attributes::from_iter([("pid".to_owned(), own.pid().to_string().into())]);
    scope.evaluate(&Request { actor, action: deed.0, resource, attributes: &attributes }) == Decision::Deny
}

/// Looked up at once: no storage waits for the disk then.
fn get(lua: &Lua, own: &Arc<Own>, args: &mut Args) -> Answer {
    let (name, id) = variable(own, args, GET)?;
    match own.shared.world.environment.lookup(&id).map_err(Box::<ErrorObject>::from)? {
        Some(value) => Reply::values(lua, value),
        None => {
            let message = format!("environment variable `{name}` not found: it has no value and no default");
            Err(ErrorObject::new(Kind::NotFound, message).into())
        }
    }
}

fn set(_: &Lua, own: &Arc<Own>, args: &mut Args) -> Answer {
    let (_, id) = variable(own, args, SET)?;
    let value = args.text()?;
    let environment = own.shared.world.environment.clone();
    on_pool(own, move || environment.set(&id, &value), |lua, ()| Reply::values(lua, true))
}

/// Those that have a value and may be read, by their public names or else by their IDs.
fn get_all(lua: &Lua, own: &Arc<Own>) -> Answer {
    let environment = &own.shared.world.environment;
    let all = lua.create_table()?;
    for (id, public) in environment.variables() {
        let id_text = id.to_string();
        let name = public.unwrap_or(&id_text);
        let may = own.peers.check_allowed(GET.0, GET.1, &name).is_ok() && !is_denied(own, GET, &id_text);
        if may && let Some(value) = environment.lookup(id).map_err(Box::<ErrorObject>::from)? {
            all.raw_set(name, value)?;
        }
    }
    Reply::values(lua, all)
}
