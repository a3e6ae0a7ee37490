//! `time`: waiting. A duration is a whole number of nanoseconds, or a text as Go writes it.

use std::time::Duration;

use mlua::{Table, Value};

use crate::limits::WaitReason;
use crate::lua::call::{Args, Refusal, Reply, waiting};
use crate::lua::vm::Builder;
use crate::registry::parse_duration;

/// Units by the names of their constants and of their functions, in nanoseconds.
const UNITS: [(&str, &str, i64); 6] = [
    ("NANOSECOND", "nanoseconds", 1),
    ("MICROSECOND", "microseconds", 1_000),
    ("MILLISECOND", "milliseconds", 1_000_000),
    ("SECOND", "seconds", 1_000_000_000),
    ("MINUTE", "minutes", 60_000_000_000),
    ("HOUR", "hours", 3_600_000_000_000),
];

pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<Table> {
    let fields = builder.lua.create_table()?;
    for (constant, function, nanos) in UNITS {
        fields.raw_set(constant, nanos)?;
        fields.raw_set(
            function,
            builder.function(function, move |lua, _, args| match args.next() {
                Value::Integer(count) => Reply::values(lua, count.saturating_mul(nanos)),
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    reason = "a float is rounded anyway, and `as` saturates"
                )]
                Value::Number(count) => Reply::values(lua, (count * nanos as f64) as i64),
                _ => Err(args.bad("number expected")),
            })?,
        )?;
    }
    fields.raw_set(
        "sleep",
        builder.function("sleep", |_, own, args| {
            let sleep = own.reactor.sleep(duration(args)?);
            Reply::wait(WaitReason::Timer, sleep, |_, ()| Reply::none())
        })?,
    )?;
    builder.run::<()>("time", include_str!("time.lua"), (builder.core, &fields))?;
    Ok(fields)
}

/// `core.after`: a channel that gets a value when a time is over, for the Lua parts of all modules, and the number by which
/// `core.forget` stops it.
pub(super) fn install_after(builder: &Builder<'_>) -> mlua::Result<()> {
    let begin = builder.raw("after", |lua, own, args| {
        let sleep = own.reactor.sleep(duration(args)?);
        match own.beside(WaitReason::Timer, waiting(sleep, |_, ()| Reply::none())) {
            Some(id) => Reply::values(lua, i64::try_from(id).unwrap_or(i64::MAX)),
            None => Err(Refusal::raise("too many waits at once: `max_handles` under `limits:` of the entry")),
        }
    })?;
    builder.run("after", include_str!("after.lua"), (builder.core, begin))
}

/// The duration that an argument is.
pub(super) fn duration(args: &mut Args) -> Result<Duration, Refusal> {
    match args.next() {
        Value::Integer(nanos) => Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates, and no time is negative"
        )]
        Value::Number(nanos) => Ok(Duration::from_nanos(nanos as u64)),
        Value::String(text) => {
            parse_duration(&text.to_string_lossy()).map_err(|problem| args.bad(format_args!("a duration: {problem}")))
        }
        _ => Err(args.bad("a duration expected: nanoseconds, or a text like \"1m30s\"")),
    }
}
