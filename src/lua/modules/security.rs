//! `security`: who a script acts as, by which policies, and others that it may start processes as. As in Wippy, who may not look
//! something up is answered an error, and who may not make something has one raised.

use std::sync::Arc;

use mlua::{Lua, Table, UserData, UserDataFields, UserDataMethods, Value};

use super::object::{self, Method, Object};
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
        may_see(own, "security.policy.get", "access policy", &text)?;
        let id: EntryId = text.parse().map_err(|error| ErrorObject::invalid(format!("{error}")))?;
        match own.peers.policies().get(&id) {
            Some(policy) => Reply::values(lua, PolicyObject(Arc::clone(policy))),
            None => Err(ErrorObject::new(Kind::Internal, format!("policy not found: {id}")).into()),
        }
    })?;
    set("named_scope", |lua, own, args| {
        let name = args.text()?;
        may_see(own, "security.policy_group.get", "access policy group", &name)?;
        match own.peers.policies().group(&name) {
            Some(scope) => Reply::values(lua, ScopeObject(scope)),
            None => Err(ErrorObject::new(Kind::Internal, format!("policy group not found: {name}")).into()),
        }
    })?;
    // There is no kind of entry that makes one, so none is ever found.
    set("token_store", |_, own, args| {
        let id = args.text()?;
        may_make(own, "security.token_store.get", "get token store", &id)?;
        if id.is_empty() {
            return Err(ErrorObject::invalid("the ID of a token store is empty").into());
        }
        Err(ErrorObject::new(Kind::Internal, format!("token store not found: {id}")).into())
    })?;
    set("new_scope", |lua, own, args| {
        let listed = args.optional_table()?;
        may_make(own, "security.scope.create", "create scope", "custom")?;
        let mut policies = Vec::new();
        for policy in listed.iter().flat_map(Table::sequence_values::<Value>) {
            let policy = policy?;
            match policy_of(&policy)? {
                Some(policy) => policies.push(policy),
                None => return Err(args.bad(format_args!("policies expected, got {}", policy.type_name()))),
            }
        }
        Reply::values(lua, ScopeObject(Scope::new(policies)))
    })?;
    set("new_actor", |lua, own, args| {
        let id = args.text()?;
        let meta = attributes(args)?;
        may_make(own, "security.actor.create", "create actor with ID", &id)?;
        Reply::values(lua, ActorObject(Actor::with_meta(id, meta)))
    })?;
    object::install(builder, &METHODS)?;
    object::install(builder, &POLICY_METHODS)?;
    Ok(fields)
}

/// Leave to look something up. What is not allowed has the kind that Wippy's documents give it.
fn may_see(own: &Own, action: &'static str, deed: &'static str, id: &str) -> Result<(), Refusal> {
    let allowed = own.peers.check_allowed(action, deed, &id);
    Ok(allowed.map_err(|denied| ErrorObject::invalid(denied.to_string()))?)
}

/// Leave to make something.
fn may_make(own: &Own, action: &'static str, deed: &'static str, resource: &str) -> Result<(), Refusal> {
    own.peers.check_allowed(action, deed, &resource).map_err(|denied| Refusal::raise(denied.to_string()))
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
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        object::add_methods::<Self, F>(fields);
    }
}

impl Object for ScopeObject {
    const NAME: &'static str = "scope";
}

const METHODS: [(&str, Method<ScopeObject>); 5] = [
    ("with", |lua, own, scope, args| {
        let more = match policy_of(&args.next())? {
            Some(policy) => policy,
            None => return Err(args.bad("policy expected")),
        };
        may_make(own, "security.scope.create", "add policy to scope", "with")?;
        Reply::values(lua, ScopeObject(Scope::new(scope.0.policies().iter().cloned().chain([more]))))
    }),
    ("without", |lua, own, scope, args| {
        let id = policy_id(args)?;
        may_make(own, "security.scope.create", "remove policy from scope", "without")?;
        let rest = scope.0.policies().iter().filter(|policy| policy.id().to_string() != id);
        Reply::values(lua, ScopeObject(Scope::new(rest.cloned())))
    }),
    ("contains", |lua, _, scope, args| {
        let id = policy_id(args)?;
        Reply::values(lua, scope.0.policies().iter().any(|policy| policy.id().to_string() == id))
    }),
    ("policies", |lua, _, scope, _| {
        let policies = scope.0.policies().iter().map(|policy| PolicyObject(Arc::clone(policy)));
        Reply::values(lua, lua.create_sequence_from(policies)?)
    }),
    ("evaluate", |lua, _, scope, args| evaluate(lua, &scope.0, args)),
];

const POLICY_METHODS: [(&str, Method<PolicyObject>); 2] = [
    ("id", |lua, _, policy, _| Reply::values(lua, policy.0.id().to_string())),
    ("evaluate", |lua, _, policy, args| evaluate(lua, &Scope::new([Arc::clone(&policy.0)]), args)),
];

/// The policy that a value is.
fn policy_of(value: &Value) -> mlua::Result<Option<Arc<Policy>>> {
    match value {
        Value::UserData(object) if object.is::<PolicyObject>() => {
            Ok(Some(Arc::clone(&object.borrow::<PolicyObject>()?.0)))
        }
        _ => Ok(None),
    }
}

/// The ID that the next argument is: a text, a policy, or a table of its two parts.
fn policy_id(args: &mut Args) -> Result<String, Refusal> {
    let value = args.next();
    if let Some(policy) = policy_of(&value)? {
        return Ok(policy.id().to_string());
    }
    match &value {
        Value::String(text) => Ok(text.to_string_lossy()),
        Value::Table(parts) => {
            let part = |name: &str| -> Result<String, Refusal> {
                let part: Option<String> = parts.raw_get(name)?;
                part.ok_or_else(|| args.bad("a table with `ns` and `name` expected"))
            };
            Ok(format!("{}:{}", part("ns")?, part("name")?))
        }
        _ => Err(args.bad("the ID of a policy, or a policy, expected")),
    }
}

/// What policies say, in the words of scripts: of an actor, an action, a resource, and what else is known of it.
fn evaluate(lua: &Lua, scope: &Scope, args: &mut Args) -> Answer {
    let actor = match args.next() {
        Value::UserData(object) if object.is::<ActorObject>() => object.borrow::<ActorObject>()?.0.clone(),
        other => return Err(args.bad(format_args!("actor expected, got {}", other.type_name()))),
    };
    let (action, resource) = (args.text()?, args.text()?);
    let attributes = attributes(args)?;
    let request = Request { actor: &actor, action: &action, resource: &resource, attributes: &attributes };
    let said = match scope.evaluate(&request) {
        Decision::Allow => "allow",
        Decision::Deny => "deny",
        Decision::Undefined => "undefined",
    };
    Reply::values(lua, said)
}

impl UserData for PolicyObject {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        object::add_methods::<Self, F>(fields);
    }
}

impl Object for PolicyObject {
    const NAME: &'static str = "policy";
}
