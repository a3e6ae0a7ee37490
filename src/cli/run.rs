//! `wippy run`: a command of the application to its end, or all its services until a signal comes, see [`super::services`].

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::args::{Global, RunArgs, RunCommand};
use super::descriptors;
use super::exit::{self, USAGE};
use super::list;
use super::log::{self, Audience, Log};
use super::progress::LoadBar;
use super::reachable::Reachable;
use super::report::{CommandError, Terminal};
use super::services;
use super::signal::Alarm;
use crate::process::{Exit, ProcessHandle, Report, SpawnError, Start};
use crate::registry::{self, EntryId, Registry, Spec};
use crate::runtime::{BuildError, Runtime, RuntimeBuilder};
use crate::suggest::near_miss;

/// A command that does not end within this time after a signal makes us say what we wait for.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// Why a command is asked to end when the services under it are gone.
const HALTED: &str = "the services stopped";

/// How long a process that was ended by force may take: a guest looks up at its next tick.
const FORCED_END_WAIT: Duration = Duration::from_secs(5);

pub(super) fn run(args: &RunArgs, global: &Global, terminal: Terminal) -> Result<u8, CommandError> {
    match (&args.list, &args.exec) {
        (Some(RunCommand::List(list)), None) => return list::run(list, global, terminal),
        (Some(RunCommand::List(_)), Some(id)) => {
            return Err(CommandError::usage("`list` is taken for `wippy run list`, which has no entry to run")
                .help(format!("to give it to `{id}` as an argument, write `-x {id} -- list`")));
        }
        (None, _) => {}
    }
    let wanted = Wanted::of(args)?;
    // The files alone say whether there is such a command, so a slip is told before anything is compiled.
    let loaded = registry::load(&global.load_options());
    let audience = if wanted == Wanted::Services { Audience::Services } else { Audience::Command };
    let log = log::install(global, audience, loaded.registry.config().min_log_level())?;
    descriptors::raise_limit();
    // Made before anything runs: a name that can't be written is told at once.
    let report = args.report.as_deref().map(ReportFile::create).transpose()?;
    let start = match (&wanted, loaded.diagnostics.has_errors()) {
        // What is wrong comes first, with what compiling finds.
        (_, true) | (Wanted::Services, _) => None,
        (wanted, false) => Some((wanted.entry(&loaded.registry)?, host(args.host.as_deref(), &loaded.registry)?)),
    };
    let mut builder = builder(global).allocator(args.allocator).loaded(loaded);
    if let Some((entry, _)) = &start {
        builder = builder.command(entry.clone());
    }
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => return build_error(error, terminal),
    };
    if !global.silent {
        terminal.problems(runtime.warnings());
    }
    let alarm = Alarm::install().map_err(|error| system(&error))?;
    let code = match start {
        None => services::run(&runtime, &alarm, terminal),
        Some((entry, host)) => {
            let job = Job { entry, host, words: wanted.words(), report };
            command(&runtime, &alarm, terminal, &log, job)
        }
    };
    let left_out = log.finish();
    if left_out > 0 {
        terminal.err(&format!("{left_out} lines of the log were left out: they came faster than they were read\n"));
    }
    if code.is_ok() {
        // Everything has ended. What is left is memory, and the system takes it back at once.
        std::mem::forget(runtime);
    }
    code
}

/// The builder of the application that the command line names.
pub(super) fn builder(global: &Global) -> RuntimeBuilder {
    let builder = Runtime::builder().load_options(global.load_options()).cache(!global.no_cache);
    match LoadBar::for_terminal(global) {
        Some(bar) => builder.progress(bar),
        None => builder,
    }
}

/// Tells why there is no runtime.
pub(super) fn build_error(error: BuildError, terminal: Terminal) -> Result<u8, CommandError> {
    match error {
        BuildError::Configuration(problems) => {
            terminal.problems(&problems);
            Ok(USAGE)
        }
        error => Err(CommandError::failed(chain(&error))),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

pub(super) fn system(error: &io::Error) -> CommandError {
    CommandError::failed(format!("the operating system refused to watch signals: {error}"))
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    Services,
    Command { name: &'a str, words: &'a [String] },
    Entry { id: EntryId, words: &'a [String] },
}

impl<'a> Wanted<'a> {
    fn of(args: &'a RunArgs) -> Result<Self, CommandError> {
        match (&args.exec, args.words.split_first()) {
            (Some(id), _) => {
                let id = id.parse().map_err(|error| {
                    CommandError::usage(format!("`--exec`: {error}")).help("write it as `wippy run -x app:greet`")
                })?;
                Ok(Self::Entry { id, words: &args.words })
            }
            (None, Some((name, words))) => Ok(Self::Command { name, words }),
            (None, None) if args.host.is_some() => {
                Err(CommandError::usage("`--host` says where a command runs, and there is no command")
                    .help("`wippy run list` shows the commands"))
            }
            (None, None) => Ok(Self::Services),
        }
    }

    /// One word: a command's name, or the ID of an entry.
    pub(super) fn named(name: &'a str) -> Result<Self, CommandError> {
        if !name.contains(':') {
            return Ok(Self::Command { name, words: &[] });
        }
        let id = name.parse().map_err(|error| CommandError::usage(format!("`{name}`: {error}")))?;
        Ok(Self::Entry { id, words: &[] })
    }

    fn words(&self) -> &'a [String] {
        match self {
            Self::Services => &[],
            Self::Command { words, .. } | Self::Entry { words, .. } => words,
        }
    }

    /// The entry that is meant.
    pub(super) fn entry(&self, registry: &Registry) -> Result<EntryId, CommandError> {
        match self {
            Self::Command { name, .. } => match registry.command(name) {
                Some((_, entry)) => Ok(entry.id().clone()),
                None => Err(unknown_command(name, registry)),
            },
            Self::Entry { id, .. } => match registry.get(id) {
                Some(entry) if entry.kind().starts_with("process.") => Ok(id.clone()),
                Some(entry) => {
                    Err(CommandError::usage(format!("`{id}` is no process: its kind is `{}`", entry.kind())))
                }
                None => Err(unknown_entry(id, registry)),
            },
            Self::Services => unreachable!("services have no entry"),
        }
    }
}

fn unknown_command(name: &str, registry: &Registry) -> CommandError {
    let error = CommandError::usage(format!("no command `{name}`"));
    let error = match near_miss(name, registry.commands().map(|(command, _)| command.name.as_str())) {
        Some(meant) => error.help(format!("did you mean `{meant}`?")),
        None => error,
    };
    error.help("`wippy run list` shows the commands")
}

fn unknown_entry(id: &EntryId, registry: &Registry) -> CommandError {
    let error = CommandError::usage(format!("no entry `{id}`"));
    let runnable: Vec<String> = registry
        .iter()
        .filter(|entry| matches!(entry.spec(), Spec::ProcessWasm(_) | Spec::ProcessLua(_)))
        .map(|entry| entry.id().to_string())
        .collect();
    match near_miss(&id.to_string(), runnable.iter().map(String::as_str)) {
        Some(meant) => error.help(format!("did you mean `{meant}`?")),
        None if runnable.is_empty() => error.help("the application declares no process"),
        None => error.help(format!("these can be run: {}", quoted(&runnable))),
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The host that a command runs on: the named one, or the only terminal host.
fn host(named: Option<&str>, registry: &Registry) -> Result<EntryId, CommandError> {
    if let Some(named) = named {
        return named_host(named, registry);
    }
    let hosts: Vec<_> = registry.of_kind("terminal.host").map(|entry| entry.id()).collect();
    match hosts.as_slice() {
        [host] => Ok((*host).clone()),
        [] => Err(CommandError::usage("the application has no `terminal.host`, where commands run")
            .help("add these lines below `entries:`\n- name: terminal\n  kind: terminal.host")),
        several => {
            let names: Vec<_> = several.iter().map(ToString::to_string).collect();
            Err(CommandError::usage(format!("the application has several terminal hosts: {}", quoted(&names)))
                .help(format!("choose one: `wippy run --host {} …`", names[0])))
        }
    }
}

pub(super) fn named_host(named: &str, registry: &Registry) -> Result<EntryId, CommandError> {
    let id = named.parse::<EntryId>().map_err(|error| CommandError::usage(format!("`--host`: {error}")))?;
    match registry.get(&id).map(|entry| (entry.spec(), entry.kind())) {
        Some((Spec::TerminalHost(_) | Spec::ProcessHost(_), _)) => Ok(id),
        Some((_, kind)) => Err(CommandError::usage(format!("`{id}` is no host: its kind is `{kind}`"))),
        None => {
            let is_host = |spec: &Spec| matches!(spec, Spec::TerminalHost(_) | Spec::ProcessHost(_));
            let hosts: Vec<_> =
                registry.iter().filter(|entry| is_host(entry.spec())).map(|entry| entry.id().to_string()).collect();
            let error = CommandError::usage(format!("no host `{id}`"));
            Err(match near_miss(&id.to_string(), hosts.iter().map(String::as_str)) {
                Some(meant) => error.help(format!("did you mean `{meant}`?")),
                None if hosts.is_empty() => error.help("the application declares no host"),
                None => error.help(format!("there are {}", quoted(&hosts))),
            })
        }
    }
}

/// A command to run.
struct Job<'a> {
    entry: EntryId,
    host: EntryId,
    words: &'a [String],
    report: Option<ReportFile>,
}

/// Where the report of a command goes.
enum ReportFile {
    Stdout,
    File { path: PathBuf, file: File },
}

impl ReportFile {
    fn create(path: &Path) -> Result<Self, CommandError> {
        if path.as_os_str() == "-" {
            return Ok(Self::Stdout);
        }
        match File::create(path) {
            Ok(file) => Ok(Self::File { path: path.to_owned(), file }),
            Err(error) => Err(CommandError::usage(format!("`--report {}` can't be written: {error}", path.display()))),
        }
    }

    fn write(self, report: &Report, terminal: Terminal) -> Result<(), CommandError> {
        let text = format!("{}\n", report.to_json());
        match self {
            Self::Stdout => terminal.out(&text),
            Self::File { path, mut file } => file.write_all(text.as_bytes()).map_err(|error| {
                CommandError::failed(format!("the report could not be written to `{}`: {error}", path.display()))
            }),
        }
    }
}

fn command(runtime: &Runtime, alarm: &Alarm, terminal: Terminal, log: &Log, job: Job<'_>) -> Result<u8, CommandError> {
    let program = runtime.manager().program(&job.entry).map_err(|_| not_served(&job.entry, runtime.registry()))?;
    let style = program.result_style();
    let input =
        program.read_arguments(job.words).map_err(|error| CommandError::usage(format!("`{}`: {error}", job.entry)))?;
    if hides_logs(&job.host, runtime.registry()) {
        log.hide();
    }
    if let Some(reason) = services::start(runtime, alarm)? {
        let code = services::end(runtime, reason, terminal)?;
        return Ok(alarm.signal().map_or(code, exit::signal_code));
    }
    let bell = alarm.bell().map_err(|error| system(&error))?;
    let start = Start::new(job.entry.clone(), job.host).input(input).watch(move |_: &_, _: &_| bell.ring());
    let process = runtime.manager().spawn(start).map_err(|error| spawn_error(&error))?;
    tracing::debug!(pid = %process.pid(), entry = %job.entry, "started");
    let grace = runtime.registry().config().shutdown_timeout();
    let mut reachable = Reachable::later(runtime);
    let exit = until_its_end(runtime, &process, alarm, grace, terminal, &mut reachable)?;
    let halt = runtime.halt();
    let mut code = terminal.outcome(&exit::outcome(&job.entry, &exit, style, alarm.signal()));
    // Who was left behind had its grace.
    let terminated = runtime.shutdown(if process.exit().is_some() { grace } else { Duration::ZERO });
    terminal.err(&services::terminated(runtime, &terminated));
    if let Some(halt) = halt {
        code = terminal.outcome(&services::ended_by(runtime, &halt));
    }
    // A process that was left behind has none.
    if let (Some(file), Some(report)) = (job.report, process.report()) {
        file.write(&report, terminal)?;
    }
    Ok(code)
}

fn not_served(entry: &EntryId, registry: &Registry) -> CommandError {
    let kind = registry.get(entry).map_or("unknown", registry::Entry::kind);
    CommandError::usage(format!("`{entry}` can't be run: this version does not serve `{kind}`"))
}

pub(super) fn spawn_error(error: &SpawnError) -> CommandError {
    match error {
        SpawnError::Arguments { .. } => CommandError::usage(error.to_string()),
        _ => CommandError::failed(chain(error)),
    }
}

fn hides_logs(host: &EntryId, registry: &Registry) -> bool {
    matches!(registry.get(host).map(registry::Entry::spec), Some(Spec::TerminalHost(host)) if host.hide_logs)
}

/// Waits for the exit. A signal asks the process to end, as does the end of the services; after `grace` it is ended by force.
fn until_its_end(
    runtime: &Runtime,
    process: &ProcessHandle,
    alarm: &Alarm,
    grace: Duration,
    terminal: Terminal,
    reachable: &mut Reachable<'_>,
) -> Result<Exit, CommandError> {
    let mut ending: Option<Ending> = None;
    loop {
        if let Some(exit) = process.exit() {
            return Ok(exit);
        }
        if ending.is_none() {
            let cause = match alarm.signal() {
                Some(signal) => Some(signal.name()),
                None => runtime.halt().map(|_| HALTED),
            };
            if let Some(cause) = cause {
                process.cancel(cause);
                ending = Some(Ending::new(cause, grace));
            }
        }
        if ending.as_ref().is_some_and(Ending::is_hopeless) {
            terminal.err(&format!("`{}` did not end by force either and is left behind\n", process.entry()));
            return Ok(Exit::Terminated);
        }
        let wait = ending.as_mut().and_then(|ending| ending.look(process, terminal));
        let wait = wait.into_iter().chain(reachable.look()).min();
        alarm.wait(wait).map_err(|error| system(&error))?;
    }
}

/// A process that was asked to end and has not yet.
struct Ending {
    /// The name of the signal, or what else was the reason.
    cause: &'static str,
    grace: Duration,
    /// When to say what is waited for; `None` once it was said.
    notice: Option<Instant>,
    /// When to use force; `None` once it was used.
    force: Option<Instant>,
    /// When to leave a process behind that force does not end; set once it was used.
    leave: Option<Instant>,
}

impl Ending {
    fn new(cause: &'static str, grace: Duration) -> Self {
        let now = Instant::now();
        let notice = (grace > IMPATIENCE).then(|| now + IMPATIENCE);
        // A grace beyond the clock's end is one without an end.
        Self { cause, grace, notice, force: now.checked_add(grace), leave: None }
    }

    /// Does what is due and says how long to wait for the next.
    fn look(&mut self, process: &ProcessHandle, terminal: Terminal) -> Option<Duration> {
        let now = Instant::now();
        if self.notice.is_some_and(|at| at <= now) {
            self.notice = None;
            let Self { cause, grace, .. } = self;
            let entry = process.entry();
            let hint = if *cause == HALTED { String::new() } else { format!("; another {cause} ends it at once") };
            terminal.err(&format!("{cause}: waiting up to {grace:?} for `{entry}` to end{hint}\n"));
        }
        if self.force.is_some_and(|at| at <= now) {
            self.force = None;
            self.leave = now.checked_add(FORCED_END_WAIT);
            process.terminate();
        }
        let next = [self.notice, self.force, self.leave].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Whether force had its time and did not end the process: host code holds its worker.
    fn is_hopeless(&self) -> bool {
        self.leave.is_some_and(|at| at <= Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Command, Entry, FsDirectory, LuaSpec, ProcessHost, TerminalHost};
    use crate::runtime::Allocator;

    fn entry(id: &str, spec: Spec) -> Entry {
        Entry::new(id.parse().expect("an ID"), spec)
    }

    fn terminal_host(id: &str) -> Entry {
        entry(id, Spec::TerminalHost(TerminalHost::default()))
    }

    fn process(id: &str) -> Entry {
        entry(id, Spec::ProcessLua(LuaSpec::default()))
    }

    fn error_text<T: std::fmt::Debug>(result: Result<T, CommandError>) -> String {
        let error = result.expect_err("an error");
        assert_eq!(error.code(), 2);
        error.to_string()
    }

    #[test]
    fn a_slip_in_a_command_names_the_right_one() {
        let registry = Registry::from_entries([process("app:greet").with_command(Command::new("greet"))]);
        let wanted = |name| Wanted::Command { name, words: &[] }.entry(&registry);
        assert_eq!(wanted("greet").expect("an entry").to_string(), "app:greet");
        let expected = "error: no command `gret`\n  = help: did you mean `greet`?\n  = help: `wippy run list` shows the commands\n";
        assert_eq!(error_text(wanted("gret")), expected);
        let expected = "error: no command `other`\n  = help: `wippy run list` shows the commands\n";
        assert_eq!(error_text(wanted("other")), expected);
    }

    #[test]
    fn only_processes_can_be_run() {
        let directory = entry("app:data", Spec::FsDirectory(FsDirectory::new("data")));
        let registry = Registry::from_entries([directory, process("app:greet")]);
        let wanted = |id: &str| Wanted::Entry { id: id.parse().expect("an ID"), words: &[] }.entry(&registry);
        assert_eq!(wanted("app:greet").expect("an entry").to_string(), "app:greet");
        assert_eq!(error_text(wanted("app:data")), "error: `app:data` is no process: its kind is `fs.directory`\n");
        assert!(error_text(wanted("app:gret")).contains("did you mean `app:greet`?"));
        assert!(error_text(wanted("x:y")).contains("these can be run: `app:greet`"));
    }

    #[test]
    fn a_command_runs_on_the_only_terminal() {
        let one = Registry::from_entries([terminal_host("app:terminal")]);
        assert_eq!(host(None, &one).expect("a host").to_string(), "app:terminal");
        let text = error_text(host(None, &Registry::default()));
        assert!(text.contains("    - name: terminal\n      kind: terminal.host\n"), "{text}");
        let two = Registry::from_entries([terminal_host("app:t1"), terminal_host("app:t2")]);
        let text = error_text(host(None, &two));
        assert!(text.contains("`app:t1`, `app:t2`") && text.contains("--host app:t1"), "{text}");
        assert_eq!(host(Some("app:t2"), &two).expect("a host").to_string(), "app:t2");
    }

    #[test]
    fn a_named_host_must_be_one() {
        let processes = entry("app:processes", Spec::ProcessHost(ProcessHost::default()));
        let registry = Registry::from_entries([terminal_host("app:terminal"), processes, process("app:greet")]);
        assert_eq!(host(Some("app:processes"), &registry).expect("a host").to_string(), "app:processes");
        assert!(error_text(host(Some("app:proceses"), &registry)).contains("did you mean `app:processes`?"));
        assert!(error_text(host(Some("x:y"), &registry)).contains("`app:terminal`, `app:processes`"));
        assert!(error_text(host(Some("app:greet"), &registry)).contains("its kind is `process.lua`"));
        assert!(error_text(host(Some("terminal"), &registry)).contains("namespace"));
    }

    #[test]
    fn an_option_without_its_command_is_told() {
        let args = RunArgs {
            exec: None,
            host: Some("app:t".into()),
            report: None,
            allocator: Allocator::OnDemand,
            words: vec![],
            list: None,
        };
        assert!(error_text(Wanted::of(&args)).contains("no command"));
        let args = RunArgs {
            exec: Some("greet".into()),
            host: None,
            report: None,
            allocator: Allocator::OnDemand,
            words: vec![],
            list: None,
        };
        assert!(error_text(Wanted::of(&args)).contains("namespace"));
    }
}
