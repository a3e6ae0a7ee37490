//! What a guest sees of the world: settled when it begins, laid out when it first looks.
//!
//! Most of it is for guests that ask the host for something. One that only computes ends before any of it is made.

use std::sync::Arc;

use parking_lot::Mutex;

use super::host::Own;
use super::program::{Program, missing};
use crate::env::EnvError;
use crate::limits::Usage;
use crate::process::{Birth, Failure, FailureKind, Payload, Pid, StandardStream, Stdio};
use crate::security::Denied;
use crate::wasi::{Calls, EmptyInput, Input, Lines, Output, WasiConfig, WasiState};
#[cfg(feature = "http")]
use crate::wasi::{HttpClient, Profile};

/// What can be known before the guest runs: whether it may see what its entry declares, and what that is now.
#[derive(Default)]
pub(super) struct World {
    /// What follows the name of the program in the guest's argv, unless the entry says what does.
    args: Vec<String>,
    env: Vec<(String, String)>,
    #[cfg(feature = "http")]
    http: Option<HttpClient>,
    /// Once somebody may have to know it.
    name: Option<LogName>,
}

/// The standard streams of a guest.
type Streams = (Arc<dyn Input>, Arc<dyn Output>, Arc<dyn Output>);

impl World {
    /// The world of a guest of this program that begins with these arguments; none where there is nothing in it.
    ///
    /// # Errors
    /// It may not see a volume that its entry mounts, or a variable has no value.
    pub(super) fn settle(program: &Program, birth: &Birth, input: &[Payload]) -> Result<Option<Box<Self>>, Failure> {
        let surroundings = &program.surroundings;
        let args = match surroundings.args.is_empty() {
            true => input.iter().filter_map(Payload::as_str).map(str::to_owned).collect(),
            false => Vec::new(),
        };
        let security = birth.peers.security();
        for mount in &*surroundings.mounts {
            let denied =
                |error: Denied| Failure::new(FailureKind::PermissionDenied, format!("`{}`: {error}", program.entry));
            security.check("fs.get", "access filesystem", mount.volume.id(), &[]).map_err(denied)?;
        }
        let world = Self {
            args,
            env: environment(program)?,
            #[cfg(feature = "http")]
            http: program.profiles.contains(Profile::Http).then(|| surroundings.shared.http.of(birth)),
            name: None,
        };
        Ok((!world.is_empty()).then(|| Box::new(world)))
    }

    fn is_empty(&self) -> bool {
        #[cfg(feature = "http")]
        if self.http.is_some() {
            return false;
        }
        self.args.is_empty() && self.env.is_empty()
    }

    /// The instance goes on as this process.
    pub(super) fn pass_on(&mut self, pid: &Pid) {
        if let Some(name) = &self.name {
            name.set(pid);
        }
    }

    /// Lays it out.
    pub(super) fn lay_out(&mut self, own: &Own, usage: &Arc<Usage>) -> WasiState {
        let (program, birth) = (own.program(), own.birth());
        let surroundings = &program.surroundings;
        let (stdin, stdout, stderr) = self.streams(program, birth);
        let mut args = Vec::with_capacity(1 + surroundings.args.len() + self.args.len());
        args.push(program.entry.name().to_owned());
        args.extend(surroundings.args.iter().cloned());
        args.append(&mut self.args);
        let config = WasiConfig {
            entry: Arc::clone(&surroundings.entry),
            args: args.into(),
            env: std::mem::take(&mut self.env).into(),
            cwd: Some(Arc::clone(&surroundings.cwd)),
            stdin,
            stdout,
            stderr,
            mounts: Arc::clone(&surroundings.mounts),
            network: Arc::clone(&surroundings.network),
            security: birth.peers.security().clone(),
            resolver: Arc::clone(&surroundings.resolver),
            profiles: program.profiles,
            usage: Arc::clone(usage),
            #[cfg(feature = "http")]
            http: self.http.take(),
        };
        WasiState::new(config, Arc::clone(birth.reactor()))
    }

    fn streams(&mut self, program: &Program, birth: &Birth) -> Streams {
        match &birth.stdio {
            Stdio::Terminal => {
                let (terminal, input) = program.surroundings.shared.streams.get(birth.reactor());
                (Arc::new(input.clone()), terminal.stdout(), terminal.stderr())
            }
            Stdio::Log => {
                let name = self.name.get_or_insert_with(|| LogName::new(birth.pid())).clone();
                let entry = Arc::clone(&program.surroundings.entry);
                let out = Lines::new({
                    let (name, entry) = (name.clone(), Arc::clone(&entry));
                    move |line: &str| tracing::info!(target: "guest", pid = %name.get(), %entry, "{line}")
                });
                let err =
                    Lines::new(move |line: &str| tracing::warn!(target: "guest", pid = %name.get(), %entry, "{line}"));
                (Arc::new(EmptyInput), Arc::new(out), Arc::new(err))
            }
            Stdio::Sink(sink) => {
                let output = |stream| {
                    let sink = Arc::clone(sink);
                    Arc::new(Calls::new(move |bytes: &[u8]| sink.write(stream, bytes)))
                };
                (Arc::new(EmptyInput), output(StandardStream::Out), output(StandardStream::Err))
            }
        }
    }
}

/// The variables of the entry that have a value, by name.
fn environment(program: &Program) -> Result<Vec<(String, String)>, Failure> {
    let surroundings = &program.surroundings;
    let mut env = Vec::with_capacity(surroundings.env.len());
    for variable in &surroundings.env {
        let value = match surroundings.environment.lookup(&variable.id) {
            // The registry has warned of it; a guest that does not require the variable runs without it.
            Err(EnvError::UnknownVariable { .. }) if !variable.required => None,
            Err(error) => {
                let message = format!("`{}`: `wasi.env` needs `{}`: {error}", program.entry, variable.id);
                return Err(Failure::new(FailureKind::Host, message));
            }
            Ok(value) => value,
        };
        match value {
            Some(value) => env.push((variable.name.clone(), value)),
            None if variable.required => {
                let message = missing(variable, &surroundings.environment);
                return Err(Failure::new(FailureKind::Host, format!("`{}`: {message}", program.entry)));
            }
            None => {}
        }
    }
    env.sort();
    Ok(env)
}

/// The pid by which the log knows what a guest writes: that of the process it is at that time.
#[derive(Clone)]
struct LogName(Arc<Mutex<Pid>>);

impl LogName {
    fn new(pid: &Pid) -> Self {
        Self(Arc::new(Mutex::new(pid.clone())))
    }

    fn set(&self, pid: &Pid) {
        *self.0.lock() = pid.clone();
    }

    fn get(&self) -> Pid {
        self.0.lock().clone()
    }
}
