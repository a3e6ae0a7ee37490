//! `wasi:cli`: arguments, environment, exit, standard streams and whether they are terminals.

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::cli::terminal_input::TerminalInput;
use wasmtime_wasi::p2::bindings::cli::terminal_output::TerminalOutput;
use wasmtime_wasi::p2::bindings::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
    terminal_stdout,
};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::error::GuestExit;
use super::state::WasiState;
use super::stdio::{Output, StdinStream, StdoutStream};

impl environment::Host for WasiState {
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        Ok(self.config.env.to_vec())
    }

    fn get_arguments(&mut self) -> Result<Vec<String>> {
        Ok(self.config.args.to_vec())
    }

    fn initial_cwd(&mut self) -> Result<Option<String>> {
        Ok(self.config.cwd.as_deref().map(str::to_owned))
    }
}

impl exit::Host for WasiState {
    fn exit(&mut self, status: std::result::Result<(), ()>) -> Result<()> {
        Err(GuestExit { code: status.is_err().into() }.into())
    }

    fn exit_with_code(&mut self, code: u8) -> Result<()> {
        Err(GuestExit { code: code.into() }.into())
    }
}

impl WasiState {
    fn push_output(&mut self, output: Arc<dyn Output>) -> Result<Resource<DynOutputStream>> {
        let stream: DynOutputStream = Box::new(StdoutStream { output, usage: self.usage().clone(), permitted: 0 });
        Ok(self.table.push(stream)?)
    }

    fn push_terminal<R: Send + 'static>(&mut self, is_terminal: bool, resource: R) -> Result<Option<Resource<R>>> {
        if !is_terminal {
            return Ok(None);
        }
        Ok(Some(self.table.push(resource)?))
    }
}

impl stdin::Host for WasiState {
    fn get_stdin(&mut self) -> Result<Resource<DynInputStream>> {
        let stream: DynInputStream =
            Box::new(StdinStream { input: self.config.stdin.clone(), usage: self.usage().clone() });
        Ok(self.table.push(stream)?)
    }
}

impl stdout::Host for WasiState {
    fn get_stdout(&mut self) -> Result<Resource<DynOutputStream>> {
        self.push_output(self.config.stdout.clone())
    }
}

impl stderr::Host for WasiState {
    fn get_stderr(&mut self) -> Result<Resource<DynOutputStream>> {
        self.push_output(self.config.stderr.clone())
    }
}

impl terminal_input::Host for WasiState {}

impl terminal_input::HostTerminalInput for WasiState {
    fn drop(&mut self, terminal: Resource<TerminalInput>) -> Result<()> {
        self.table.delete(terminal)?;
        Ok(())
    }
}

impl terminal_output::Host for WasiState {}

impl terminal_output::HostTerminalOutput for WasiState {
    fn drop(&mut self, terminal: Resource<TerminalOutput>) -> Result<()> {
        self.table.delete(terminal)?;
        Ok(())
    }
}

impl terminal_stdin::Host for WasiState {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<TerminalInput>>> {
        self.push_terminal(self.config.stdin.is_terminal(), TerminalInput)
    }
}

impl terminal_stdout::Host for WasiState {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<TerminalOutput>>> {
        self.push_terminal(self.config.stdout.is_terminal(), TerminalOutput)
    }
}

impl terminal_stderr::Host for WasiState {
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<TerminalOutput>>> {
        self.push_terminal(self.config.stderr.is_terminal(), TerminalOutput)
    }
}
