//! Lua's patterns, matched in slices: a pattern that needs exponential time is stopped like a loop is.
//!
//! A match is a machine with a stack of its own instead of a recursion, so it can be left after any step and taken up
//! again. Its stack is never deeper than the pattern has items.

mod class;
#[cfg(test)]
mod tests;

use class::{class_end, single};

/// The most captures of a pattern.
pub(super) const CAPTURES_MAX: usize = 32;

/// Steps between two questions to the meter: some microseconds.
pub(super) const SLICE: usize = 4096;

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    #[error("malformed pattern (ends with '%')")]
    EndsWithEscape,
    #[error("malformed pattern (missing ']')")]
    OpenSet,
    #[error("malformed pattern (missing arguments to '%b')")]
    Balance,
    #[error("missing '[' after '%f' in pattern")]
    Frontier,
    #[error("unfinished capture")]
    OpenCapture,
    #[error("invalid pattern capture")]
    NoCapture,
    #[error("invalid capture index %{0}")]
    CaptureIndex(usize),
    #[error("too many captures")]
    TooManyCaptures,
}

/// A part of the subject that a pattern captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capture {
    /// From here on, and not ended yet.
    Open(usize),
    /// A place, for `()`.
    Place(usize),
    /// From here to there.
    Range(usize, usize),
}

/// Where to go on when what was tried does not lead to a match.
#[derive(Clone, Copy, Debug)]
enum Choice {
    /// There, once.
    Else { at: usize, pattern: usize },
    /// One item less of so many.
    Fewer { from: usize, count: usize, pattern: usize },
    /// One item more, as long as it fits.
    More { at: usize, item: usize, after: usize },
    /// A capture was begun: it was not.
    Opened,
    /// A capture was ended: it is open again.
    Closed { index: usize, from: usize },
}

/// What a machine does next.
#[derive(Clone, Copy, Debug)]
enum Mode {
    At {
        at: usize,
        pattern: usize,
    },
    /// Counts how often an item fits.
    Counting {
        from: usize,
        count: usize,
        item: usize,
        after: usize,
    },
    /// Looks for the end of a balanced part.
    Balancing {
        at: usize,
        depth: usize,
        pattern: usize,
    },
    Failing,
    Matched(usize),
    Failed,
}

/// What became of a slice of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The slice is over.
    Unfinished,
    /// It matches up to here.
    Matched(usize),
    /// It does not.
    Failed,
}

/// One try to match a pattern at one place of a subject.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    mode: Mode,
    choices: Vec<Choice>,
    captures: Vec<Capture>,
}

impl Machine {
    /// A machine that is going to try at this place, with the pattern from there on.
    pub(super) fn new(at: usize, pattern: usize) -> Self {
        Self { mode: Mode::At { at, pattern }, choices: Vec::new(), captures: Vec::new() }
    }

    /// Starts again elsewhere.
    pub(super) fn restart(&mut self, at: usize, pattern: usize) {
        self.mode = Mode::At { at, pattern };
        self.choices.clear();
        self.captures.clear();
    }

    /// What it captured.
    pub(super) fn captures(&self) -> &[Capture] {
        &self.captures
    }

    /// Works until it knows, or `steps` are used up.
    ///
    /// # Errors
    /// The pattern is none.
    pub(super) fn run(&mut self, subject: &[u8], pattern: &[u8], steps: &mut usize) -> Result<Progress, PatternError> {
        while *steps > 0 {
            *steps -= 1;
            self.mode = match self.mode {
                Mode::At { at, pattern: place } => self.step(subject, pattern, at, place, steps)?,
                Mode::Counting { from, count, item, after } => {
                    *steps = steps.saturating_sub((after - item) / 8);
                    if single(subject, from + count, pattern, item, after) {
                        Mode::Counting { from, count: count + 1, item, after }
                    } else {
                        self.choices.push(Choice::Fewer { from, count, pattern: after + 1 });
                        Mode::At { at: from + count, pattern: after + 1 }
                    }
                }
                Mode::Balancing { at, depth, pattern: place } => balance(subject, pattern, at, depth, place),
                Mode::Failing => self.retry(subject, pattern),
                Mode::Matched(end) => return Ok(Progress::Matched(end)),
                Mode::Failed => return Ok(Progress::Failed),
            };
        }
        Ok(match self.mode {
            Mode::Matched(end) => Progress::Matched(end),
            Mode::Failed => Progress::Failed,
            _ => Progress::Unfinished,
        })
    }

    fn step(
        &mut self,
        subject: &[u8],
        pattern: &[u8],
        at: usize,
        place: usize,
        steps: &mut usize,
    ) -> Result<Mode, PatternError> {
        let fits = |fits: bool, next: Mode| Ok(if fits { next } else { Mode::Failing });
        match (pattern.get(place), pattern.get(place + 1)) {
            (None, _) => {
                let is_open = self.captures.iter().any(|capture| matches!(capture, Capture::Open(_)));
                return if is_open { Err(PatternError::OpenCapture) } else { Ok(Mode::Matched(at)) };
            }
            (Some(b'('), next) => {
                if self.captures.len() >= CAPTURES_MAX {
                    return Err(PatternError::TooManyCaptures);
                }
                self.choices.push(Choice::Opened);
                let (capture, length) = match next {
                    Some(b')') => (Capture::Place(at), 2),
                    _ => (Capture::Open(at), 1),
                };
                self.captures.push(capture);
                return Ok(Mode::At { at, pattern: place + length });
            }
            (Some(b')'), _) => {
                let open = self.captures.iter().rposition(|capture| matches!(capture, Capture::Open(_)));
                let Some(index) = open else { return Err(PatternError::NoCapture) };
                if let Capture::Open(from) = self.captures[index] {
                    self.captures[index] = Capture::Range(from, at);
                    self.choices.push(Choice::Closed { index, from });
                }
                return Ok(Mode::At { at, pattern: place + 1 });
            }
            (Some(b'$'), None) => return fits(at == subject.len(), Mode::At { at, pattern: place + 1 }),
            (Some(b'%'), Some(b'b')) => {
                let Some([begin, _]) = pattern.get(place + 2..place + 4) else { return Err(PatternError::Balance) };
                let next = Mode::Balancing { at: at + 1, depth: 1, pattern: place };
                return fits(subject.get(at) == Some(begin), next);
            }
            (Some(b'%'), Some(b'f')) => {
                let set = place + 2;
                if pattern.get(set) != Some(&b'[') {
                    return Err(PatternError::Frontier);
                }
                let end = class_end(pattern, set)?;
                let before = at.checked_sub(1).map_or(0, |before| subject[before]);
                let here = subject.get(at).copied().unwrap_or(0);
                let is_frontier = !class::in_set(before, pattern, set, end) && class::in_set(here, pattern, set, end);
                return fits(is_frontier, Mode::At { at, pattern: end });
            }
            (Some(b'%'), Some(digit @ b'0'..=b'9')) => {
                let index = usize::from(digit - b'0');
                let capture = index.checked_sub(1).and_then(|index| self.captures.get(index));
                let Some(Capture::Range(from, to)) = capture else { return Err(PatternError::CaptureIndex(index)) };
                let said = &subject[*from..*to];
                *steps = steps.saturating_sub(said.len() / 64);
                let next = Mode::At { at: at + said.len(), pattern: place + 2 };
                return fits(subject[at..].starts_with(said), next);
            }
            _ => {}
        }
        let after = class_end(pattern, place)?;
        // A set is walked through for each letter.
        *steps = steps.saturating_sub((after - place) / 8);
        let is_here = single(subject, at, pattern, place, after);
        match pattern.get(after) {
            Some(b'?') => {
                if is_here {
                    self.choices.push(Choice::Else { at, pattern: after + 1 });
                    return Ok(Mode::At { at: at + 1, pattern: after + 1 });
                }
                Ok(Mode::At { at, pattern: after + 1 })
            }
            Some(b'+') => fits(is_here, Mode::Counting { from: at + 1, count: 0, item: place, after }),
            Some(b'*') => Ok(Mode::Counting { from: at, count: 0, item: place, after }),
            Some(b'-') => {
                self.choices.push(Choice::More { at, item: place, after });
                Ok(Mode::At { at, pattern: after + 1 })
            }
            _ => fits(is_here, Mode::At { at: at + 1, pattern: after }),
        }
    }

    /// Takes the last choice back and makes the next one.
    fn retry(&mut self, subject: &[u8], pattern: &[u8]) -> Mode {
        match self.choices.pop() {
            None => Mode::Failed,
            Some(Choice::Else { at, pattern }) => Mode::At { at, pattern },
            Some(Choice::Fewer { count: 0, .. }) => Mode::Failing,
            Some(Choice::Fewer { from, count, pattern }) => {
                let count = count - 1;
                self.choices.push(Choice::Fewer { from, count, pattern });
                Mode::At { at: from + count, pattern }
            }
            Some(Choice::More { at, item, after }) => {
                if !single(subject, at, pattern, item, after) {
                    return Mode::Failing;
                }
                self.choices.push(Choice::More { at: at + 1, item, after });
                Mode::At { at: at + 1, pattern: after + 1 }
            }
            Some(Choice::Opened) => {
                self.captures.pop();
                Mode::Failing
            }
            Some(Choice::Closed { index, from }) => {
                self.captures[index] = Capture::Open(from);
                Mode::Failing
            }
        }
    }
}

/// One letter further in a balanced part.
fn balance(subject: &[u8], pattern: &[u8], at: usize, depth: usize, place: usize) -> Mode {
    let (begin, end) = (pattern[place + 2], pattern[place + 3]);
    match subject.get(at) {
        None => Mode::Failing,
        // Asked first: both may be the same letter.
        Some(letter) if *letter == end => match depth {
            1 => Mode::At { at: at + 1, pattern: place + 4 },
            depth => Mode::Balancing { at: at + 1, depth: depth - 1, pattern: place },
        },
        Some(letter) if *letter == begin => Mode::Balancing { at: at + 1, depth: depth + 1, pattern: place },
        Some(_) => Mode::Balancing { at: at + 1, depth, pattern: place },
    }
}

/// Looks for the matches of a pattern in a subject, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// Where the present try is.
    at: usize,
    /// The end of the last match: an empty one is not found there again.
    last: Option<usize>,
    is_anchored: bool,
    is_over: bool,
    machine: Machine,
}

/// A match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) captures: Vec<Capture>,
}

impl Search {
    /// A search from here on. A `^` at the beginning of the pattern is an anchor if `takes_anchor`; for `gmatch` it is a
    /// letter.
    pub(super) fn new(from: usize, pattern: &[u8], takes_anchor: bool) -> Self {
        let is_anchored = takes_anchor && pattern.first() == Some(&b'^');
        let machine = Machine::new(from, usize::from(is_anchored));
        Self { at: from, last: None, is_anchored, is_over: false, machine }
    }

    /// The next match; `None` inside when there is no more, outside when the steps are used up.
    ///
    /// # Errors
    /// The pattern is none.
    pub(super) fn next(
        &mut self,
        subject: &[u8],
        pattern: &[u8],
        steps: &mut usize,
    ) -> Result<Option<Option<Found>>, PatternError> {
        loop {
            if self.is_over {
                return Ok(Some(None));
            }
            let end = match self.machine.run(subject, pattern, steps)? {
                Progress::Unfinished => return Ok(None),
                Progress::Matched(end) if self.last != Some(end) => Some(end),
                Progress::Matched(_) | Progress::Failed => None,
            };
            let found = end.map(|to| {
                let captures = self.machine.captures().to_vec();
                Found { from: self.at, to, captures }
            });
            match &found {
                Some(found) => {
                    self.last = Some(found.to);
                    self.at = found.to;
                }
                None => self.at += 1,
            }
            self.is_over = self.is_anchored || self.at > subject.len();
            self.machine.restart(self.at, usize::from(self.is_anchored));
            if found.is_some() {
                return Ok(Some(found));
            }
        }
    }
}
