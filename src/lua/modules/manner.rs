//! What starts and calls bring beside their arguments: a context, an actor, a scope.

use indexmap::IndexMap;
use mlua::{AnyUserData, Table, Value};

use super::security::{ActorObject, ScopeObject};
use crate::lua::call::Refusal;
use crate::lua::value;
use crate::lua::vm::Builder;
use crate::process::Payload;
use crate::security::{Actor, Scope};

/// What is brought.
#[derive(Default)]
pub(super) struct Manner {
    pub(super) context: IndexMap<String, Payload>,
    pub(super) actor: Option<Actor>,
    pub(super) scope: Option<Scope>,
}

/// `core.manner`, for the Lua parts of modules.
pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<()> {
    builder.run("manner", include_str!("manner.lua"), builder.core)
}

impl Manner {
    /// That of the settings of an object of `core.manner`.
    pub(super) fn of(settings: &Table) -> Result<Self, Refusal> {
        let mut manner = Self::default();
        if let Some(actor) = settings.raw_get::<Option<AnyUserData>>("actor")? {
            manner.actor = Some(actor.borrow::<ActorObject>()?.0.clone());
        }
        if let Some(scope) = settings.raw_get::<Option<AnyUserData>>("scope")? {
            manner.scope = Some(scope.borrow::<ScopeObject>()?.0.clone());
        }
        if let Some(context) = settings.raw_get::<Option<Table>>("context")? {
            for pair in context.pairs::<String, Value>() {
                let (key, value) = pair?;
                manner.context.insert(key, value::to_payload(&value)?);
            }
        }
        Ok(manner)
    }
}
