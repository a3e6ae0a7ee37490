//! `logger`: lines for the log, with fields.

use std::sync::Arc;

use mlua::{Table, UserData, UserDataFields, Value};
use serde_json::{Map, Value as Json};

use super::object::{self, Object};
use crate::lua::call::{Answer, Args, Refusal, Reply};
use crate::lua::error::ErrorObject;
use crate::lua::host::LOG_LINE_MAX;
use crate::lua::own::{self, Held, Own};
use crate::lua::value;
use crate::lua::vm::Builder;
use crate::process::Exit;

/// The longest name of a logger, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// A level, as its function is called.
#[derive(Clone, Copy)]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

const LEVELS: [(&str, Level); 4] =
    [("debug", Level::Debug), ("info", Level::Info), ("warn", Level::Warn), ("error", Level::Error)];

/// A name, and fields that go with every line.
#[derive(Clone, Default)]
struct Logger {
    name: Option<Arc<str>>,
    fields: Arc<Fields>,
}

/// Fields of a line, within its bound.
#[derive(Clone, Default)]
struct Fields {
    values: Map<String, Json>,
    /// Bytes of their text.
    bytes: usize,
    /// How many did not fit.
    left_out: u64,
    /// For what they take outside of the VM.
    held: Held,
}

impl Fields {
    /// Takes what is in a table; later ones replace those of the same name.
    fn add(&mut self, table: &Table) -> mlua::Result<()> {
        for pair in table.pairs::<Value, Value>() {
            let (key, field) = pair?;
            let key = value::text_of(&key);
            // What is no value is told by what it is.
            let json = value::to_payload(&field).ok().filter(|payload| payload.size() <= LOG_LINE_MAX);
            let json = json.map_or_else(|| Json::String(value::text_of(&field)), |payload| payload.to_json());
            let bytes = key.len() + json.to_string().len();
            if self.bytes + bytes > LOG_LINE_MAX {
                self.left_out += 1;
                continue;
            }
            self.bytes += bytes;
            let name = key.len();
            if let Some(replaced) = self.values.insert(key, json) {
                self.bytes -= name + replaced.to_string().len();
            }
        }
        Ok(())
    }
}

impl UserData for Logger {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        object::add_methods(fields);
    }
}

impl Object for Logger {
    const NAME: &'static str = "logger";
}

pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<Table> {
    let fields = builder.lua.create_table()?;
    for (name, level) in LEVELS {
        fields.raw_set(
            name,
            builder.function(name, move |_, own, args| {
                let logger = logger(args, name)?;
                write(own, &logger, level, args)
            })?,
        )?;
    }
    fields.raw_set(
        "with",
        builder.function("with", |lua, _, args| {
            let mut logger = logger(args, "with")?;
            let mut fields = Fields::clone(&logger.fields);
            fields.add(&args.table()?)?;
            fields.held = own::hold(lua, fields.bytes)?;
            logger.fields = Arc::new(fields);
            Reply::values(lua, logger)
        })?,
    )?;
    fields.raw_set(
        "named",
        builder.function("named", |lua, _, args| {
            let mut logger = logger(args, "named")?;
            let name = args.text()?;
            if name.is_empty() {
                return Err(ErrorObject::invalid("the name of a logger can't be empty").into());
            }
            let name = logger.name.map_or(name.clone(), |outer| format!("{outer}.{name}"));
            if name.len() > NAME_BYTES_MAX {
                let message = format!("the name of a logger may have {NAME_BYTES_MAX} bytes, not {}", name.len());
                return Err(ErrorObject::invalid(message).into());
            }
            logger.name = Some(name.into());
            Reply::values(lua, logger)
        })?,
    )?;
    // Those that are made have the functions of the module.
    builder.lua.set_named_registry_value(Logger::NAME, &fields)?;
    Ok(fields)
}

/// The logger that a function is called on: one that was made, or the module itself.
fn logger(args: &mut Args, function: &'static str) -> Result<Logger, Refusal> {
    let this = args.next();
    // Arguments are counted without it.
    *args = Args::new(function, args.rest().collect());
    match this {
        Value::UserData(object) if object.is::<Logger>() => Ok(object.borrow::<Logger>()?.clone()),
        Value::Table(_) => Ok(Logger::default()),
        _ => Err(Refusal::raise(format!("calling '{function}' on bad self: it is called as `logger:{function}(…)`"))),
    }
}

/// Writes one line, if anybody wants it.
fn write(own: &Arc<Own>, logger: &Logger, level: Level, args: &mut Args) -> Answer {
    let text = args.bytes()?;
    let extra = args.optional_table()?;
    let is_wanted = match level {
        Level::Debug => tracing::enabled!(target: "guest", tracing::Level::DEBUG),
        Level::Info => tracing::enabled!(target: "guest", tracing::Level::INFO),
        Level::Warn => tracing::enabled!(target: "guest", tracing::Level::WARN),
        Level::Error => tracing::enabled!(target: "guest", tracing::Level::ERROR),
    };
    if !is_wanted {
        return Reply::none();
    }
    let mut fields = Fields::clone(&logger.fields);
    if let Some(extra) = extra {
        fields.add(&extra)?;
    }
    let bytes = text.as_bytes();
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LOG_LINE_MAX)]);
    if let Err(limit) = own.usage.add_out(text.len() + fields.bytes) {
        return own.end(Exit::LimitExceeded(limit));
    }
    let (pid, entry, name) = (own.pid(), &own.entry, logger.name.as_deref());
    // What is left out of a line is told in it.
    let cut = (bytes.len() > LOG_LINE_MAX).then(|| bytes.len() - LOG_LINE_MAX);
    let left_out = (fields.left_out > 0).then_some(fields.left_out);
    let fields = (!fields.values.is_empty()).then(|| tracing::field::display(Json::Object(fields.values)));
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(target: "guest", %pid, %entry, logger = name, fields, cut, left_out, "{text}")
        };
    }
    match level {
        Level::Debug => line!(debug),
        Level::Info => line!(info),
        Level::Warn => line!(warn),
        Level::Error => line!(error),
    }
    Reply::none()
}

#[cfg(test)]
mod tests {
    use mlua::Lua;

    use super::*;

    #[test]
    fn fields_end_at_the_bound_and_are_counted() {
        let lua = Lua::new();
        let table = lua.create_table().unwrap();
        for number in 0..3 {
            table.set(format!("field {number}"), "x".repeat(LOG_LINE_MAX / 2 - 20)).unwrap();
        }
        let mut fields = Fields::default();
        fields.add(&table).unwrap();
        assert_eq!((fields.values.len(), fields.left_out), (2, 1));
        assert!(fields.bytes <= LOG_LINE_MAX);
    }
}
