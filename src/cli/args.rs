//! What was typed: the command line as clap reads it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use super::exit::{BATCH_CODES, EXIT_CODES};
use super::kill::Wanted;
use crate::batch::{Halt, WINDOW_MAX};
use crate::registry::{LoadOptions, parse_duration};
use crate::runtime::Allocator;

/// Runs WebAssembly modules as processes: cheap, isolated, preemptible, supervised.
#[derive(Debug, Parser)]
#[command(name = "wippy", version, after_help = EXIT_CODES, arg_required_else_help = true, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options that every command takes, before its name or after it.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// The application's folder
    #[arg(short = 'C', long = "app", value_name = "DIR", global = true, default_value = ".")]
    pub(super) app: PathBuf,
    /// The runtime configuration, instead of `.wippy.yaml` in the application's folder
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,
    /// Changes a field of an entry: `ns:entry:field=value` (may be repeated)
    #[arg(short = 'o', long = "override", value_name = "NS:ENTRY:FIELD=VALUE", global = true)]
    pub(super) overrides: Vec<String>,
    /// Changes the runtime configuration: `section.path=value` (may be repeated)
    #[arg(long = "set", value_name = "SECTION.PATH=VALUE", global = true)]
    pub(super) settings: Vec<String>,
    /// Compiles every module anew instead of using the cache on disk
    #[arg(long, global = true)]
    pub(super) no_cache: bool,
    /// Logs everything from debug level on to stderr
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
    /// Logs everything there is
    #[arg(long, global = true)]
    pub(super) very_verbose: bool,
    /// Logs to stderr, in colour
    #[arg(short, long, global = true)]
    pub(super) console: bool,
    /// No logs, no warnings, no progress; errors are still told
    #[arg(short, long, global = true, conflicts_with_all = ["verbose", "very_verbose", "console"])]
    pub(super) silent: bool,
    /// When to use colours
    #[arg(long, value_name = "WHEN", global = true, value_enum, default_value_t)]
    pub(super) color: Color,
}

/// Wippy's variable with names of folders that are not looked into, separated by commas.
const SKIPPED_FOLDERS: &str = "SKIP_TEST_DIRS";

impl Global {
    /// How the application is read.
    pub(super) fn load_options(&self) -> LoadOptions {
        let skipped = std::env::var(SKIPPED_FOLDERS).unwrap_or_default();
        LoadOptions {
            config: self.config.clone(),
            overrides: self.overrides.clone(),
            set: self.settings.clone(),
            skip_folders: skipped.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Into::into).collect(),
            ..LoadOptions::new(&self.app)
        }
    }
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Also into files and pipes
    Always,
    /// Nowhere
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Runs a command of the application, or all its services
    Run(RunArgs),
    /// Runs a command of the application over many inputs
    Batch(BatchArgs),
    /// Reports every problem of the application; runs nothing
    Check(CheckArgs),
    /// Shows what this machine has and how many processes it can hold
    Doctor(DoctorArgs),
    /// Shows the processes of running runtimes
    Ps(PsArgs),
    /// Ends a process of a running runtime by force
    Kill(KillArgs),
    /// Asks a process of a running runtime to end
    Cancel(CancelArgs),
    /// Prints the `hash:` line of files
    Hash(HashArgs),
    /// Makes a new application that runs
    Init(InitArgs),
    /// Prints the completions of a shell
    Completions(CompletionsArgs),
}

/// Without a command the services of the application run until a signal comes.
#[derive(Debug, Args)]
#[command(
    // A command of the application may be called `help`.
    disable_help_subcommand = true,
    override_usage = "wippy run [OPTIONS] [COMMAND] [ARGUMENTS]...\n       wippy run [OPTIONS] --exec <NS:ENTRY> [ARGUMENTS]...\n       wippy run list [--json]",
    after_help = EXIT_CODES
)]
pub(super) struct RunArgs {
    /// Runs this entry instead of a named command
    #[arg(short = 'x', long = "exec", value_name = "NS:ENTRY")]
    pub(super) exec: Option<String>,
    /// The host to run on, where the application has several terminal hosts
    #[arg(long, value_name = "ID")]
    pub(super) host: Option<String>,
    /// Where memories and stacks come from: `slab`, `on-demand`, `pool`, or `pool=SLOTS`
    #[arg(long, value_name = "KIND", default_value_t)]
    pub(super) allocator: Allocator,
    /// Writes what the process used and how it ended to this file as JSON; `-` is the standard output
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// The command's name (see `wippy run list`) and its arguments
    ///
    /// Everything behind the name reaches the command, also what looks like an option of wippy; a first `--` is
    /// dropped.
    #[arg(value_name = "COMMAND AND ARGUMENTS", trailing_var_arg = true)]
    pub(super) words: Vec<String>,
    #[command(subcommand)]
    pub(super) list: Option<RunCommand>,
}

#[derive(Debug, Subcommand)]
pub(super) enum RunCommand {
    /// Shows the commands of the application
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// As a JSON array of objects with name, short, id, kind
    #[arg(long)]
    pub(super) json: bool,
}

/// Each item is a process of its own. Its record is a line of JSON: `{"index":0,"ok":42}`, or `err` with what went wrong. A summary
/// goes to stderr. Ctrl-C lets what runs end and begins nothing new; a second one ends the program at once.
#[derive(Debug, Args)]
#[command(after_help = BATCH_CODES)]
pub(super) struct BatchArgs {
    /// The command's name (see `wippy run list`), or the ID of a process entry
    #[arg(value_name = "COMMAND|NS:ENTRY")]
    pub(super) wanted: String,
    /// Lines of JSON, each the arguments of an item: an array of them, or one value; `-` is the standard input
    #[arg(short, long, value_name = "FILE", default_value = "-", conflicts_with_all = ["arg_files", "range"])]
    pub(super) input: PathBuf,
    /// An item for each file of this pattern, in the order of their names, with the content as its argument
    #[arg(long, value_name = "GLOB", conflicts_with = "range")]
    pub(super) arg_files: Option<String>,
    /// With `--arg-files`: what of a file is the argument
    #[arg(long, value_name = "WHAT", value_enum, default_value_t, requires = "arg_files")]
    pub(super) arg_files_as: ArgFilesAs,
    /// An item for each whole number from A up to B, which is not one of them
    #[arg(long, value_name = "A..B", value_parser = BatchRange::parse, allow_hyphen_values = true)]
    pub(super) range: Option<BatchRange>,
    /// Where records go; `-` is the standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(super) output: PathBuf,
    /// Writes records as items end instead of in the order of the inputs
    #[arg(long)]
    pub(super) unordered: bool,
    /// The most items in flight [default: 64 for each core, or 256 of items that need no process]
    #[arg(long, value_name = "ITEMS", value_parser = clap::value_parser!(u32).range(1..=WINDOW_MAX as i64))]
    pub(super) window: Option<u32>,
    /// Tries an item that fails so many times more
    #[arg(long, value_name = "TIMES", default_value_t = 0)]
    pub(super) retries: u32,
    /// The most time that a try of an item may take
    #[arg(long, value_name = "DURATION", value_parser = item_timeout)]
    pub(super) timeout: Option<Duration>,
    /// What failures do to the rest: `never`, `soon` (begin nothing new), `now` (and end what runs); `soon,fail=N` or
    /// `soon,fail=N%` after so many
    #[arg(long, value_name = "WHEN", default_value_t)]
    pub(super) halt: Halt,
    /// Keeps in this file what the output has, so that the batch can be resumed however it ended
    #[arg(long, value_name = "FILE")]
    pub(super) journal: Option<PathBuf>,
    /// Goes on where the batch of the journal ended; begins it when there is no journal yet
    #[arg(long, requires = "journal")]
    pub(super) resume: bool,
    /// Where output of guests goes: into the `record`, or to `stderr`, each line with the item's index
    #[arg(long, value_name = "WHERE", value_enum, default_value_t)]
    pub(super) guest_output: GuestOutput,
    /// The most bytes of each output stream of an item that are kept
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 10)]
    pub(super) guest_output_max: u32,
    /// The summary as a line of JSON
    #[arg(long)]
    pub(super) json: bool,
    /// The host to run on, where the application has several process hosts
    #[arg(long, value_name = "ID")]
    pub(super) host: Option<String>,
    /// Where memories and stacks come from: `slab`, `on-demand`, `pool`, or `pool=SLOTS`
    #[arg(long, value_name = "KIND", default_value_t)]
    pub(super) allocator: Allocator,
}

/// What of a file is an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ArgFilesAs {
    /// What it has in it: text, or bytes when it is no UTF-8
    #[default]
    Contents,
    /// Its path
    Path,
}

/// Where the output of guests goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum GuestOutput {
    /// Into the record of the item
    #[default]
    Record,
    /// To stderr, when the item is over
    Stderr,
}

/// The numbers of `--range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchRange {
    pub(super) start: i64,
    pub(super) end: i64,
}

impl BatchRange {
    fn parse(text: &str) -> Result<Self, String> {
        let range = text.split_once("..").and_then(|(start, end)| Some((start.parse().ok()?, end.parse().ok()?)));
        match range {
            Some((start, end)) if start <= end => Ok(Self { start, end }),
            _ => Err("expected two whole numbers, the smaller one first: `0..1000`".to_owned()),
        }
    }
}

fn item_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(timeout) if timeout.is_zero() => Err("no item ends in no time".to_owned()),
        Ok(timeout) => Ok(timeout),
        Err(error) => Err(format!("{error}; write it as `500ms` or `2s`")),
    }
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Counts warnings as errors
    #[arg(long)]
    pub(super) strict: bool,
    /// As a JSON object with `errors`, `warnings` and `diagnostics`
    #[arg(long)]
    pub(super) json: bool,
}

/// Also names the setting that raises each bound, and the engines of the application, if there is one.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// As a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// Those of all runtimes of this user: services, and commands that have run for 100 ms.
#[derive(Debug, Args)]
pub(super) struct PsArgs {
    /// As a JSON array with an object for each process; with `--watch` one array a line
    #[arg(long)]
    pub(super) json: bool,
    /// Shows them as they change, until Ctrl-C; without `--json` on a terminal only
    #[arg(short, long)]
    pub(super) watch: bool,
    /// The time between two looks
    #[arg(long, value_name = "DURATION", default_value = "1s", requires = "watch", value_parser = interval)]
    pub(super) interval: Duration,
    #[command(flatten)]
    pub(super) runtime: RuntimeArg,
}

/// Which of the running runtimes is meant.
#[derive(Debug, Args)]
pub(super) struct RuntimeArg {
    /// This runtime only: its name, or the process number of its program
    #[arg(long = "runtime", value_name = "ID")]
    pub(super) id: Option<String>,
}

/// It ends wherever it is: at once when it waits, at its next tick when it computes. What it was about to do is not done.
#[derive(Debug, Args)]
pub(super) struct KillArgs {
    #[command(flatten)]
    pub(super) wanted: WantedArg,
}

/// It ends when it next waits for something. One that never waits goes on: `wippy kill` ends it.
#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    #[command(flatten)]
    pub(super) wanted: WantedArg,
    /// What the process and those who watch it are told
    #[arg(long, value_name = "TEXT", default_value = "wippy cancel")]
    pub(super) reason: String,
}

/// Which process is meant.
#[derive(Debug, Args)]
pub(super) struct WantedArg {
    /// Its pid as `wippy ps` shows it, in quotes, or the number in it: `0x00001`
    #[arg(value_name = "PID", value_parser = Wanted::parse)]
    pub(super) pid: Wanted,
    #[command(flatten)]
    pub(super) runtime: RuntimeArg,
}

/// The shortest time between two looks: a runtime has more to do than to be looked at.
const INTERVAL_MIN: Duration = Duration::from_millis(50);

/// The longest: who waits longer is not watching.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).map_err(|error| format!("{error}; write it as `500ms` or `2s`"))?;
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        Ok(interval)
    } else {
        Err(format!("expected a time from {INTERVAL_MIN:?} to 24h"))
    }
}

#[derive(Debug, Args)]
pub(super) struct HashArgs {
    /// The files; `-` is the standard input
    #[arg(value_name = "FILE", required = true)]
    pub(super) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// A new or empty folder
    #[arg(value_name = "DIR")]
    pub(super) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(super) shell: clap_complete::Shell,
}

/// Reads the command line, the program's name first.
///
/// # Errors
/// Clap's own: a wrong command line, or the text of `--help` or `--version`.
pub(super) fn parse(argv: Vec<OsString>) -> Result<Cli, clap::Error> {
    let separators = argv.iter().filter(|word| *word == SEPARATOR).count();
    let mut cli = Cli::command().color(early_color(&argv)).try_get_matches_from(argv).and_then(|matches| {
        <Cli as clap::FromArgMatches>::from_arg_matches(&matches).map_err(|error| error.format(&mut Cli::command()))
    })?;
    if let Command::Run(run) = &mut cli.command {
        drop_separator(&mut run.words, separators);
    }
    Ok(cli)
}

/// What ends the options of a program.
const SEPARATOR: &str = "--";

/// Drops the first `--` of the words, unless clap has already taken it: then one is missing among them.
fn drop_separator(words: &mut Vec<String>, typed: usize) {
    let left = words.iter().filter(|word| *word == SEPARATOR).count();
    if left == typed
        && let Some(first) = words.iter().position(|word| word == SEPARATOR)
    {
        words.remove(first);
    }
}

/// `--color` for clap's own errors and help, which come before its value is known.
fn early_color(argv: &[OsString]) -> clap::ColorChoice {
    let words = argv.iter().map(|word| word.to_string_lossy()).take_while(|word| word != SEPARATOR);
    let mut choice = clap::ColorChoice::Auto;
    let mut value_follows = false;
    for word in words {
        let value = if value_follows { Some(word.as_ref()) } else { word.strip_prefix("--color=") };
        value_follows = word == "--color";
        choice = match value {
            Some("always") => clap::ColorChoice::Always,
            Some("never") => clap::ColorChoice::Never,
            _ => choice,
        };
    }
    choice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Cli, clap::Error> {
        parse(line.split(' ').map(OsString::from).collect())
    }

    fn run(line: &str) -> (Global, RunArgs) {
        match parse_line(line).expect("a command line").command {
            Command::Run(run) => (parse_line(line).expect("a command line").global, run),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_behind_the_name_reaches_the_command() {
        let (global, args) = run("wippy run greet World --host x -v --color=never -- --json list");
        assert_eq!(args.words, ["greet", "World", "--host", "x", "-v", "--color=never", "--json", "list"]);
        assert_eq!((args.host, global.verbose, global.color), (None, false, Color::Auto));
    }

    #[test]
    fn options_before_the_name_are_ours() {
        let (global, args) = run("wippy -C app run -v --host app:terminal greet -x");
        assert_eq!(global.app, PathBuf::from("app"));
        assert!(global.verbose);
        assert_eq!((args.host.as_deref(), args.words), (Some("app:terminal"), vec!["greet".into(), "-x".into()]));
    }

    #[test]
    fn one_separator_is_dropped_wherever_it_is() {
        assert_eq!(run("wippy run greet -- a -- b").1.words, ["greet", "a", "--", "b"]);
        assert_eq!(run("wippy run -- greet -- a").1.words, ["greet", "--", "a"]);
        assert_eq!(run("wippy run greet a -- -b").1.words, ["greet", "a", "-b"]);
        let (_, args) = run("wippy run -x app:greet -- --loud -- b");
        assert_eq!(
            (args.exec.as_deref(), args.words),
            (Some("app:greet"), vec!["--loud".into(), "--".into(), "b".into()])
        );
    }

    #[test]
    fn an_unknown_option_before_the_name_is_an_error() {
        let error = parse_line("wippy run --hots x greet").expect_err("no such option");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--host"), "{error}");
    }

    #[test]
    fn list_is_a_command_of_its_own() {
        let (global, args) = run("wippy run list --json -C app");
        assert!(matches!(args.list, Some(RunCommand::List(ListArgs { json: true }))));
        assert_eq!(global.app, PathBuf::from("app"));
        assert!(run("wippy run -- list").1.list.is_none());
        assert!(run("wippy -C app run list").1.list.is_some());
        assert!(run("wippy run -v list").1.list.is_some());
        assert_eq!(run("wippy run greet list").1.words, ["greet", "list"]);
        assert_eq!(run("wippy run -x app:a -- list").1.words, ["list"]);
        assert_eq!(run("wippy run help").1.words, ["help"]);
    }

    #[test]
    fn repeated_options_are_kept_in_order() {
        let line = "wippy check -o a:b:x=1 --override a:b:y=2 --set s.x=1 --set s.y=2 --config f.yaml";
        let cli = parse_line(line).expect("a command line");
        assert_eq!(cli.global.overrides, ["a:b:x=1", "a:b:y=2"]);
        assert_eq!(cli.global.settings, ["s.x=1", "s.y=2"]);
        assert_eq!(cli.global.config, Some(PathBuf::from("f.yaml")));
    }

    #[test]
    fn the_time_between_two_looks_is_bounded_and_belongs_to_a_watch() {
        let interval = |line: &str| match parse_line(line).map(|cli| cli.command) {
            Ok(Command::Ps(args)) => Ok(args.interval),
            Ok(other) => panic!("{line}: {other:?}"),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(interval("wippy ps -w"), Ok(Duration::from_secs(1)));
        assert_eq!(interval("wippy ps --watch --interval 50ms"), Ok(Duration::from_millis(50)));
        for (line, expected) in [
            ("wippy ps --interval 1s", "--watch"),
            ("wippy ps -w --interval 49ms", "from 50ms to 24h"),
            ("wippy ps -w --interval 25h", "from 50ms to 24h"),
            ("wippy ps -w --interval 1", "`1` has no unit; write it as"),
        ] {
            let error = interval(line).expect_err(line);
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn silent_and_verbose_exclude_each_other() {
        assert!(parse_line("wippy -s -v run").is_err());
        assert!(parse_line("wippy run -s --very-verbose").is_err());
    }

    #[test]
    fn nothing_at_all_shows_the_help() {
        let error = parse(vec!["wippy".into()]).expect_err("no command");
        assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn the_exit_codes_are_in_the_help() {
        let help = parse_line("wippy --help").expect_err("the help").to_string();
        for code in ["134", "124", "125", "130", "143"] {
            assert!(help.contains(code), "{help}");
        }
        assert!(parse_line("wippy run --help").expect_err("the help").to_string().contains("134"));
    }

    #[test]
    fn colours_of_errors_follow_the_option() {
        let choice = |line: &str| early_color(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(choice("wippy --color never x"), clap::ColorChoice::Never);
        assert_eq!(choice("wippy --color=always x"), clap::ColorChoice::Always);
        assert_eq!(choice("wippy run -- --color=always"), clap::ColorChoice::Auto);
    }
}
