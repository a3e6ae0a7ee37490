//! `wippy batch`: an entry over many inputs, records to an output, a journal to go on from, and what it all amounted to.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sha2::{Digest as _, Sha256};

use super::args::{ArgFilesAs, BatchArgs, Global, GuestOutput};
use super::descriptors;
use super::exit::{self, FAILURE, SUCCESS};
use super::log::{self, Audience};
use super::reachable::Reachable;
use super::report::{CommandError, Terminal};
use super::run::{self, Wanted};
use super::services;
use super::signal::Alarm;
use crate::batch::{
    Done, FileContent, Identity, Journal, JournalError, Map, Next, Poker, Source, State, Summary, Verdict, cut,
};
use crate::registry::{self, EntryId, LimitsSpec};
use crate::runtime::Runtime;

/// How often signals are looked for and the bar moves while no item ends.
const LOOK: Duration = Duration::from_millis(100);

/// Records that lie behind the last confirmed state, in time: what a batch that is killed does again.
const CONFIRM: Duration = Duration::from_millis(50);

/// How often output and journal are brought to the disk.
const SYNC: Duration = Duration::from_secs(1);

/// The standard input or output, where a file may be named.
const STANDARD: &str = "-";

pub(super) fn run(args: &BatchArgs, global: &Global, terminal: Terminal) -> Result<u8, CommandError> {
    if args.journal.is_some() && args.output.as_os_str() == STANDARD {
        return Err(CommandError::usage(
            "`--journal` needs `--output FILE`: what a pipe was given can't be taken back",
        ));
    }
    let wanted = Wanted::named(&args.wanted)?;
    let loaded = registry::load(&global.load_options());
    let log = log::install(global, Audience::Command, loaded.registry.config().min_log_level())?;
    descriptors::raise_limit();
    let target = match loaded.diagnostics.has_errors() {
        true => None,
        false => {
            let host = args.host.as_deref().map(|host| run::named_host(host, &loaded.registry)).transpose()?;
            Some((wanted.entry(&loaded.registry)?, host))
        }
    };
    let runtime = match run::builder(global).allocator(args.allocator).loaded(loaded).build() {
        Ok(runtime) => runtime,
        Err(error) => return run::build_error(error, terminal),
    };
    if !global.silent {
        terminal.problems(runtime.warnings());
    }
    // There is a runtime, so nothing was wrong.
    let Some((entry, host)) = target else { return Ok(FAILURE) };
    let alarm = Alarm::install().map_err(|error| run::system(&error))?;
    let batch = Batch::open(args, &runtime, entry, host)?;
    if let Some(reason) = services::start(&runtime, &alarm)? {
        return services::end(&runtime, reason, terminal);
    }
    let code = batch.run(args, global, &runtime, &alarm, terminal);
    let terminated = runtime.shutdown(runtime.registry().config().shutdown_timeout());
    terminal.err(&services::terminated(&runtime, &terminated));
    let left_out = log.finish();
    if left_out > 0 {
        terminal.err(&format!("{left_out} lines of the log were left out: they came faster than they were read\n"));
    }
    code
}

/// Where the inputs come from, and what tells them from others.
struct Input {
    source: Source,
    name: String,
    /// The length of a file of lines.
    bytes: Option<u64>,
}

impl Input {
    fn of(args: &BatchArgs, poker: &Poker) -> Result<Self, CommandError> {
        let input = match (&args.range, &args.arg_files) {
            (Some(range), _) => {
                let name = format!("range {}..{}", range.start, range.end);
                Self { source: Source::range(range.start, range.end), name, bytes: None }
            }
            (None, Some(pattern)) => Self::files(pattern, args.arg_files_as)?,
            (None, None) => Self::lines(&args.input, poker)?,
        };
        // What nobody will compare needs no digest.
        let source = if args.journal.is_some() { input.source.digested() } else { input.source };
        Ok(Self { source, ..input })
    }

    fn files(pattern: &str, content: ArgFilesAs) -> Result<Self, CommandError> {
        let wrong = |error: &dyn std::fmt::Display| CommandError::usage(format!("`--arg-files {pattern}`: {error}"));
        let mut paths = Vec::new();
        let mut digest = Sha256::new();
        for path in glob::glob(pattern).map_err(|error| wrong(&error))? {
            let path = path.map_err(|error| wrong(&error))?;
            let metadata = path.metadata().map_err(|error| wrong(&error))?;
            if metadata.is_file() {
                digest.update(format!("{path:?} {} {:?}\n", metadata.len(), metadata.modified().ok()));
                paths.push(path);
            }
        }
        if paths.is_empty() {
            return Err(
                wrong(&"no file matches").help("quote the pattern, so that no shell expands it: `'data/*.txt'`")
            );
        }
        let digest: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let (what, content) = match content {
            ArgFilesAs::Contents => ("contents", FileContent::Contents),
            ArgFilesAs::Path => ("path", FileContent::Path),
        };
        let name = format!("{what} of {} files {pattern} ({digest})", paths.len());
        Ok(Self { source: Source::files(paths, content), name, bytes: None })
    }

    fn lines(path: &Path, poker: &Poker) -> Result<Self, CommandError> {
        let failed = |error: io::Error| CommandError::usage(format!("`--input {}`: {error}", path.display()));
        let (file, mut name) = if path.as_os_str() == STANDARD {
            use std::os::fd::AsFd as _;
            (io::stdin().as_fd().try_clone_to_owned().map(File::from), "standard input".to_owned())
        } else {
            (File::open(path), format!("lines of {}", path.display()))
        };
        let file = file.map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let bytes = metadata.is_file().then_some(metadata.len());
        if let Some(bytes) = bytes {
            name.push_str(&format!(", {bytes} bytes"));
        }
        let lines = BufReader::with_capacity(64 << 10, file);
        // A file has its next line at once; all else may have it later, while items end.
        let source = match bytes {
            Some(_) => Source::lines(lines),
            None => Source::lines_as_they_come(lines, poker.clone()).map_err(failed)?,
        };
        Ok(Self { source, name, bytes })
    }
}

/// A batch that is about to run.
struct Batch {
    map: Map<Source>,
    output: BufWriter<Box<dyn Write>>,
    /// The output, where it is a file with a journal.
    file: Option<File>,
    journal: Option<Journal>,
    state: State,
    summary: Summary,
    bytes: Option<u64>,
    /// Whether what ran was ended by force.
    is_halted: bool,
    /// In order: whether an item is left to be run again.
    is_cut: bool,
    confirmed: Instant,
    synced: Instant,
}

impl Batch {
    fn open(args: &BatchArgs, runtime: &Runtime, entry: EntryId, host: Option<EntryId>) -> Result<Self, CommandError> {
        let poker = Poker::default();
        let Input { mut source, name, bytes } = Input::of(args, &poker)?;
        let identity = Identity { entry: entry.to_string(), input: name, ordered: !args.unordered };
        let (journal, state) = match &args.journal {
            Some(path) => open_journal(path, args, &identity)?,
            None => (None, State::default()),
        };
        if !source.read_ahead(state.read, &state.done) || source.digest() != state.digest && state.read > 0 {
            let text = format!("the first {} inputs are not those that the journal's batch had", state.read);
            return Err(CommandError::usage(text).help("resume it with the same input, or begin anew"));
        }
        let (file, output) = open_output(args, journal.is_some(), state.output)?;
        let limits = LimitsSpec { max_execution: args.timeout, ..LimitsSpec::default() };
        let map = runtime.map_on(&entry, host, source).map_err(|error| run::spawn_error(&error))?;
        let map = map.poked_by(&poker).starting_at(state.done.watermark()).retries(args.retries).limits(limits);
        let map = map.capture(args.guest_output_max as usize);
        let map = if args.unordered { map.unordered() } else { map };
        let map = if let Some(window) = args.window { map.window(window as usize) } else { map };
        let (output, now) = (BufWriter::with_capacity(64 << 10, output), Instant::now());
        let summary = Summary::default();
        let (is_halted, is_cut) = (false, false);
        Ok(Self { map, output, file, journal, state, summary, bytes, is_halted, is_cut, confirmed: now, synced: now })
    }

    fn run(
        mut self,
        args: &BatchArgs,
        global: &Global,
        runtime: &Runtime,
        alarm: &Alarm,
        terminal: Terminal,
    ) -> Result<u8, CommandError> {
        let start = Instant::now();
        let bar =
            Bar::new(args, global, self.bytes.or_else(|| Some(crate::batch::Feed::left(self.map.feed()).1? as u64)));
        let mut reachable = Reachable::later(runtime);
        let mut verdict = Verdict::GoOn;
        let mut is_read = true;
        loop {
            match self.map.next_within(LOOK) {
                Next::Done(done) => {
                    is_read = self.record(done, args, &bar, terminal)?;
                    let found = args.halt.verdict(self.summary.items(), self.summary.failed());
                    if found != verdict && verdict == Verdict::GoOn {
                        verdict = found;
                        self.halt(verdict);
                    }
                    // While more is there, it is written with the next ones.
                    if self.confirmed.elapsed() >= CONFIRM {
                        is_read &= self.confirm()?;
                    }
                }
                Next::Later => is_read &= self.confirm()?,
                Next::End => break,
            }
            if alarm.signal().is_some() && verdict == Verdict::GoOn {
                verdict = Verdict::Drain;
                self.halt(verdict);
                let text = format!("waiting for {} items to end; again to end at once\n", self.map.in_flight());
                bar.above(|| terminal.err(&text));
            }
            if !is_read {
                self.map.terminate();
                break;
            }
            bar.show(&self, start);
            reachable.look();
        }
        is_read &= self.confirm()?;
        bar.clear();
        if is_read {
            self.sync()?;
        }
        self.tell(args, global, start.elapsed(), verdict, terminal);
        if let Some(error) = self.map.feed_mut().take_failure() {
            return Err(CommandError::failed(format!("the input could not be read further: {error}")));
        }
        let failed =
            self.state.failed > 0 || (args.halt.verdict(self.summary.items(), self.summary.failed()) != Verdict::GoOn);
        Ok(match alarm.signal() {
            Some(signal) => exit::signal_code(signal),
            None if failed => FAILURE,
            None => SUCCESS,
        })
    }

    fn halt(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::GoOn => {}
            Verdict::Drain => self.map.stop(),
            Verdict::Terminate => {
                self.is_halted = true;
                self.map.terminate();
            }
        }
    }

    /// Writes the record of an item; false when nobody reads any more.
    fn record(
        &mut self,
        mut done: Done,
        args: &BatchArgs,
        bar: &Bar,
        terminal: Terminal,
    ) -> Result<bool, CommandError> {
        if self.is_left_to_resume(&done, args) {
            return Ok(true);
        }
        self.summary.add(&done);
        self.state.failed += u64::from(done.result.is_err());
        if args.guest_output == GuestOutput::Stderr {
            let text = prefixed(&done);
            if !text.is_empty() {
                bar.above(|| terminal.err(&text));
            }
            done.output = crate::batch::Output::default();
        }
        let mut line = done.record();
        line.push('\n');
        self.state.done.insert(done.index);
        self.state.output += line.len() as u64;
        still_read(self.output.write_all(line.as_bytes()))
    }

    /// Whether an item is one that runs again when the batch is resumed: it was ended by force because the batch halts. In order,
    /// so is every item behind it.
    fn is_left_to_resume(&mut self, done: &Done, args: &BatchArgs) -> bool {
        if self.journal.is_none() || !self.is_halted {
            return false;
        }
        let is_cut = matches!(&done.result, Err(error) if error.cause() == "terminated");
        self.is_cut |= is_cut && !args.unordered;
        is_cut || self.is_cut
    }

    /// Gives what was recorded to the system, then confirms it; false when nobody reads any more.
    fn confirm(&mut self) -> Result<bool, CommandError> {
        self.confirmed = Instant::now();
        if !still_read(self.output.flush())? {
            return Ok(false);
        }
        if let Some(journal) = &mut self.journal {
            let source = self.map.feed();
            (self.state.read, self.state.digest) = (source.read(), source.digest());
            journal.confirm(&self.state).map_err(|error| journal_failed(&error))?;
            if self.synced.elapsed() >= SYNC {
                self.sync()?;
            }
        }
        Ok(true)
    }

    /// Brings output and journal to the disk.
    fn sync(&mut self) -> Result<(), CommandError> {
        self.synced = Instant::now();
        if let (Some(file), Some(journal)) = (&self.file, &self.journal) {
            file.sync_data().map_err(|error| output_failed(&error))?;
            journal.sync().map_err(|error| journal_failed(&error))?;
        }
        Ok(())
    }

    fn tell(&self, args: &BatchArgs, global: &Global, elapsed: Duration, verdict: Verdict, terminal: Terminal) {
        let totals = self.summary.over(elapsed, crate::sync::cores());
        if args.json {
            terminal.err(&format!("{}\n", totals.to_json()));
        } else if !global.silent {
            terminal.err(&totals.to_string());
        }
        let before = self.state.done.len() - self.summary.items();
        if before > 0 && !args.json && !global.silent {
            terminal.err(&format!("{before} were done before\n"));
        }
        if verdict != Verdict::GoOn && !global.silent {
            let resumable = if self.journal.is_some() { "; `--resume` goes on from here" } else { "" };
            terminal.err(&format!("stopped before its end{resumable}\n"));
        }
    }
}

/// The output of a guest, each line with the index of its item.
fn prefixed(done: &Done) -> String {
    let mut text = String::new();
    for bytes in [&done.output.stdout, &done.output.stderr] {
        for line in String::from_utf8_lossy(bytes).lines() {
            text.push_str(&format!("[{}] {line}\n", done.index));
        }
    }
    if done.output.dropped > 0 {
        text.push_str(&format!("[{}] ({} bytes more)\n", done.index, done.output.dropped));
    }
    text
}

/// Whether somebody still reads what was written.
fn still_read(written: io::Result<()>) -> Result<bool, CommandError> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(output_failed(&error)),
    }
}

fn output_failed(error: &io::Error) -> CommandError {
    CommandError::failed(format!("the output can't be written: {error}"))
}

fn journal_failed(error: &io::Error) -> CommandError {
    CommandError::failed(format!("the journal can't be written: {error}"))
}

fn open_journal(path: &Path, args: &BatchArgs, identity: &Identity) -> Result<(Option<Journal>, State), CommandError> {
    let opened = if args.resume && path.exists() {
        let output = args.output.metadata().map_or(0, |metadata| metadata.len());
        Journal::resume(path, identity, output)
    } else {
        Journal::create(path, identity).map(|journal| (journal, State::default()))
    };
    match opened {
        Ok((journal, state)) => Ok((Some(journal), state)),
        Err(error @ JournalError::Exists { .. }) => Err(CommandError::usage(error.to_string()).help("add `--resume`")),
        Err(error @ JournalError::System { .. }) => Err(CommandError::failed(error.to_string())),
        Err(error) => Err(CommandError::usage(error.to_string())),
    }
}

/// The output, behind what an earlier run has written to it.
fn open_output(
    args: &BatchArgs,
    has_journal: bool,
    length: u64,
) -> Result<(Option<File>, Box<dyn Write>), CommandError> {
    if args.output.as_os_str() == STANDARD {
        return Ok((None, Box::new(io::stdout())));
    }
    let path: &PathBuf = &args.output;
    let failed = |error: io::Error| CommandError::usage(format!("`--output {}`: {error}", path.display()));
    if !has_journal {
        return Ok((None, Box::new(File::create(path).map_err(failed)?)));
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
    cut(&mut file, length).map_err(failed)?;
    let other = file.try_clone().map_err(failed)?;
    Ok((Some(other), Box::new(file)))
}

/// A bar on stderr, when somebody sees it.
struct Bar {
    bar: Option<ProgressBar>,
    is_bytes: bool,
    shown: Cell<Instant>,
}

impl Bar {
    fn new(args: &BatchArgs, global: &Global, length: Option<u64>) -> Self {
        let shown = Cell::new(Instant::now());
        let records_are_seen = args.output.as_os_str() == STANDARD && io::stdout().is_terminal();
        if global.silent || !io::stderr().is_terminal() || records_are_seen {
            return Self { bar: None, is_bytes: false, shown };
        }
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
        let template = if length.is_some() { "[{bar:30}] {percent}% {msg}, eta {eta}" } else { "{spinner} {msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        let is_bytes = args.range.is_none() && args.arg_files.is_none();
        Self { bar: Some(bar), is_bytes, shown }
    }

    fn show(&self, batch: &Batch, start: Instant) {
        let Some(bar) = &self.bar else { return };
        if self.shown.get().elapsed() < LOOK {
            return;
        }
        self.shown.set(Instant::now());
        let items = batch.summary.items();
        bar.set_position(if self.is_bytes { batch.map.feed().bytes() } else { batch.state.done.len() });
        #[allow(clippy::cast_precision_loss, reason = "a rate, rounded anyway")]
        let rate = items as f64 / start.elapsed().as_secs_f64().max(f64::EPSILON);
        bar.set_message(format!("{items} items, {rate:.0}/s, {} failed", batch.summary.failed()));
    }

    /// Does something that writes to stderr, with no bar in its way.
    fn above(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
