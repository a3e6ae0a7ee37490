//! Objects whose methods may fail and wait as functions of a module do: userdata with functions of the builder as methods.

use std::sync::Arc;

use mlua::{Lua, Table, UserData, UserDataFields, Value};

use crate::lua::call::{Answer, Args, Refusal};
use crate::lua::own::Own;
use crate::lua::vm::Builder;

/// A kind of object.
pub(super) trait Object: UserData + Send + Sync + 'static {
    /// What it is called in messages; its methods are kept under this name.
    const NAME: &'static str;
}

/// What an object does when it is asked.
pub(super) type Method<T> = fn(&Lua, &Arc<Own>, &T, &mut Args) -> Answer;

/// Gives objects of a kind their methods. Before this none of them can be made.
pub(super) fn install<T: Object>(builder: &Builder<'_>, methods: &[(&'static str, Method<T>)]) -> mlua::Result<()> {
    let table = builder.lua.create_table()?;
    for (name, body) in methods {
        table.raw_set(*name, method(builder, name, *body)?)?;
    }
    builder.lua.set_named_registry_value(T::NAME, table)
}

fn method<T: Object>(builder: &Builder<'_>, name: &'static str, body: Method<T>) -> mlua::Result<mlua::Function> {
    builder.function(name, move |lua, own, args| {
        let this = args.next();
        // Arguments are counted without it.
        let mut args = Args::new(name, args.rest().collect());
        if let Value::UserData(object) = &this
            && let Ok(object) = object.borrow::<T>()
        {
            return body(lua, own, &object, &mut args);
        }
        Err(Refusal::raise(format!("calling '{name}' on bad self: it is called as `{}:{name}(…)`", T::NAME)))
    })
}

/// For `UserData::add_fields`.
pub(super) fn add_methods<T: Object, F: UserDataFields<T>>(fields: &mut F) {
    fields.add_meta_field_with("__index", |lua| lua.named_registry_value::<Table>(T::NAME));
}
