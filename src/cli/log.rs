//! Logs: where they go, which ones, and when nobody wants them.
//!
//! Lines are handed to a thread of their own: guests log from inside their steps, and no worker may wait for whoever reads
//! stderr.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::args::{Color, Global};
use super::report::CommandError;

/// The variable with a filter in the form of `tracing`: `debug`, `warn,wippy::process=trace`.
const FILTER_VARIABLE: &str = "WIPPY_LOG";

/// What runs, as far as logs care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Services: their log is what they have to say.
    Services,
    /// A command: its output is the guest's, so the log is silent unless asked for.
    Command,
}

/// Lines that wait for a slow reader of stderr. Beyond it lines are left out, counted, and the count told at the end.
const WAITING_LINES_MAX: usize = 16 * 1024;

/// The thread that writes lines; the README names it.
const THREAD: &str = "wippy-log";

/// The log of this program, from its installation to its end.
#[derive(Default)]
pub(super) struct Log {
    hidden: Arc<AtomicBool>,
    /// What ends the thread with the lines that wait, and what it had to leave out; none while nobody wants a log.
    thread: Option<(WorkerGuard, ErrorCounter)>,
}

impl Log {
    /// Hides every line from now on: the terminal belongs to a process (`hide_logs`).
    pub(super) fn hide(&self) {
        // Relaxed: a line more or less at the border is nobody's loss.
        self.hidden.store(true, Ordering::Relaxed);
    }

    /// Writes what waits, as far as somebody reads, and says how many lines were left out.
    pub(super) fn finish(self) -> usize {
        let Some((guard, left_out)) = self.thread else { return 0 };
        drop(guard);
        left_out.dropped_lines()
    }
}

/// Sends logs to stderr from now on.
///
/// `configured` is the application's `logmanager.min_level`: -1 debug, 0 info, 1 warnings, 2 errors. It is the lowest
/// level of services; options and the variable come before it.
///
/// # Errors
/// The filter variable can't be read as a filter.
pub(super) fn install(global: &Global, audience: Audience, configured: Option<i64>) -> Result<Log, CommandError> {
    let variable = std::env::var(FILTER_VARIABLE).ok();
    let Some(filter) = filter(global, audience, configured, variable.as_deref())? else { return Ok(Log::default()) };
    let ansi = global.console || wants_color(global.color, io::stderr().is_terminal());
    // A descriptor of its own: a write that waits must not hold the lock of the standard one.
    let stderr = io::stderr()
        .as_fd()
        .try_clone_to_owned()
        .map(File::from)
        .map_err(|error| CommandError::failed(format!("the log can't be opened: {error}")))?;
    let (lines, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES_MAX)
        .lossy(true)
        .thread_name(THREAD)
        .finish(stderr);
    let hidden = Arc::<AtomicBool>::default();
    let log = Log { hidden: hidden.clone(), thread: Some((guard, lines.error_counter())) };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(ansi && global.color != Color::Never)
        // A stderr that nobody reads any more is no reason to panic.
        .log_internal_errors(false)
        .with_writer(Switched { hidden, lines })
        .finish();
    // An embedder's subscriber would be first; this program has none.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(log)
}

/// What passes; `None` is silence. The target `guest` has what processes without a terminal print; other crates than
/// ours have to say only what is serious.
fn filter(
    global: &Global,
    audience: Audience,
    configured: Option<i64>,
    variable: Option<&str>,
) -> Result<Option<EnvFilter>, CommandError> {
    if global.silent {
        return Ok(None);
    }
    let variable = variable.filter(|text| !text.trim().is_empty());
    let base = match (global.very_verbose, global.verbose, audience) {
        (true, _, _) => "info,wippy=trace",
        (_, true, _) => "warn,guest=info,wippy=debug",
        (_, _, Audience::Services) => services_filter(configured),
        _ if global.console => services_filter(configured),
        // Nobody asked.
        _ if variable.is_none() => return Ok(None),
        _ => "off",
    };
    // Later directives for the same target win, so the variable has the last word.
    let text = variable.map_or(base.to_owned(), |variable| format!("{base},{variable}"));
    EnvFilter::try_new(text).map(Some).map_err(|error| {
        CommandError::usage(format!("`{FILTER_VARIABLE}` is no filter: {error}"))
            .help("expected levels and targets such as `debug` or `warn,wippy::process=trace`")
    })
}

/// What services tell.
fn services_filter(configured: Option<i64>) -> &'static str {
    match configured.unwrap_or(0) {
        ..=-1 => "warn,guest=info,wippy=debug",
        0 => "warn,guest=info,wippy=info",
        1 => "warn",
        2.. => "error",
    }
}

/// Whether a stream gets colours. `NO_COLOR` counts when it is not empty, as <https://no-color.org> has it.
pub(super) fn wants_color(choice: Color, is_terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match choice {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => is_terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
    }
}

/// The log's thread, or nothing while the log is hidden.
struct Switched {
    hidden: Arc<AtomicBool>,
    lines: NonBlocking,
}

impl<'a> MakeWriter<'a> for Switched {
    type Writer = Box<dyn Write>;

    fn make_writer(&'a self) -> Self::Writer {
        // Relaxed, as in `hide`.
        if self.hidden.load(Ordering::Relaxed) { Box::new(io::sink()) } else { Box::new(self.lines.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(global: Global, audience: Audience, variable: Option<&str>) -> Option<String> {
        filter(&global, audience, None, variable).expect("a filter").map(|filter| filter.to_string())
    }

    #[test]
    fn a_command_is_silent_unless_asked() {
        let quiet = Global::default;
        assert_eq!(text(quiet(), Audience::Command, None), None);
        assert_eq!(text(quiet(), Audience::Command, Some("")), None);
        assert!(text(Global { verbose: true, ..quiet() }, Audience::Command, None).is_some());
        assert!(text(Global { console: true, ..quiet() }, Audience::Command, None).is_some());
        assert!(text(quiet(), Audience::Command, Some("debug")).is_some());
    }

    #[test]
    fn services_tell_and_silence_wins_over_all() {
        let filter = text(Global::default(), Audience::Services, None).expect("a filter");
        assert!(filter.contains("wippy=info"), "{filter}");
        let silent = Global { silent: true, ..Global::default() };
        assert_eq!(text(silent, Audience::Services, Some("trace")), None);
    }

    #[test]
    fn the_variable_has_the_last_word() {
        let verbose = Global { verbose: true, ..Global::default() };
        let filter = text(verbose, Audience::Command, Some("wippy=error")).expect("a filter");
        assert!(filter.contains("wippy=error") && !filter.contains("wippy=debug"), "{filter}");
    }

    #[test]
    fn the_configuration_sets_what_services_tell() {
        let text = |level| {
            filter(&Global::default(), Audience::Services, level, None).expect("a filter").map(|f| f.to_string())
        };
        assert_eq!(text(Some(1)).as_deref(), Some("warn"));
        assert_eq!(text(Some(2)).as_deref(), Some("error"));
        assert!(text(Some(-1)).is_some_and(|text| text.contains("wippy=debug")));
        assert_eq!(text(None), text(Some(0)));
    }

    #[test]
    fn a_bad_filter_names_the_variable() {
        let error = filter(&Global::default(), Audience::Command, None, Some("wippy=loud")).expect_err("no level");
        assert!(error.to_string().contains("WIPPY_LOG"), "{error}");
        assert_eq!(error.code(), 2);
    }

    #[test]
    fn an_explicit_choice_of_colour_wins() {
        assert!(wants_color(Color::Always, false));
        assert!(!wants_color(Color::Never, true));
        assert!(!wants_color(Color::Auto, false));
    }
}
