//! Hosts, the configuration of the runtime and the options of the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};

use wippy::Runtime;
use wippy::process::{Exit, HostKind};

use super::super::support::{Running, Said, app, assert_said, guest_app, guest_index, hash_of, run_in, wippy};
use super::guest;

#[test]
fn a_host_has_the_workers_it_asks_for() {
    let entries = "- { name: one, kind: process.host, host: { workers: 1 } }
                   - { name: three, kind: process.host, host: { workers: 3 } }
                   - { name: zero, kind: process.host, host: { workers: 0 } }
                   - { name: second-terminal, kind: terminal.host }
                   - { name: greet, kind: process.wasm, guest: greet, method: greet }";
    let app = guest_app(entries);
    let workers = |runtime: Runtime| -> BTreeMap<String, usize> {
        let hosts: Vec<_> = runtime.manager().hosts().map(|host| (host.id().clone(), host.kind())).collect();
        for (host, kind) in &hosts {
            // A guest on a terminal would write into the test's.
            if *kind == HostKind::Process {
                let start = wippy::process::Start::new("app:greet".parse().expect("an ID"), host.clone());
                let process = runtime.manager().spawn(start.input(["you".into()])).expect("a process");
                assert_eq!(process.wait(), Exit::Returned("Hello, you!".into()));
            }
        }
        let counted = runtime.manager().hosts().filter_map(|host| {
            let stats = host.stats()?;
            Some((host.id().name().to_owned(), stats.workers.len()))
        });
        counted.collect()
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let built = Runtime::builder().load(app.path()).cache(false).build().expect("a sound app");
    let expected = [("one", 1), ("three", 3), ("zero", cores), ("processes", cores)];
    assert_eq!(workers(built), expected.map(|(name, count)| (name.to_owned(), count)).into());
    let built = Runtime::builder().load(app.path()).cache(false).workers(2).build().expect("a sound app");
    assert!(workers(built).values().all(|count| *count == 2), "an embedder's word counts for every host");
}

#[test]
fn a_command_runs_on_the_named_host() {
    let app = guest_app(
        "- { name: other, kind: terminal.host }\n- { name: greet, kind: process.wasm, guest: greet, method: greet }",
    );
    for host in ["app:terminal", "app:other", "app:processes"] {
        let said = run_in(app.path(), ["-v", "run", "--host", host, "-x", "app:greet", "you"]);
        assert_eq!((said.code, said.stdout.as_str()), (Some(0), "Hello, you!\n"));
        let pid = format!("pid={{{host}|0x00001}}");
        assert!(said.stderr.contains(&pid), "{}", said.stderr);
    }
    let said = run_in(app.path(), ["run", "-x", "app:greet", "you"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "nobody chose");
}

#[test]
fn logs_stay_away_from_a_terminal_that_hides_them() {
    let app = guest_app(
        "- { name: quiet, kind: terminal.host, hide_logs: true }
         - { name: args, kind: process.wasm, guest: args, method: _start }",
    );
    let run = |host| {
        let said = run_in(app.path(), ["-v", "run", "--host", host, "-x", "app:args", "--", "--err", "own"]);
        assert_eq!(said.code, Some(0));
        said.stderr
    };
    assert_eq!(run("app:quiet"), "own\n");
    let told = run("app:terminal");
    // The log comes from a thread of its own, so the order of the two is nobody's promise.
    assert!(told.contains("started") && told.lines().any(|line| line == "own"), "{told}");
}

/// The lines of a log without their times: level, target and the rest.
fn log_lines(stderr: &str) -> Vec<&str> {
    stderr.lines().map(|line| line.split_once(' ').map_or(line, |(_, rest)| rest.trim_start())).collect()
}

/// A program whose standard streams lead to the log.
const LOGGED: &[&str] = &["run", "--host", "app:processes", "-x", "app:args", "--", "--err", "told"];

#[test]
fn the_lowest_level_of_the_log_is_configured() {
    let entry = "- { name: args, kind: process.wasm, guest: args, method: _start }";
    let lines = |level: &str| {
        let config = format!("version: '1.0'\nlogmanager: {{ min_level: {level} }}\n");
        let app = app(&[("_index.yaml", &guest_index(entry)), (".wippy.yaml", &config)]);
        let words = ["-c", "--color", "never"].iter().chain(LOGGED).copied();
        let said = run_in(app.path(), words);
        assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""));
        let levels =
            log_lines(&said.stderr).into_iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned());
        levels.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(lines("-1"), "DEBUG INFO WARN");
    assert_eq!(lines("0"), "INFO WARN");
    assert_eq!(lines("1"), "WARN");
    assert_eq!(lines("2"), "");
}

#[test]
fn options_say_how_much_is_logged() {
    let index = guest_index(
        "- { name: args, kind: process.wasm, guest: args, method: _start }\n- { name: odd, kind: terminal.host, colour: red }",
    );
    let app = app(&[("_index.yaml", &index)]);
    let stderr = |options: &[&str]| {
        let said = run_in(app.path(), options.iter().chain(LOGGED).copied());
        assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""), "{}", said.golden());
        said.stderr
    };
    let nothing = stderr(&[]);
    assert!(nothing.contains("unknown field `colour`") && !nothing.contains("told"), "{nothing}");
    assert_eq!(stderr(&["-s"]), "");
    let console = stderr(&["-c"]);
    assert!(console.contains("\x1b[") && console.contains("told") && !console.contains("started"), "{console:?}");
    for option in ["-v", "--very-verbose"] {
        let told = stderr(&[option]);
        assert!(told.contains("started") && told.contains("told") && !told.contains('\x1b'), "{option}: {told:?}");
    }
}

#[test]
fn a_shutdown_takes_as_long_as_it_may() {
    let entry = "- { name: spin, kind: process.wasm, guest: spinner, method: spin }";
    let config = "version: '1.0'\nshutdown: { timeout: 1ms }\n";
    let long = "version: '1.0'\nshutdown: { timeout: 1h }\n";
    for (config, options) in [(config, &[][..]), (long, &["--set", "shutdown.timeout=1ms"])] {
        let app = app(&[("_index.yaml", &guest_index(entry)), (".wippy.yaml", config)]);
        let mut command = wippy();
        command.arg("-C").arg(app.path()).arg("-v").args(options).args(["run", "-x", "app:spin"]);
        let mut running = Running::start(&mut command);
        let mut stderr = BufReader::new(running.child().stderr.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("started") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).expect("UTF-8"), 0, "it never started");
        }
        running.signal("TERM");
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).expect("UTF-8");
        // Beyond a second it would say what it waits for.
        assert!(rest.ends_with("`app:spin` was terminated\n") && !rest.contains("waiting up to"), "{rest}");
        assert_said(&running.end(), 143, "", "");
    }
}

/// An application with two commands.
const TWO: &str = "- { name: greet, kind: process.wasm, meta: { command: { name: greet } }, guest: greeter, method: greet }
                   - { name: gcd, kind: process.wasm, meta: { command: { name: gcd } }, guest: greeter, method: 'wippy:fixtures/math#gcd' }";

#[test]
fn overrides_change_fields_and_the_command_line_wins() {
    let config = "version: '1.0'\noverride:\n  'app:greet:method': initial\n  'app:gcd:meta.command.name': divisor\n";
    let app = app(&[("_index.yaml", &guest_index(TWO)), (".wippy.yaml", config)]);
    assert_said(&run_in(app.path(), ["run", "greet", "You"]), 0, "Y\n", "");
    assert_said(&run_in(app.path(), ["run", "divisor", "4", "6"]), 0, "2\n", "");
    let overridden = ["-o", "app:greet:method=greet,app:greet:meta.command.name=hi", "run", "hi", "You"];
    assert_said(&run_in(app.path(), overridden), 0, "Hello, You!\n", "");
}

#[test]
fn what_is_disabled_is_not_there() {
    let other = "namespace: extra\nentries:\n- { name: greet, kind: process.wasm, meta: { command: { name: extra } }, fs: app:wasm, path: /greet.wasm, hash: HASH, method: greet }\n";
    let other = other.replace("HASH", &format!("'{}'", hash_of(&guest("greet"))));
    let commands = |config: &str| {
        let config = format!("version: '1.0'\n{config}");
        let app = app(&[("_index.yaml", &guest_index(TWO)), ("extra.yaml", &other), (".wippy.yaml", &config)]);
        let said = run_in(app.path(), ["run", "list", "--json"]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
        let list: Vec<serde_json::Value> = serde_json::from_str(&said.stdout).expect("JSON");
        list.iter().map(|command| command["name"].as_str().expect("a name").to_owned()).collect::<BTreeSet<_>>()
    };
    let expected = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(commands(""), expected(&["greet", "gcd", "extra"]));
    assert_eq!(commands("disable: { namespaces: [extra] }\n"), expected(&["greet", "gcd"]));
    assert_eq!(commands("disable: { entries: ['app:gcd'] }\n"), expected(&["greet", "extra"]));
}

#[test]
fn another_configuration_file_counts_instead() {
    let own = "version: '1.0'\ndisable: { entries: ['app:greet'] }\n";
    let other = "version: '1.0'\ndisable: { entries: ['app:gcd'] }\n";
    let app = app(&[("_index.yaml", &guest_index(TWO)), (".wippy.yaml", own), ("other.yaml", other)]);
    assert_eq!(run_in(app.path(), ["run", "greet", "you"]).code, Some(2));
    let file = app.path().join("other.yaml");
    let with = ["--config", file.to_str().expect("UTF-8"), "run", "greet", "you"];
    assert_said(&run_in(app.path(), with), 0, "Hello, you!\n", "");
}

#[test]
fn compiled_code_is_kept_unless_that_is_unwanted() {
    let app = guest_app(TWO);
    let kept = |option: &[&str]| {
        let cache = tempfile::tempdir().expect("a folder");
        let mut command = wippy();
        command.env("XDG_CACHE_HOME", cache.path()).arg("-C").arg(app.path());
        let said = Said::of(command.args(option).args(["run", "greet", "you"]).output().expect("the program starts"));
        assert_said(&said, 0, "Hello, you!\n", "");
        fs::read_dir(cache.path()).expect("the folder").count()
    };
    assert_eq!(kept(&["--no-cache"]), 0);
    assert_ne!(kept(&[]), 0);
}
