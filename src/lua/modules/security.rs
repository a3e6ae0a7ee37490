//! `security`: who a script acts as, by which policies, and others that it may start processes as.

use std::sync::Arc;

use mlua::{AnyUserData, Lua, Table, UserData, UserDataMethods, Value};

use crate::lua::call::{Answer, Args, Refusal, Reply};
use crate::lua::error::{ErrorObject, Kind};
use crate::lua::own::Own;
use crate::lua::value;
use crate::lua::vm::Builder;
use crate::process::Payload;
use crate::registry::EntryId;
use crate::security::{Actor, Attributes, Decision, Policy, Request, Scope};

/// What may be known of an actor that a script makes, in bytes: the VM does not see what it holds of one.
const META_BYTES_MAX: usize = 16 * 1024;

/// An actor as scripts have it.
pub(super) struct ActorObject(pub(super) Actor);

/// A scope as scripts have it.
pub(super) struct ScopeObject(pub(super) Scope);

/// A policy as scripts have it.
struct PolicyObject(Arc<Policy>);

pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<Table> {
    let fields = builder.lua.create_table()?;
    let set = |name: &'static str, body: fn(&Lua, &Arc<Own>, &mut Args) -> Answer| -> mlua::Result<()> {
        fields.raw_set(name, builder.function(name, body)?)
    };
    set("actor", |lua, own, _| match own.peers.security().actor() {
        Some(actor) => Reply::values(lua, ActorObject(actor.clone())),
        None => Reply::values(lua, Value::Nil),
    })?;
    set("scope", |lua, own, _| match own.peers.security().scope() {
        Some(scope) => Reply::values(lua, ScopeObject(scope.clone())),
        None => Reply::values(lua, Value::Nil),
    })?;
    set("can", |lua, own, args| {
        let (action, resource) = (args.text()?, args.text()?);
        let attributes = attributes(args)?;
        Reply::values(lua, own.peers.security().allows_with(&action, &resource, &attributes))
    })?;
    set("policy", |lua, own, args| {
        let text = args.text()?;
        own.peers.check_allowed("security.policy.get", "get policy", &text)?;
        let id: EntryId = text.parse().map_err(|error| ErrorObject::invalid(format!("{error}")))?;
        match own.peers.policies().get(&id) {
            Some(policy) => Reply::values(lua, PolicyObject(Arc::clone(policy))),
            None => Err(ErrorObject::new(Kind::NotFound, format!("policy not found: {id}")).into()),
        }
    })?;
    set("named_scope", |lua, own, args| {
        let name = args.text()?;
        own.peers.check_allowed("security.policy_group.get", "get group of policies", &name)?;
        match own.peers.policies().group(&name) {
            Some(scope) => Reply::values(lua, ScopeObject(scope)),
            None => Err(ErrorObject::new(Kind::NotFound, format!("group of policies not found: {name}")).into()),
        }
    })?;
    set("new_scope", |lua, own, args| {
        let listed = args.optional_table()?;
        own.peers.check_allowed("security.scope.create", "create scope", &"custom")?;
        let mut policies = Vec::new();
        for policy in listed.iter().flat_map(Table::sequence_values::<Value>) {
            match policy? {
                Value::UserData(object) if object.is::<PolicyObject>() => {
                    policies.push(Arc::clone(&object.borrow::<PolicyObject>()?.0));
                }
                other => return Err(args.bad(format_args!("policies expected, got {}", other.type_name()))),
            }
        }
        Reply::values(lua, ScopeObject(Scope::new(policies)))
    })?;
    set("new_actor", |lua, own, args| {
        let id = args.text()?;
        let meta = attributes(args)?;
        own.peers.check_allowed("security.actor.create", "create actor", &id)?;
        Reply::values(lua, ActorObject(Actor::with_meta(id, meta)))
    })?;
    Ok(fields)
}

/// The next argument, which is a table of what is known of something, or nothing.
fn attributes(args: &mut Args) -> Result<Attributes, Refusal> {
    match args.optional_table()? {
        Some(table) => attributes_of(&table).map_err(|why| args.bad(why)),
        None => Ok(Attributes::new()),
    }
}

fn attributes_of(table: &Table) -> Result<Attributes, String> {
    let payload = value::to_payload(&Value::Table(table.clone())).map_err(|problem| problem.to_string())?;
    if payload.size() > META_BYTES_MAX {
        return Err(format!("{} bytes, and there may be {META_BYTES_MAX}", payload.size()));
    }
    match payload {
        Payload::Map(_) => match payload.to_json() {
            serde_json::Value::Object(map) => Ok(map),
            _ => Err("a table of names expected".to_owned()),
        },
        // A table without anything is either.
        Payload::List(items) if items.is_empty() => Ok(Attributes::new()),
        _ => Err("a table of names expected".to_owned()),
    }
}

/// What policies say, in the words of scripts.
fn decision(scope: &Scope, (actor, action, resource, meta): Asked) -> mlua::Result<&'static str> {
    let attributes = meta.as_ref().map_or(Ok(Attributes::new()), attributes_of).map_err(mlua::Error::runtime)?;
    let actor = actor.borrow::<ActorObject>()?;
    let request = Request { actor: &actor.0, action: &action, resource: &resource, attributes: &attributes };
    Ok(match scope.evaluate(&request) {
        Decision::Allow => "allow",
        Decision::Deny => "deny",
        Decision::Undefined => "undefined",
    })
}

/// Who, what, with what, and what else is known of it.
type Asked = (AnyUserData, String, String, Option<Table>);

impl UserData for ActorObject {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("id", |lua, actor, ()| lua.create_string(actor.0.id()));
        methods.add_method("meta", |lua, actor, ()| {
            let meta = Payload::from_json(&actor.0.meta().clone().into());
            value::to_lua(lua, &meta).map_err(|problem| mlua::Error::runtime(problem.to_string()))
        });
    }
}

impl UserData for ScopeObject {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("with", |_, scope, policy: AnyUserData| {
            let more = Arc::clone(&policy.borrow::<PolicyObject>()?.0);
            Ok(ScopeObject(Scope::new(scope.0.policies().iter().cloned().chain([more]))))
        });
        methods.add_method("without", |_, scope, id: String| {
            let rest = scope.0.policies().iter().filter(|policy| policy.id().to_string() != id);
            Ok(ScopeObject(Scope::new(rest.cloned())))
        });
        methods.add_method("contains", |_, scope, id: String| {
            Ok(scope.0.policies().iter().any(|policy| policy.id().to_string() == id))
        });
        methods.add_method("policies", |lua, scope, ()| {
            lua.create_sequence_from(scope.0.policies().iter().map(|policy| PolicyObject(Arc::clone(policy))))
        });
        methods.add_method("evaluate", |_, scope, asked: Asked| decision(&scope.0, asked));
    }
}

impl UserData for PolicyObject {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("id", |lua, policy, ()| lua.create_string(policy.0.id().to_string()));
        methods.add_method("evaluate", |_, policy, asked: Asked| decision(&Scope::new([Arc::clone(&policy.0)]), asked));
    }
}
