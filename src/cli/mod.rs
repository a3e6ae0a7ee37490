//! The command line: arguments in, streams and an exit code out.
//!
//! **Purpose.** Everything that only a program has: arguments, terminals, colours, signals, exit codes. A command of the
//! program is one file here.
//!
//! **Must not know** schedulers, WebAssembly or WASI: it asks the runtime, the registry and the process manager, and
//! runtimes of other programs by their sockets.
//!
//! **Entry function.** [`main`].
//!
//! **Invariants**
//! - The exit code of every end of a process is decided by one total match, in `exit`.
//! - Stdout has results, stderr has everything else; a stream that nobody reads is no panic.
//! - Signal handlers are installed here and nowhere else; the second signal ends the program at once.
//! - No thread of its own: the main thread waits for signals and for the process in one read.

mod args;
mod batch;
mod check;
mod completions;
mod descriptors;
mod doctor;
mod exit;
mod hash;
mod init;
mod kill;
mod list;
mod log;
mod peers;
mod progress;
mod ps;
mod reachable;
mod report;
mod run;
mod services;
mod signal;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use args::Command;
use report::{CommandError, Terminal};

/// Runs the program with the arguments of this process and gives its exit code; `wippy --help` shows which.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os().collect()))
}

fn run(argv: Vec<OsString>) -> u8 {
    let cli = match args::parse(argv) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout, errors to stderr; when nobody reads there is nobody to tell.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(exit::USAGE);
        }
    };
    let global = &cli.global;
    let terminal = Terminal::new(global.color);
    let done: Result<u8, CommandError> = match &cli.command {
        Command::Run(args) => run::run(args, global, terminal),
        Command::Batch(args) => batch::run(args, global, terminal),
        Command::Check(args) => check::run(args, global, terminal),
        Command::Doctor(args) => doctor::run(args, global, terminal),
        Command::Ps(args) => ps::run(args, terminal),
        Command::Kill(args) => kill::kill(args, terminal),
        Command::Cancel(args) => kill::cancel(args, terminal),
        Command::Hash(args) => hash::run(args, terminal),
        Command::Init(args) => init::run(args, terminal),
        Command::Completions(args) => completions::run(args, terminal),
    };
    done.unwrap_or_else(|error| {
        terminal.error(&error);
        error.code()
    })
}
