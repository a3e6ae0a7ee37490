//! Times and durations as objects of scripts.

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp};
use mlua::{Lua, MetaMethod, MultiValue, UserData, UserDataMethods, UserDataRef, Value};

use super::layout;
use super::zone::Zone;

const RFC3339: &str = "2006-01-02T15:04:05Z07:00";
/// How `tostring` shows a time.
const WHOLE: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

/// Nanoseconds in the units of durations.
pub(super) const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// The first of January of the year 1, which Go calls zero, in seconds since 1970.
const ZERO: i64 = -62_135_596_800;

/// A time, in a zone. From the year -9999 on to 9999.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::lua) struct Moment {
    pub(super) at: Timestamp,
    pub(super) zone: Zone,
}

/// A duration in nanoseconds: 292 years at most, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lua) struct Span(pub(super) i64);

/// A date and a clock, each part beyond its range carried over: month 13 is January of the next year. None beyond the years
/// that there are.
pub(super) fn civil([year, month, day]: [i64; 3], [hour, minute, second, nanos]: [i64; 4]) -> Option<DateTime> {
    let months = year.checked_mul(12)?.checked_add(month.checked_sub(1)?)?;
    let year = i16::try_from(months.div_euclid(12)).ok()?;
    let first = Date::new(year, i8::try_from(months.rem_euclid(12) + 1).ok()?, 1).ok()?;
    let seconds = day
        .checked_sub(1)?
        .checked_mul(24)?
        .checked_add(hour)?
        .checked_mul(60)?
        .checked_add(minute)?
        .checked_mul(60)?
        .checked_add(second)?
        .checked_add(nanos.div_euclid(SECOND))?;
    let nanos = i32::try_from(nanos.rem_euclid(SECOND)).ok()?;
    DateTime::from(first).checked_add(SignedDuration::new(seconds, nanos)).ok()
}

impl Span {
    pub(in crate::lua) fn nanoseconds(self) -> i64 {
        self.0
    }
}

impl Moment {
    pub(super) fn civil(&self) -> DateTime {
        self.zone.offset(self.at).to_datetime(self.at)
    }

    /// The moment at which the clocks of a zone show this; none beyond the years that there are.
    pub(super) fn of_civil(date: [i64; 3], clock: [i64; 4], zone: Zone) -> Option<Self> {
        let at = zone.zone().to_timestamp(civil(date, clock)?).ok()?;
        Some(Self { at, zone })
    }

    /// Whole seconds since 1970.
    pub(in crate::lua) fn unix(&self) -> i64 {
        self.at.as_nanosecond().div_euclid(SECOND.into()) as i64
    }

    fn plus(&self, nanos: i64) -> mlua::Result<Self> {
        let at = self.at.checked_add(SignedDuration::from_nanos(nanos)).map_err(|_| beyond())?;
        Ok(Self { at, zone: self.zone.clone() })
    }

    fn minus(&self, other: &Self) -> Span {
        let nanos = self.at.as_nanosecond() - other.at.as_nanosecond();
        Span(nanos.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    fn plus_date(&self, years: i64, months: i64, days: i64) -> Option<Self> {
        let at = self.civil();
        let date = [
            i64::from(at.year()).checked_add(years)?,
            i64::from(at.month()).checked_add(months)?,
            i64::from(at.day()).checked_add(days)?,
        ];
        let clock = [at.hour().into(), at.minute().into(), at.second().into(), at.subsec_nanosecond().into()];
        Self::of_civil(date, clock, self.zone.clone())
    }

    /// What is over the last multiple of a duration, counted from Go's zero.
    fn over(&self, unit: i64) -> i64 {
        let since_zero = self.at.as_nanosecond() - i128::from(ZERO) * i128::from(SECOND);
        since_zero.rem_euclid(unit.into()) as i64
    }

    fn truncate(&self, unit: i64) -> mlua::Result<Self> {
        if unit <= 0 { Ok(self.clone()) } else { self.plus(-self.over(unit)) }
    }

    fn round(&self, unit: i64) -> mlua::Result<Self> {
        if unit <= 0 {
            return Ok(self.clone());
        }
        let over = self.over(unit);
        // Half way goes up.
        self.plus(if over < unit - over { -over } else { unit - over })
    }
}

fn beyond() -> mlua::Error {
    mlua::Error::runtime("the time is beyond the years from -9999 to 9999")
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&layout::format(self, WHOLE))
    }
}

impl std::fmt::Display for Span {
    /// As Go writes it: `1h30m0.5s`, `1.5ms`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        let decimal = |value: u64, unit: u64, name: &str| {
            let fraction = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
            let fraction = if unit == 1 { "" } else { fraction.trim_end_matches('0') };
            let point = if fraction.is_empty() { "" } else { "." };
            format!("{}{point}{fraction}{name}", value / unit)
        };
        let text = match nanos {
            0 => "0s".to_owned(),
            1..1_000 => decimal(nanos, 1, "ns"),
            1_000..1_000_000 => decimal(nanos, 1_000, "µs"),
            1_000_000..1_000_000_000 => decimal(nanos, 1_000_000, "ms"),
            _ => {
                let minutes = nanos / MINUTE as u64;
                let seconds = decimal(nanos % MINUTE as u64, SECOND as u64, "s");
                match (minutes / 60, minutes % 60) {
                    (0, 0) => seconds,
                    (0, minutes) => format!("{minutes}m{seconds}"),
                    (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
                }
            }
        };
        write!(f, "{sign}{text}")
    }
}

#[expect(clippy::cast_precision_loss, reason = "hours as a float are not exact, in Go neither")]
fn ratio(nanos: i64, unit: i64) -> f64 {
    (nanos / unit) as f64 + (nanos % unit) as f64 / unit as f64
}

impl UserData for Span {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("hours", |_, span, ()| Ok(ratio(span.0, HOUR)));
        methods.add_method("minutes", |_, span, ()| Ok(ratio(span.0, MINUTE)));
        methods.add_method("seconds", |_, span, ()| Ok(ratio(span.0, SECOND)));
        methods.add_method("milliseconds", |_, span, ()| Ok(span.0 / 1_000_000));
        methods.add_method("microseconds", |_, span, ()| Ok(span.0 / 1_000));
        methods.add_method("nanoseconds", |_, span, ()| Ok(span.0));
        methods.add_meta_method(MetaMethod::ToString, |lua, span, ()| lua.create_string(span.to_string()));
    }
}

type Time = UserDataRef<Moment>;

impl UserData for Moment {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods
            .add_method("add", |_, time, span: Value| time.plus(super::nanos_of(&span).map_err(mlua::Error::runtime)?));
        methods.add_method("sub", |_, time, other: Time| Ok(time.minus(&other)));
        methods.add_method("add_date", |_, time, (years, months, days): (i64, i64, i64)| {
            time.plus_date(years, months, days).ok_or_else(beyond)
        });
        methods.add_method("before", |_, time, other: Time| Ok(time.at < other.at));
        methods.add_method("after", |_, time, other: Time| Ok(time.at > other.at));
        methods.add_method("equal", |_, time, other: Time| Ok(time.at == other.at));
        methods.add_method("format", |lua, time, layout: mlua::LuaString| {
            lua.create_string(layout::format(time, &layout.to_string_lossy()))
        });
        methods.add_method("format_rfc3339", |lua, time, ()| lua.create_string(layout::format(time, RFC3339)));
        methods.add_method("unix", |_, time, ()| Ok(time.unix()));
        methods.add_method("unix_nano", |_, time, ()| {
            i64::try_from(time.at.as_nanosecond())
                .map_err(|_| mlua::Error::runtime("the time is beyond what 64 bits of nanoseconds can say"))
        });
        methods
            .add_method("is_zero", |_, time, ()| Ok(time.at.as_nanosecond() == i128::from(ZERO) * i128::from(SECOND)));
        methods.add_method("utc", |_, time, ()| Ok(Self { at: time.at, zone: Zone::Utc }));
        methods.add_method("in_local", |_, time, ()| Ok(Self { at: time.at, zone: Zone::Local }));
        methods
            .add_method("in_location", |_, time, zone: UserDataRef<Zone>| Ok(Self { at: time.at, zone: zone.clone() }));
        methods.add_method("location", |_, time, ()| Ok(time.zone.clone()));
        methods.add_method("truncate", |_, time, unit: UserDataRef<Span>| time.truncate(unit.0));
        methods.add_method("round", |_, time, unit: UserDataRef<Span>| time.round(unit.0));
        methods.add_meta_method(MetaMethod::ToString, |lua, time, ()| lua.create_string(time.to_string()));
        Self::add_parts(methods);
    }
}

impl Moment {
    /// What clocks and calendars show.
    fn add_parts<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("date", |lua, time, ()| {
            let at = time.civil();
            all(lua, [at.year().into(), at.month().into(), at.day().into()])
        });
        methods.add_method("clock", |lua, time, ()| {
            let at = time.civil();
            all(lua, [at.hour().into(), at.minute().into(), at.second().into()])
        });
        methods.add_method("year", |_, time, ()| Ok(time.civil().year()));
        methods.add_method("month", |_, time, ()| Ok(time.civil().month()));
        methods.add_method("day", |_, time, ()| Ok(time.civil().day()));
        methods.add_method("hour", |_, time, ()| Ok(time.civil().hour()));
        methods.add_method("minute", |_, time, ()| Ok(time.civil().minute()));
        methods.add_method("second", |_, time, ()| Ok(time.civil().second()));
        methods.add_method("nanosecond", |_, time, ()| Ok(time.civil().subsec_nanosecond()));
        methods.add_method("weekday", |_, time, ()| Ok(time.civil().weekday().to_sunday_zero_offset()));
        methods.add_method("year_day", |_, time, ()| Ok(time.civil().day_of_year()));
    }
}

fn all(_: &Lua, numbers: [i64; 3]) -> mlua::Result<MultiValue> {
    Ok(numbers.into_iter().map(Value::Integer).collect())
}
