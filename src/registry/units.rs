//! Numbers with units: durations as Go writes them, sizes in bytes, counts with underscores, octal modes.

use std::time::Duration;

/// Reads a duration as Go writes it: `500ms`, `1m30s`, `1.5h`, `0`. Negative ones are refused.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err("the duration is empty".to_owned());
    }
    if text.starts_with('-') {
        return Err(format!("`{text}` is negative"));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail.find(|char: char| char.is_ascii_digit() || char == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let scale: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => return Err(format!("`{text}` has no unit")),
            _ => return Err(format!("`{text}` has the unknown unit `{}`", unit.trim())),
        };
        let part = scaled(number, scale).ok_or_else(|| format!("`{text}` is no duration"))?;
        nanos = nanos.saturating_add(part);
        rest = tail;
    }
    // Go keeps durations in 63 bits of nanoseconds; so do we, and a sum of several never overflows.
    match u64::try_from(nanos) {
        Ok(nanos) if nanos <= i64::MAX as u64 => Ok(Duration::from_nanos(nanos)),
        _ => Err(format!("`{text}` is longer than 292 years")),
    }
}

/// `number` (digits with at most one point) times `scale`, fractions of a nanosecond dropped.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    // Longer texts overflow anyway (or are below a nanosecond in the fraction).
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) || whole.len() > 20 {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(15)];
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some(whole.checked_mul(scale)?.saturating_add(part * scale / 10u128.pow(fraction.len() as u32)))
}

/// Reads a number of bytes: `64MiB`, `10 MB`, `1_000_000`.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|char: char| !char.is_ascii_digit() && char != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ if number.is_empty() => return Err(format!("`{text}` is no size")),
        _ => return Err(format!("`{text}` has the unknown unit `{}`", unit.trim())),
    };
    parse_count(number)
        .map_err(|_| format!("`{text}` is no size"))?
        .checked_mul(scale)
        .ok_or_else(|| format!("`{text}` is larger than 64 bits can count"))
}

/// Reads a number of things: `1_000_000`.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn parse_count(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if !text.starts_with(|char: char| char.is_ascii_digit()) || text.ends_with('_') || text.contains("__") {
        return Err(format!("`{text}` is no whole number"));
    }
    let digits: String = text.chars().filter(|char| *char != '_').collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` is no whole number"));
    }
    digits.parse().map_err(|_| format!("`{text}` is larger than 64 bits can count"))
}

/// Reads permission bits in octal: `0755`, `755`, `0o755`.
pub(crate) fn parse_mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte)) {
        return None;
    }
    u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= MAX_MODE)
}

/// All permission bits there are, with set-uid, set-gid and sticky.
pub(crate) const MAX_MODE: u32 = 0o7777;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("5ns", 5),
            ("2us", 2_000),
            ("2µs", 2_000),
            ("500ms", 500_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("+1h", 3_600_000_000_000),
            ("0.0000000000000000001s", 0),
        ];
        for (text, nanos) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_duration() {
        let bad = ["", "5", "s", "5x", "1 s", "-5s", "5s5", "1.2.3s", ".s", "300000000h", "99999999999999999999999h"];
        for text in bad {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        for (text, bytes) in [("0", 0), ("64MiB", 64 << 20), ("10 MB", 10_000_000), ("1_000_000", 1_000_000), ("3b", 3)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "1.5GiB", "64M", "-1", "1__0", "99999999TiB", "1 2"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_may_have_underscores() {
        assert_eq!(parse_count("1_000"), Ok(1_000));
        for text in ["", "_1", "1_", "1__0", "1.0", "-1", "18446744073709551616"] {
            assert!(parse_count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(parse_mode("0755"), Some(0o755));
        assert_eq!(parse_mode("0o644"), Some(0o644));
        for text in ["", "0o", "0888", "-1", "17777", "rwx"] {
            assert_eq!(parse_mode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = (parse_duration(&text), parse_bytes(&text), parse_count(&text), parse_mode(&text));
        }

        #[test]
        fn seconds_survive(seconds in 0u64..1_000_000_000) {
            prop_assert_eq!(parse_duration(&format!("{seconds}s")), Ok(Duration::from_secs(seconds)));
        }
    }
}
