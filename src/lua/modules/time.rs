//! `time`: times, durations, zones, and waiting. A duration is a whole number of nanoseconds, a text as Go writes it, or an
//! object; texts of times are read and written by Go's layouts.

mod layout;
mod moment;
mod zone;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mlua::{Table, UserDataRef, Value};

use crate::limits::WaitReason;
use crate::lua::call::{Answer, Args, Refusal, Reply, waiting};
use crate::lua::error::{ErrorObject, Kind};
use crate::lua::vm::Builder;
use crate::registry::parse_duration;
pub(in crate::lua) use moment::{Moment, Span};
use zone::Zone;
pub(in crate::lua) use zone::prepare;

/// Units by the names of their constants and of their functions, in nanoseconds.
const UNITS: [(&str, &str, i64); 6] = [
    ("NANOSECOND", "nanoseconds", 1),
    ("MICROSECOND", "microseconds", 1_000),
    ("MILLISECOND", "milliseconds", 1_000_000),
    ("SECOND", "seconds", 1_000_000_000),
    ("MINUTE", "minutes", 60_000_000_000),
    ("HOUR", "hours", 3_600_000_000_000),
];

/// Layouts by the names of their constants.
const LAYOUTS: [(&str, &str); 18] = [
    ("ANSIC", "Mon Jan _2 15:04:05 2006"),
    ("UNIX_DATE", "Mon Jan _2 15:04:05 MST 2006"),
    ("RUBY_DATE", "Mon Jan 02 15:04:05 -0700 2006"),
    ("RFC822", "02 Jan 06 15:04 MST"),
    ("RFC822Z", "02 Jan 06 15:04 -0700"),
    ("RFC850", "Monday, 02-Jan-06 15:04:05 MST"),
    ("RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"),
    ("RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"),
    ("RFC3339", "2006-01-02T15:04:05Z07:00"),
    ("RFC3339NANO", "2006-01-02T15:04:05.999999999Z07:00"),
    ("KITCHEN", "3:04PM"),
    ("STAMP", "Jan _2 15:04:05"),
    ("STAMP_MILLI", "Jan _2 15:04:05.000"),
    ("STAMP_MICRO", "Jan _2 15:04:05.000000"),
    ("STAMP_NANO", "Jan _2 15:04:05.000000000"),
    ("DATE_TIME", "2006-01-02 15:04:05"),
    ("DATE_ONLY", "2006-01-02"),
    ("TIME_ONLY", "15:04:05"),
];

/// Names that count from one, and from zero.
const MONTHS: [&str; 12] = [
    "JANUARY",
    "FEBRUARY",
    "MARCH",
    "APRIL",
    "MAY",
    "JUNE",
    "JULY",
    "AUGUST",
    "SEPTEMBER",
    "OCTOBER",
    "NOVEMBER",
    "DECEMBER",
];
const WEEKDAYS: [&str; 7] = ["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"];

/// The longest layout, and the longest text that is read by one, in bytes: nothing preempts the reading.
const TEXT_MAX: usize = 4 << 10;

pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<Table> {
    let fields = builder.lua.create_table()?;
    constants(builder, &fields)?;
    for (_, function, nanos) in UNITS {
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
    let now = || Moment { at: Timestamp::now(), zone: Zone::Local };
    fields.raw_set("now", builder.function("now", move |lua, _, _| userdata(lua, now()))?)?;
    fields.raw_set("parse_duration", builder.function("parse_duration", span)?)?;
    fields.raw_set("date", builder.function("date", |lua, _, args| date(lua, args))?)?;
    fields.raw_set("unix", builder.function("unix", |lua, _, args| unix(lua, args))?)?;
    fields.raw_set("parse", builder.function("parse", |lua, _, args| parse(lua, args))?)?;
    fields.raw_set(
        "load_location",
        builder.function("load_location", |lua, _, args| {
            let name = args.text()?;
            if name.is_empty() {
                return Err(ErrorObject::invalid("the name of a location is empty").into());
            }
            let missing = || ErrorObject::new(Kind::NotFound, format!("unknown time zone {name}"));
            userdata(lua, Zone::of_name(&name).ok_or_else(missing)?)
        })?,
    )?;
    fields.raw_set(
        "fixed_zone",
        builder.function("fixed_zone", |lua, _, args| {
            let name = args.text()?;
            let offset = args.integer()?;
            userdata(lua, Zone::fixed(&name, offset).ok_or_else(|| args.bad("an offset of a day at most expected"))?)
        })?,
    )?;
    let invalid = builder.function("invalid", |_, _, args| Err(ErrorObject::invalid(args.text()?).into()))?;
    builder.run::<()>("time", include_str!("time.lua"), (builder.core, &fields, invalid))?;
    Ok(fields)
}

fn constants(builder: &Builder<'_>, fields: &Table) -> mlua::Result<()> {
    for (name, _, nanos) in UNITS {
        fields.raw_set(name, nanos)?;
    }
    for (name, layout) in LAYOUTS {
        fields.raw_set(name, layout)?;
    }
    for (name, number) in MONTHS.into_iter().zip(1..) {
        fields.raw_set(name, number)?;
    }
    for (name, number) in WEEKDAYS.into_iter().zip(0..) {
        fields.raw_set(name, number)?;
    }
    fields.raw_set("utc", builder.lua.create_userdata(Zone::Utc)?)?;
    fields.raw_set("localtz", builder.lua.create_userdata(Zone::Local)?)
}

fn userdata(lua: &mlua::Lua, object: impl mlua::UserData + Send + Sync + 'static) -> Answer {
    Reply::values(lua, lua.create_userdata(object)?)
}

/// `core.begin` and `core.after`, for the Lua parts of all modules.
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

/// The duration that an argument is; one that is negative is none at all.
pub(super) fn duration(args: &mut Args) -> Result<Duration, Refusal> {
    let nanos = nanos_of(&args.next()).map_err(|problem| args.bad(problem))?;
    Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

/// The nanoseconds of a duration in any of its forms.
pub(super) fn nanos_of(value: &Value) -> Result<i64, String> {
    match value {
        Value::Integer(nanos) => Ok(*nanos),
        #[expect(clippy::cast_possible_truncation, reason = "a float is rounded anyway, and `as` saturates")]
        Value::Number(nanos) => Ok(*nanos as i64),
        Value::String(text) => {
            let text = text.to_string_lossy();
            let (sign, size) = match text.strip_prefix('-') {
                Some(size) if !size.starts_with(['-', '+']) => (-1, size),
                _ => (1, text.as_str()),
            };
            let size = parse_duration(size).map_err(|problem| format!("a duration: {problem}"))?;
            Ok(sign * i64::try_from(size.as_nanos()).unwrap_or(i64::MAX))
        }
        Value::UserData(object) if object.is::<Span>() => {
            object.borrow::<Span>().map(|span| span.0).map_err(|error| error.to_string())
        }
        _ => Err("a duration expected: nanoseconds, a text like \"1m30s\", or a duration object".to_owned()),
    }
}

/// `parse_duration`.
fn span(lua: &mlua::Lua, _: &std::sync::Arc<crate::lua::own::Own>, args: &mut Args) -> Answer {
    let nanos = nanos_of(&args.next()).map_err(ErrorObject::invalid)?;
    userdata(lua, Span(nanos))
}

/// The location that an argument is; none when there is none.
fn location(args: &mut Args) -> Result<Option<Zone>, Refusal> {
    match args.next() {
        Value::Nil => Ok(None),
        Value::UserData(object) => match object.borrow::<Zone>() {
            Ok(zone) => Ok(Some(zone.clone())),
            Err(_) => Err(args.bad("a location expected")),
        },
        _ => Err(args.bad("a location expected")),
    }
}

fn date(lua: &mlua::Lua, args: &mut Args) -> Answer {
    let date = [args.integer()?, args.integer()?, args.integer()?];
    let mut clock = [0; 4];
    for part in &mut clock {
        *part = if args.left() == 0 { 0 } else { args.integer()? };
    }
    let zone = location(args)?.unwrap_or(Zone::Local);
    match Moment::of_civil(date, clock, zone) {
        Some(time) => userdata(lua, time),
        None => Err(Refusal::raise("the time is beyond the years from -9999 to 9999")),
    }
}

fn unix(lua: &mlua::Lua, args: &mut Args) -> Answer {
    let seconds = args.integer()?;
    let nanos = if args.left() == 0 { 0 } else { args.integer()? };
    let at = Timestamp::from_second(seconds).and_then(|at| at.checked_add(SignedDuration::from_nanos(nanos)));
    match at {
        Ok(at) => userdata(lua, Moment { at, zone: Zone::Local }),
        Err(_) => Err(Refusal::raise("the time is beyond the years from -9999 to 9999")),
    }
}

fn parse(lua: &mlua::Lua, args: &mut Args) -> Answer {
    let (layout, text) = (args.text()?, args.text()?);
    let zone = location(args)?;
    if layout.len() > TEXT_MAX || text.len() > TEXT_MAX {
        return Err(ErrorObject::invalid(format!("a time or a layout of more than {TEXT_MAX} bytes")).into());
    }
    userdata(lua, layout::parse(&layout, &text, zone.as_ref()).map_err(ErrorObject::invalid)?)
}

/// Whether a text is a time as RFC 3339 writes it.
pub(super) fn is_rfc3339(text: &str) -> bool {
    text.len() <= TEXT_MAX && layout::parse("2006-01-02T15:04:05Z07:00", text, None).is_ok()
}

/// What an object of this module is as a text.
pub(in crate::lua) fn text_of(object: &mlua::AnyUserData) -> Option<String> {
    fn text<T: ToString + 'static>(object: &mlua::AnyUserData) -> Option<String> {
        object.borrow::<T>().ok().map(|object: UserDataRef<T>| object.to_string())
    }
    text::<Moment>(object)
        .or_else(|| text::<Span>(object))
        .or_else(|| object.borrow::<Zone>().ok().map(|zone| zone.name().to_owned()))
}

#[cfg(test)]
mod tests;
