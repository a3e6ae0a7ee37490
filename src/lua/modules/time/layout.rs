//! Layouts: times as texts and back, in the way of Go. A layout is written by how it shows Mon Jan 2 15:04:05 MST 2006.

use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::moment::{Moment, civil};
use super::zone::Zone;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A part of a layout that stands for a part of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// `January`, `Jan`, `01`, `1`.
    LongMonth,
    Month,
    ZeroMonth,
    NumMonth,
    /// `Monday`, `Mon`.
    LongWeekDay,
    WeekDay,
    /// `2`, `_2`, `02`; `__2` and `002` count the days of the year.
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    /// `15`, `3`, `03`.
    Hour,
    Hour12,
    ZeroHour12,
    /// `4`, `04`, `5`, `05`.
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    /// `2006`, `06`.
    LongYear,
    Year,
    /// `PM`, `pm`.
    UpperPm,
    LowerPm,
    /// `MST`.
    Name,
    /// Whether zero is a `Z`, whether there is a colon, and how many numbers: `Z07:00` is `(true, true, 2)`.
    Offset(bool, bool, usize),
    /// `.000`: the digits; `.999`: as many as there are, up to these.
    Fraction(usize),
    Trimmed(usize),
}

/// The forms in the order in which they are tried at a place. One that another begins with comes after it.
const FORMS: [(&str, Field); 33] = [
    ("January", Field::LongMonth),
    ("Jan", Field::Month),
    ("Monday", Field::LongWeekDay),
    ("Mon", Field::WeekDay),
    ("MST", Field::Name),
    ("002", Field::ZeroYearDay),
    ("01", Field::ZeroMonth),
    ("02", Field::ZeroDay),
    ("03", Field::ZeroHour12),
    ("04", Field::ZeroMinute),
    ("05", Field::ZeroSecond),
    ("06", Field::Year),
    ("15", Field::Hour),
    ("1", Field::NumMonth),
    ("2006", Field::LongYear),
    ("2", Field::Day),
    ("__2", Field::UnderYearDay),
    ("_2", Field::UnderDay),
    ("3", Field::Hour12),
    ("4", Field::Minute),
    ("5", Field::Second),
    ("PM", Field::UpperPm),
    ("pm", Field::LowerPm),
    ("-070000", Field::Offset(false, false, 3)),
    ("-07:00:00", Field::Offset(false, true, 3)),
    ("-0700", Field::Offset(false, false, 2)),
    ("-07:00", Field::Offset(false, true, 2)),
    ("-07", Field::Offset(false, false, 1)),
    ("Z070000", Field::Offset(true, false, 3)),
    ("Z07:00:00", Field::Offset(true, true, 3)),
    ("Z0700", Field::Offset(true, false, 2)),
    ("Z07:00", Field::Offset(true, true, 2)),
    ("Z07", Field::Offset(true, false, 1)),
];

/// What begins at a place of a layout.
enum Part<'l> {
    Literal(&'l str),
    Field(Field, &'l str),
}

/// The parts of a layout.
fn parts(layout: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut literal = 0;
    let mut at = 0;
    while at < layout.len() {
        let Some((field, length)) = field_at(layout, at) else {
            at += layout[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        };
        if literal < at {
            parts.push(Part::Literal(&layout[literal..at]));
        }
        parts.push(Part::Field(field, &layout[at..at + length]));
        at += length;
        literal = at;
    }
    if literal < at {
        parts.push(Part::Literal(&layout[literal..]));
    }
    parts
}

fn field_at(layout: &str, at: usize) -> Option<(Field, usize)> {
    let rest = &layout[at..];
    if let Some(digits) = rest.strip_prefix(['.', ',']) {
        let first = digits.chars().next().filter(|first| matches!(first, '0' | '9'))?;
        let count = digits.len() - digits.trim_start_matches(first).len();
        // More digits behind it, and it is no fraction but a number with a point before it.
        let is_fraction = !digits[count..].starts_with(|next: char| next.is_ascii_digit());
        let field = if first == '0' { Field::Fraction(count) } else { Field::Trimmed(count) };
        return is_fraction.then_some((field, count + 1));
    }
    // A low line before a year is only that.
    if rest.starts_with("_2006") {
        return None;
    }
    let (form, field) = FORMS.iter().find(|(form, _)| rest.starts_with(form))?;
    // `Month` and `Janet` are words of their own.
    let is_short = matches!(field, Field::Month | Field::WeekDay);
    let goes_on = rest[form.len()..].starts_with(|next: char| next.is_ascii_lowercase());
    (!(is_short && goes_on)).then_some((*field, form.len()))
}

/// The time as a text.
pub(super) fn format(time: &Moment, layout: &str) -> String {
    let at = time.civil();
    let mut text = String::with_capacity(layout.len() + 10);
    for part in parts(layout) {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Field(field, _) => text.push_str(&shown(time, at, field)),
        }
    }
    text
}

fn shown(time: &Moment, at: DateTime, field: Field) -> String {
    let month = MONTHS[at.month().unsigned_abs() as usize - 1];
    let day = DAYS[at.weekday().to_sunday_zero_offset().unsigned_abs() as usize];
    let hour12 = match at.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    match field {
        Field::LongMonth => month.to_owned(),
        Field::Month => month[..3].to_owned(),
        Field::ZeroMonth => format!("{:02}", at.month()),
        Field::NumMonth => at.month().to_string(),
        Field::LongWeekDay => day.to_owned(),
        Field::WeekDay => day[..3].to_owned(),
        Field::Day => at.day().to_string(),
        Field::UnderDay => format!("{:2}", at.day()),
        Field::ZeroDay => format!("{:02}", at.day()),
        Field::UnderYearDay => format!("{:3}", at.day_of_year()),
        Field::ZeroYearDay => format!("{:03}", at.day_of_year()),
        Field::Hour => format!("{:02}", at.hour()),
        Field::Hour12 => hour12.to_string(),
        Field::ZeroHour12 => format!("{hour12:02}"),
        Field::Minute => at.minute().to_string(),
        Field::ZeroMinute => format!("{:02}", at.minute()),
        Field::Second => at.second().to_string(),
        Field::ZeroSecond => format!("{:02}", at.second()),
        Field::LongYear if at.year() < 0 => format!("-{:03}", -at.year()),
        Field::LongYear => format!("{:04}", at.year()),
        Field::Year => format!("{:02}", at.year().rem_euclid(100)),
        Field::UpperPm => if at.hour() >= 12 { "PM" } else { "AM" }.to_owned(),
        Field::LowerPm => if at.hour() >= 12 { "pm" } else { "am" }.to_owned(),
        Field::Name => match time.zone.abbreviation(time.at) {
            name if name.is_empty() => {
                let offset = time.zone.offset(time.at);
                let minutes = offset.seconds() / 60 % 60;
                offset_text(offset, false, if minutes == 0 { 1 } else { 2 })
            }
            name => name,
        },
        Field::Offset(with_z, colon, numbers) => {
            let offset = time.zone.offset(time.at);
            if with_z && offset.seconds() == 0 { "Z".to_owned() } else { offset_text(offset, colon, numbers) }
        }
        Field::Fraction(digits) => format!(".{}", nine_digits(at, digits)),
        Field::Trimmed(digits) => match nine_digits(at, digits).trim_end_matches('0') {
            "" => String::new(),
            digits => format!(".{digits}"),
        },
    }
}

/// The first digits of the fraction of a second; zeros where there are no more.
fn nine_digits(at: DateTime, digits: usize) -> String {
    let nanos = format!("{:09}", at.subsec_nanosecond());
    nanos.chars().chain(std::iter::repeat('0')).take(digits.min(64)).collect()
}

fn offset_text(offset: Offset, colon: bool, numbers: usize) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    let all = [seconds / 3600, seconds / 60 % 60, seconds % 60].map(|number| format!("{number:02}"));
    format!("{sign}{}", all[..numbers].join(if colon { ":" } else { "" }))
}

/// What a text says, as far as it was read.
#[derive(Default)]
struct Read {
    year: i16,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    is_pm: Option<bool>,
    /// In seconds; zero for a `Z` too.
    offset: Option<i32>,
    zone_name: Option<String>,
}

/// Why a part of a text was not read.
enum Trouble {
    /// It is not what the layout has there.
    Mismatch,
    /// It is a number that this part of a time can't be.
    Range(&'static str),
}

/// The time that a text says in a layout; in `zone`, where it says none.
///
/// # Errors
/// A sentence as Go has it.
pub(super) fn parse(layout: &str, text: &str, zone: Option<&Zone>) -> Result<Moment, String> {
    let mut read = Read { month: None, ..Read::default() };
    let mut rest = text;
    let parts = parts(layout);
    let failed = |what: &str, at: &str| format!("parsing time {text:?} as {layout:?}: cannot parse {at:?} as {what:?}");
    for (number, part) in parts.iter().enumerate() {
        let begin = rest;
        match part {
            Part::Literal(literal) => skip(&mut rest, literal).ok_or_else(|| failed(literal, begin))?,
            Part::Field(field, form) => {
                let fraction_follows =
                    matches!(parts.get(number + 1), Some(Part::Field(Field::Fraction(_) | Field::Trimmed(_), _)));
                match field_of(&mut read, &mut rest, *field, fraction_follows) {
                    Ok(()) => {}
                    Err(Trouble::Mismatch) => return Err(failed(form, begin)),
                    Err(Trouble::Range(what)) => return Err(format!("parsing time {text:?}: {what} out of range")),
                }
            }
        }
    }
    if !rest.is_empty() {
        return Err(format!("parsing time {text:?}: extra text: {rest:?}"));
    }
    read.moment(zone).map_err(|what| format!("parsing time {text:?}: {what} out of range"))
}

/// Skips a literal; a space stands for any number of them.
fn skip(rest: &mut &str, literal: &str) -> Option<()> {
    let mut literal = literal;
    while let Some(next) = literal.chars().next() {
        if next == ' ' {
            if !rest.is_empty() && !rest.starts_with(' ') {
                return None;
            }
            literal = literal.trim_start_matches(' ');
            *rest = rest.trim_start_matches(' ');
        } else {
            *rest = rest.strip_prefix(next)?;
            literal = &literal[next.len_utf8()..];
        }
    }
    Some(())
}

/// `most` digits, or fewer where `least` is less.
fn number(rest: &mut &str, least: usize, most: usize) -> Result<i64, Trouble> {
    let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return Err(Trouble::Mismatch);
    }
    let (digits, tail) = rest.split_at(count);
    *rest = tail;
    digits.parse().map_err(|_| Trouble::Mismatch)
}

fn in_range(number: i64, range: std::ops::RangeInclusive<i64>, what: &'static str) -> Result<i64, Trouble> {
    if range.contains(&number) { Ok(number) } else { Err(Trouble::Range(what)) }
}

/// Which of these words comes next, letters of either case; `length` of each, 0 for all.
fn word(rest: &mut &str, words: &[&str], length: usize) -> Result<usize, Trouble> {
    for (at, word) in words.iter().enumerate() {
        let word = if length == 0 { word } else { &word[..length] };
        if rest.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word)) {
            *rest = &rest[word.len()..];
            return Ok(at);
        }
    }
    Err(Trouble::Mismatch)
}

fn field_of(read: &mut Read, rest: &mut &str, field: Field, fraction_follows: bool) -> Result<(), Trouble> {
    match field {
        Field::LongYear => read.year = number(rest, 4, 4)? as i16,
        Field::Year => {
            let year = number(rest, 2, 2)? as i16;
            read.year = if year >= 69 { 1900 + year } else { 2000 + year };
        }
        Field::LongMonth => read.month = Some(word(rest, &MONTHS, 0)? as i64 + 1),
        Field::Month => read.month = Some(word(rest, &MONTHS, 3)? as i64 + 1),
        Field::ZeroMonth => read.month = Some(in_range(number(rest, 2, 2)?, 1..=12, "month")?),
        Field::NumMonth => read.month = Some(in_range(number(rest, 1, 2)?, 1..=12, "month")?),
        Field::LongWeekDay => drop(word(rest, &DAYS, 0)?),
        Field::WeekDay => drop(word(rest, &DAYS, 3)?),
        Field::Day | Field::UnderDay => {
            if field == Field::UnderDay {
                *rest = rest.strip_prefix(' ').unwrap_or(rest);
            }
            read.day = Some(number(rest, 1, 2)?);
        }
        Field::ZeroDay => read.day = Some(number(rest, 2, 2)?),
        Field::UnderYearDay => {
            let spaces = rest.len() - rest.trim_start_matches(' ').len();
            *rest = &rest[spaces.min(2)..];
            read.year_day = Some(number(rest, 3 - spaces.min(2), 3 - spaces.min(2))?);
        }
        Field::ZeroYearDay => read.year_day = Some(number(rest, 3, 3)?),
        Field::Hour => read.hour = in_range(number(rest, 1, 2)?, 0..=23, "hour")?,
        Field::Hour12 => read.hour = in_range(number(rest, 1, 2)?, 0..=12, "hour")?,
        Field::ZeroHour12 => read.hour = in_range(number(rest, 2, 2)?, 0..=12, "hour")?,
        Field::Minute => read.minute = in_range(number(rest, 1, 2)?, 0..=59, "minute")?,
        Field::ZeroMinute => read.minute = in_range(number(rest, 2, 2)?, 0..=59, "minute")?,
        Field::Second | Field::ZeroSecond => {
            let least = if field == Field::Second { 1 } else { 2 };
            read.second = in_range(number(rest, least, 2)?, 0..=59, "second")?;
            // A fraction is read even where the layout has none.
            if !fraction_follows && starts_fraction(rest) {
                read.nanos = fraction(rest, usize::MAX)?;
            }
        }
        Field::Fraction(digits) => read.nanos = fraction(rest, digits)?,
        Field::Trimmed(_) => {
            if starts_fraction(rest) {
                read.nanos = fraction(rest, usize::MAX)?;
            }
        }
        Field::UpperPm => read.is_pm = Some(half(rest, ["AM", "PM"])?),
        Field::LowerPm => read.is_pm = Some(half(rest, ["am", "pm"])?),
        Field::Name => {
            let length = zone_name(rest).ok_or(Trouble::Mismatch)?;
            let (name, tail) = rest.split_at(length);
            *rest = tail;
            match name {
                "UTC" => read.offset = Some(0),
                name => read.zone_name = Some(name.to_owned()),
            }
        }
        Field::Offset(with_z, colon, numbers) => {
            if with_z && rest.starts_with('Z') {
                *rest = &rest[1..];
                read.offset = Some(0);
                return Ok(());
            }
            read.offset = Some(offset(rest, colon, numbers)?);
        }
    }
    Ok(())
}

fn half(rest: &mut &str, [am, pm]: [&str; 2]) -> Result<bool, Trouble> {
    let is_pm = rest.starts_with(pm);
    if !is_pm && !rest.starts_with(am) {
        return Err(Trouble::Mismatch);
    }
    *rest = &rest[2..];
    Ok(is_pm)
}

fn starts_fraction(rest: &str) -> bool {
    rest.strip_prefix(['.', ',']).is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_digit()))
}

/// A point and so many digits, or as many as there are; what is below a nanosecond is left out.
fn fraction(rest: &mut &str, digits: usize) -> Result<i64, Trouble> {
    let tail = rest.strip_prefix(['.', ',']).ok_or(Trouble::Mismatch)?;
    let count = tail.bytes().take(digits).take_while(u8::is_ascii_digit).count();
    if digits != usize::MAX && count < digits {
        return Err(Trouble::Mismatch);
    }
    let text: String = tail[..count].chars().chain(std::iter::repeat('0')).take(9).collect();
    *rest = &tail[count..];
    text.parse().map_err(|_| Trouble::Mismatch)
}

fn offset(rest: &mut &str, colon: bool, numbers: usize) -> Result<i32, Trouble> {
    let sign = match rest.chars().next() {
        Some('+') => 1,
        Some('-') => -1,
        _ => return Err(Trouble::Mismatch),
    };
    *rest = &rest[1..];
    let mut seconds = 0;
    for (at, (scale, max)) in [(3600, 24), (60, 59), (1, 59)].into_iter().take(numbers).enumerate() {
        if at > 0 && colon {
            *rest = rest.strip_prefix(':').ok_or(Trouble::Mismatch)?;
        }
        let part = in_range(number(rest, 2, 2)?, 0..=max, "time zone offset")?;
        seconds += part as i32 * scale;
    }
    Ok(sign * seconds)
}

/// How long the abbreviation of a zone is that a text begins with: three letters in most cases.
fn zone_name(text: &str) -> Option<usize> {
    if text.starts_with("ChST") || text.starts_with("MeST") {
        return Some(4);
    }
    if let Some(rest) = text.strip_prefix("GMT") {
        return Some(3 + hours(rest));
    }
    if text.starts_with(['+', '-']) {
        return Some(hours(text)).filter(|length| *length > 0);
    }
    let upper = text.bytes().take(6).take_while(u8::is_ascii_uppercase).count();
    match upper {
        3 => Some(3),
        4 if text[..4].ends_with('T') || text.starts_with("WITA") => Some(4),
        5 if text[..5].ends_with('T') => Some(5),
        _ => None,
    }
}

/// The length of a sign and hours that follow; 0 when they don't.
fn hours(text: &str) -> usize {
    let digits = text.bytes().skip(1).take_while(u8::is_ascii_digit).count();
    let is_good = text.starts_with(['+', '-']) && text[1..1 + digits].parse::<u8>().is_ok_and(|hours| hours <= 23);
    if is_good { 1 + digits } else { 0 }
}

impl Read {
    fn moment(self, zone: Option<&Zone>) -> Result<Moment, &'static str> {
        let hour = match self.is_pm {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let (month, day) = self.date()?;
        let clock = [hour, self.minute, self.second, self.nanos];
        let at = civil([self.year.into(), month, day], clock).ok_or("year")?;
        let utc = Offset::UTC.to_timestamp(at).map_err(|_| "year")?;
        let default = zone.unwrap_or(&Zone::Local);
        if let Some(seconds) = self.offset {
            let offset = Offset::from_seconds(seconds).map_err(|_| "time zone offset")?;
            let at = offset.to_timestamp(at).map_err(|_| "year")?;
            let zone = match (seconds, self.zone_name) {
                (0, None) => Zone::Utc,
                _ if default.offset(at) == offset => default.clone(),
                (_, name) => Zone::Fixed(name.unwrap_or_default().into(), offset),
            };
            return Ok(Moment { at, zone });
        }
        if let Some(name) = self.zone_name {
            if let Some(offset) = default.offset_called(&name, utc) {
                let at = offset.to_timestamp(at).map_err(|_| "year")?;
                return Ok(Moment { at, zone: default.clone() });
            }
            // A name that the zone does not know says nothing of an offset, but for `GMT+3`.
            let hours = name.strip_prefix("GMT").and_then(|hours| hours.parse::<i32>().ok()).unwrap_or_default();
            let offset = Offset::from_seconds(hours * 3600).map_err(|_| "time zone offset")?;
            let at = offset.to_timestamp(at).map_err(|_| "year")?;
            return Ok(Moment { at, zone: Zone::Fixed(name.into(), offset) });
        }
        let zone = zone.cloned().unwrap_or(Zone::Utc);
        let at = zone.zone().to_timestamp(at).map_err(|_| "year")?;
        Ok(Moment { at, zone })
    }

    /// Month and day, checked: no other part of a date is out of range.
    fn date(&self) -> Result<(i64, i64), &'static str> {
        let first = |month: i64| {
            let month = i8::try_from(month).map_err(|_| "month")?;
            jiff::civil::Date::new(self.year, month, 1).map_err(|_| "year")
        };
        if let Some(day) = self.year_day {
            if day < 1 || day > first(1)?.days_in_year().into() {
                return Err("day-of-year");
            }
            let date = first(1)?.checked_add(jiff::SignedDuration::from_hours(24 * (day - 1))).map_err(|_| "year")?;
            let (month, of_month) = (i64::from(date.month()), i64::from(date.day()));
            if self.month.is_some_and(|given| given != month) || self.day.is_some_and(|given| given != of_month) {
                return Err("day-of-year");
            }
            return Ok((month, of_month));
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if day < 1 || day > first(month)?.days_in_month().into() {
            return Err("day");
        }
        Ok((month, day))
    }
}
