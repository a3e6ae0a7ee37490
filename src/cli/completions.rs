//! `wippy completions SHELL`: a script for the shell's start-up file.

use clap::CommandFactory;

use super::args::{Cli, CompletionsArgs};
use super::exit::SUCCESS;
use super::report::{CommandError, Terminal};

pub(super) fn run(args: &CompletionsArgs, terminal: Terminal) -> Result<u8, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "wippy", &mut script);
    terminal.out(&String::from_utf8_lossy(&script))?;
    Ok(SUCCESS)
}
