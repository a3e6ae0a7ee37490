//! The services of an application under `wippy run`: their start, the wait for a reason to stop, their end.

use std::fmt::Write as _;

use super::exit::{self, FAILURE, Outcome};
use super::reachable::Reachable;
use super::report::{CommandError, Terminal};
use super::run::system;
use super::signal::{Alarm, Signal};
use crate::process::Pid;
use crate::process::supervisor::{Halt, StartupError};
use crate::runtime::Runtime;

/// Why the services end.
pub(super) enum Reason {
    /// Somebody asked for it.
    Signal(Signal),
    /// One without which nothing starts could not.
    Startup(StartupError),
    /// The supervisor stopped them.
    Halt(Halt),
}

/// Starts the services of an application and waits for them; a reason to end when one came before they were up.
pub(super) fn start(runtime: &Runtime, alarm: &Alarm) -> Result<Option<Reason>, CommandError> {
    let bell = alarm.bell().map_err(|error| system(&error))?;
    runtime.watch_services(move |_: &_| bell.ring());
    runtime
        .begin_services()
        .map_err(|error| CommandError::failed(format!("the supervisor could not get its thread: {error}")))?;
    loop {
        let reason = reason(runtime, alarm);
        if reason.is_some() || runtime.startup().is_some() {
            return Ok(reason);
        }
        alarm.wait(None).map_err(|error| system(&error))?;
    }
}

/// Why the services are to end by now.
fn reason(runtime: &Runtime, alarm: &Alarm) -> Option<Reason> {
    let startup = || runtime.startup().and_then(Result::err).map(Reason::Startup);
    let halt = || runtime.halt().map(Reason::Halt);
    alarm.signal().map(Reason::Signal).or_else(halt).or_else(startup)
}

/// Runs the services until there is a reason to end them.
pub(super) fn run(runtime: &Runtime, alarm: &Alarm, terminal: Terminal) -> Result<u8, CommandError> {
    // Until everything has ended: who stops the services may want to see what they wait for.
    let _reachable = Reachable::now(runtime);
    let mut found = start(runtime, alarm)?;
    if found.is_none() {
        let hosts = runtime.manager().hosts().count();
        tracing::info!(entries = runtime.registry().len(), hosts, "running until SIGINT or SIGTERM");
    }
    loop {
        if let Some(reason) = found {
            return end(runtime, reason, terminal);
        }
        alarm.wait(None).map_err(|error| system(&error))?;
        found = self::reason(runtime, alarm);
    }
}

/// Stops everything, and says how the program ends.
pub(super) fn end(runtime: &Runtime, reason: Reason, terminal: Terminal) -> Result<u8, CommandError> {
    match &reason {
        Reason::Signal(signal) => tracing::info!(signal = signal.name(), "stopping"),
        // What went wrong is said at the end.
        Reason::Startup(_) | Reason::Halt(_) => tracing::info!("stopping"),
    }
    let met = runtime.shutdown(runtime.registry().config().shutdown_timeout());
    let outcome = match reason {
        Reason::Signal(_) => exit::services(met.len()),
        Reason::Startup(error) => Outcome { code: FAILURE, stderr: format!("error: {error}\n"), ..Outcome::default() },
        Reason::Halt(halt) => ended_by(runtime, &halt),
    };
    let stderr = terminated(runtime, &met) + &outcome.stderr;
    Ok(terminal.outcome(&Outcome { stderr, ..outcome }))
}

/// The end of the program after the supervisor stopped the services.
pub(super) fn ended_by(runtime: &Runtime, halt: &Halt) -> Outcome {
    match halt {
        // The process that has the terminal is the program.
        Halt::Terminal { service, exit } => {
            let style = match runtime.registry().get(service).map(crate::registry::Entry::spec) {
                Some(crate::registry::Spec::ProcessService(service)) => runtime.manager().program(&service.process),
                _ => runtime.manager().program(service),
            };
            let style = style.map_or(crate::process::ResultStyle::Value, |program| program.result_style());
            exit::outcome(service, exit, style, None)
        }
        halt => Outcome { code: FAILURE, stderr: format!("error: {halt}\n"), ..Outcome::default() },
    }
}

/// Whom force met, one a line: services by their names.
pub(super) fn terminated(runtime: &Runtime, met: &[Pid]) -> String {
    let services = runtime.services();
    let mut text = String::new();
    for pid in met {
        let service = services.iter().find(|service| service.pid.as_ref() == Some(pid));
        let _ = match service {
            Some(service) => {
                writeln!(text, "service `{}`, {pid}, did not end in time and was terminated", service.id)
            }
            None => writeln!(text, "{pid} did not end in time and was terminated"),
        };
    }
    text
}
