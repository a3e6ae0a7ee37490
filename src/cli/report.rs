//! Errors as text: what went wrong in one line, then what to do, each part where a reader looks for it.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use super::args::Color;
use super::exit::{FAILURE, Outcome, SUCCESS, USAGE};
use super::log::wants_color;
use crate::registry::{Diagnostics, render};

/// Why a command of this program can't do what was asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandError {
    code: u8,
    message: String,
    /// Next steps, one a line.
    help: Vec<String>,
}

impl CommandError {
    /// What was asked for can't be tried: exit code 2.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into(), help: Vec::new() }
    }

    /// It was tried and went wrong: exit code 1.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self { code: FAILURE, message: message.into(), help: Vec::new() }
    }

    /// Adds a next step.
    #[must_use]
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    pub(super) fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        for help in &self.help {
            let mut lines = help.lines();
            writeln!(f, "  = help: {}", lines.next().unwrap_or_default())?;
            for line in lines {
                writeln!(f, "{}{line}", if line.is_empty() { "" } else { "    " })?;
            }
        }
        Ok(())
    }
}

/// The streams of this program and how they are written to: whole texts, colours where they are wanted, and no panic when
/// nobody reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    color: Color,
}

impl Terminal {
    pub(super) fn new(color: Color) -> Self {
        Self { color }
    }

    /// Writes to stdout. A closed stdout is no error: who reads no more wants no more.
    ///
    /// # Errors
    /// Stdout can't be written, for example because the disk is full.
    pub(super) fn out(self, text: &str) -> Result<(), CommandError> {
        self.out_while_read(text).map(|_| ())
    }

    /// [`Terminal::out`] for somebody who would go on for ever: false when nobody reads any more.
    ///
    /// # Errors
    /// As [`Terminal::out`].
    pub(super) fn out_while_read(self, text: &str) -> Result<bool, CommandError> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(CommandError::failed(format!("standard output can't be written: {error}"))),
        }
    }

    /// Writes to stderr. There is nobody to tell when that fails. Once a signal has asked for the end, what nobody reads for
    /// [`LAST_WORDS`] is left out.
    pub(super) fn err(self, text: &str) {
        let mut stderr = io::stderr().lock();
        for part in text.as_bytes().chunks(PIPE_BUF) {
            if is_ending() && !has_room(&stderr) || stderr.write_all(part).is_err() {
                return;
            }
        }
        let _ = stderr.flush();
    }

    /// Writes an error, its first word in colour.
    pub(super) fn error(self, error: &CommandError) {
        let text = error.to_string();
        match text.strip_prefix("error:") {
            Some(rest) if self.colors_err() => self.err(&format!("{RED}error{BOLD}:{RESET}{rest}")),
            _ => self.err(&text),
        }
    }

    /// Writes the problems of an application to stderr.
    pub(super) fn problems(self, problems: &Diagnostics) {
        self.err(&render::text(problems, self.colors_err()));
    }

    /// Writes what an outcome has to say, and gives its code.
    pub(super) fn outcome(self, outcome: &Outcome) -> u8 {
        let written = self.out(&outcome.stdout);
        self.err(&outcome.stderr);
        match written {
            Ok(()) => outcome.code,
            Err(error) => {
                self.error(&error);
                if outcome.code == SUCCESS { error.code() } else { outcome.code }
            }
        }
    }

    /// Whether stdout gets colours.
    pub(super) fn colors_out(self) -> bool {
        wants_color(self.color, io::stdout().is_terminal())
    }

    /// Whether stderr gets colours.
    pub(super) fn colors_err(self) -> bool {
        wants_color(self.color, io::stderr().is_terminal())
    }
}

/// Set by a signal that asks for the end of the program.
static ENDING: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// How long a program that is to end waits for the reader of what it has to say.
const LAST_WORDS: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Bytes that a pipe takes at once when it has room for any.
const PIPE_BUF: usize = 4096;

/// From when `ending` is set nothing is waited for long that is only told.
pub(super) fn hurry_after(ending: Arc<AtomicBool>) {
    // The first one stays: signals are of the program, and taken over once.
    let _ = ENDING.set(ending);
}

fn is_ending() -> bool {
    ENDING.get().is_some_and(|ending| ending.load(Ordering::Relaxed))
}

/// Whether a stream takes some more, within [`LAST_WORDS`].
fn has_room(stream: &impl AsFd) -> bool {
    let poll = || poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&LAST_WORDS));
    retry_on_intr(poll).is_ok_and(|ready| ready > 0)
}

/// Starts bold text.
pub(super) const BOLD: &str = "\x1b[1m";
/// Starts bold red text.
const RED: &str = "\x1b[1;31m";
/// Ends what was started.
pub(super) const RESET: &str = "\x1b[0m";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_from_the_problem_to_the_next_step() {
        let error = CommandError::usage("no command `gret`")
            .help("did you mean `greet`?")
            .help("declare one:\n- name: terminal\n\n  kind: terminal.host");
        let text = "error: no command `gret`\n  = help: did you mean `greet`?\n  = help: declare one:\n    - name: terminal\n\n      kind: terminal.host\n";
        assert_eq!(error.to_string(), text);
        assert_eq!((error.code(), CommandError::failed("x").code()), (2, 1));
    }
}
