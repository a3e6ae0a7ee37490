//! When a batch stops before its inputs do.

use std::fmt;
use std::str::FromStr;

/// Of how many items a share is taken at the least: of fewer it says nothing.
const SHARE_OF_MIN: u64 = 20;

/// What failures do to the rest of a batch.
///
/// ```
/// use wippy::batch::{Halt, Verdict};
///
/// let halt: Halt = "soon,fail=2".parse()?;
/// assert_eq!(halt.verdict(100, 1), Verdict::GoOn);
/// assert_eq!(halt.verdict(100, 2), Verdict::Drain);
/// assert_eq!("now".parse::<Halt>()?.verdict(1, 1), Verdict::Terminate);
/// # Ok::<(), wippy::batch::ParseHaltError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Halt {
    /// Nothing.
    #[default]
    Never,
    /// After so many nothing new begins.
    Soon(Failures),
    /// After so many nothing new begins, and what runs is ended by force.
    Now(Failures),
}

/// How many failures are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failures {
    /// This many.
    Count(u64),
    /// So many of a hundred items, once 20 are over.
    Percent(u8),
}

/// What to do with the rest of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As before.
    GoOn,
    /// Begin nothing new.
    Drain,
    /// Begin nothing new and end what runs.
    Terminate,
}

impl Halt {
    /// What to do after so many items, of which so many failed.
    #[must_use]
    pub fn verdict(self, items: u64, failed: u64) -> Verdict {
        let is_reached = |failures| match failures {
            Failures::Count(count) => failed >= count,
            Failures::Percent(percent) => {
                items >= SHARE_OF_MIN && u128::from(failed) * 100 >= u128::from(items) * u128::from(percent)
            }
        };
        match self {
            Self::Soon(failures) if is_reached(failures) => Verdict::Drain,
            Self::Now(failures) if is_reached(failures) => Verdict::Terminate,
            Self::Never | Self::Soon(_) | Self::Now(_) => Verdict::GoOn,
        }
    }
}

/// A text that says no [`Halt`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `never`, `soon` or `now`, the last two with `,fail=N` or `,fail=N%` if one failure is not enough")]
pub struct ParseHaltError;

impl FromStr for Halt {
    type Err = ParseHaltError;

    fn from_str(text: &str) -> Result<Self, ParseHaltError> {
        let (when, failures) = match text.split_once(',') {
            None => (text, Failures::Count(1)),
            Some((when, failures)) => (when, failures.strip_prefix("fail=").ok_or(ParseHaltError)?.parse()?),
        };
        match when {
            "never" if text == "never" => Ok(Self::Never),
            "soon" => Ok(Self::Soon(failures)),
            "now" => Ok(Self::Now(failures)),
            _ => Err(ParseHaltError),
        }
    }
}

impl FromStr for Failures {
    type Err = ParseHaltError;

    fn from_str(text: &str) -> Result<Self, ParseHaltError> {
        let failures = match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|percent| (1..=100).contains(percent)).map(Self::Percent),
            None => text.parse().ok().filter(|count| *count > 0).map(Self::Count),
        };
        failures.ok_or(ParseHaltError)
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Soon(failures) => write!(f, "soon,fail={failures}"),
            Self::Now(failures) => write!(f, "now,fail={failures}"),
        }
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_read() {
        for text in ["never", "soon,fail=1", "now,fail=7", "soon,fail=10%", "now,fail=100%"] {
            assert_eq!(text.parse::<Halt>().map(|halt| halt.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "later", "never,fail=1", "soon,", "soon,fail=", "now,fail=0", "now,fail=0%", "now,fail=101%"] {
            assert_eq!(text.parse::<Halt>(), Err(ParseHaltError), "{text}");
        }
    }

    #[test]
    fn a_share_counts_once_there_are_enough_items() {
        let halt = Halt::Soon(Failures::Percent(10));
        for (items, failed, verdict) in [
            (19, 19, Verdict::GoOn),
            (20, 1, Verdict::GoOn),
            (20, 2, Verdict::Drain),
            (1000, 99, Verdict::GoOn),
            (1000, 100, Verdict::Drain),
        ] {
            assert_eq!(halt.verdict(items, failed), verdict, "{failed} of {items}");
        }
        assert_eq!(Halt::Never.verdict(100, 100), Verdict::GoOn);
        assert_eq!(Halt::Now(Failures::Count(3)).verdict(9, 3), Verdict::Terminate);
        assert_eq!(Halt::Now(Failures::Count(3)).verdict(9, 2), Verdict::GoOn);
    }
}
