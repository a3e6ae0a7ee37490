//! Every guest of the fixtures runs through the whole house, and each of its functions answers what its source says.

/// What each function of the greeter answers.
mod answers;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use wippy::Runtime;
use wippy::process::{Exit, FailureKind, Payload, ProcessHandle, State};
use wippy::reactor::Clock;

use answers::ANSWERS;

use super::support::{House, Running, Said, assert_said, fixture, guest_app, run_in, wippy};

/// Every guest and the tests it runs in, here and beside this file.
const TESTED: &[(&str, &[&str])] = &[
    ("args", &["a_preview_1_command_is_given_what_was_typed"]),
    ("command", &["a_command_does_what_its_options_say", "a_command_that_panics_traps_and_shows_where"]),
    ("files", &["a_component_reads_and_writes", "a_component_opens_in_every_way", "a_component_works_on_names"]),
    ("files1", &["a_command_reads_and_writes", "a_command_works_on_names"]),
    (
        "flat",
        &["a_core_module_knows_who_it_is_and_starts_others", "messages_of_a_core_module_go_both_ways_in_every_format"],
    ),
    ("funcs", &["a_guest_calls_a_function_and_has_its_answer"]),
    ("greet", &["the_smallest_component_greets"]),
    (
        "greeter",
        &["every_function_answers", "every_function_has_a_line", "wrong_arguments_are_told_with_the_signature"],
    ),
    ("http-client", &["every_function_that_needs_no_server_keeps_its_promises", "bodies_and_trailers_go_both_ways"]),
    ("http-worker", &["a_worker_without_its_url_says_so", "the_missions_worker_fetches_its_url"]),
    (
        "js-fetch",
        &[
            "a_component_of_another_toolchain_prints_what_it_fetches",
            "a_component_of_another_toolchain_says_what_it_could_not_fetch",
        ],
    ),
    ("kernels", &["kernels_compute_what_they_say"]),
    ("math", &["a_core_module_computes_without_a_word_about_types"]),
    ("net", &["the_documents_are_followed_in_both_families", "datagrams_come_back_both_ways"]),
    ("probe", &["streams_keep_every_promise", "a_component_is_told_which_streams_are_terminals"]),
    ("processor", &["a_library_with_a_world_around_it_reports"]),
    ("reactor", &["a_reactor_is_initialised_before_each_call"]),
    ("run-err", &["a_command_that_returns_an_error_exits_with_1"]),
    ("semver-0-2-0", &["an_older_and_a_newer_0_2_draw_from_the_same_source"]),
    ("semver-0-2-12", &["an_older_and_a_newer_0_2_draw_from_the_same_source"]),
    ("sleeper", &["sleepers_wake_on_the_nanosecond"]),
    (
        "society",
        &["a_token_goes_round", "a_chain_of_links_ends_with_its_last", "a_name_is_as_good_as_a_pid_until_its_end"],
    ),
    ("spinner", &["a_counted_loop_ends_and_an_endless_one_is_ended"]),
    ("spinner-component", &["a_counted_loop_ends_and_an_endless_one_is_ended"]),
    ("startfn", &["an_exit_of_the_start_function_is_no_end"]),
    ("strings", &["texts_and_lists_cross_into_a_core_module"]),
    ("unruly", &["unruly_guests_end_with_the_code_of_their_limit"]),
    ("unlisted", &["an_import_that_nobody_serves_ends_only_who_calls_it"]),
    ("waiter", &["each_guest_that_waits_leaves_the_worker_to_others"]),
];

#[test]
fn every_guest_has_a_test() {
    let files: BTreeSet<String> = std::fs::read_dir(fixture("guests"))
        .expect("the guests")
        .filter_map(|file| file.expect("a file").file_name().to_str()?.strip_suffix(".wasm").map(str::to_owned))
        .collect();
    let tested: BTreeSet<String> = TESTED.iter().map(|(guest, _)| (*guest).to_owned()).collect();
    assert_eq!(files, tested, "left: fixtures/guests, right: the table of this file");
    let source = concat!(
        include_str!("guests.rs"),
        include_str!("files/functions.rs"),
        include_str!("goldens.rs"),
        include_str!("http.rs"),
        include_str!("probe.rs"),
        include_str!("probe/terminals.rs"),
        include_str!("society.rs"),
        include_str!("society/flat.rs"),
        include_str!("sockets.rs"),
        include_str!("yielding.rs")
    );
    for (guest, tests) in TESTED {
        for test in *tests {
            assert!(source.contains(&format!("#[test]\nfn {test}()")), "{guest}: there is no test `{test}`");
        }
    }
}

/// How long a test waits for what must come before it says that it did not: no measure of anything.
const PATIENCE: Duration = Duration::from_secs(120);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::yield_now();
    }
}

/// Interfaces of the greeter by their short names.
const INTERFACES: &str = "wippy:fixtures/";

/// One entry a function of the greeter, each named like its function.
fn greeter(functions: impl IntoIterator<Item = &'static str>) -> House {
    let functions: BTreeSet<_> = functions.into_iter().collect();
    let entries: String = functions
        .into_iter()
        .map(|function| {
            let method = if function.contains('#') { format!("{INTERFACES}{function}") } else { function.to_owned() };
            let name = function.replace('#', ".");
            format!("- {{ name: {name}, kind: process.wasm, guest: greeter, method: '{method}' }}\n")
        })
        .collect();
    House::new(&entries)
}

#[test]
fn every_function_answers() {
    let house = greeter(ANSWERS.iter().map(|(function, ..)| *function));
    let mut wrong = Vec::new();
    for (function, words, expected) in ANSWERS {
        let exit = house.start(&function.replace('#', "."), words).map(|process| process.wait());
        let found = match exit {
            Ok(Exit::Returned(value)) => value.to_string(),
            other => format!("{other:?}"),
        };
        if found != *expected {
            wrong.push(format!("{function} {words:?}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} answers differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_function_has_a_line() {
    let app = guest_app("- { name: none, kind: process.wasm, guest: greeter, method: none-of-them }");
    let checked = Runtime::builder().load(app.path()).cache(false).check().expect("an engine");
    let problem = format!("{:?}", checked.diagnostics.iter().next().expect("no such method"));
    let listed = problem.split("the binary exports:\\n").nth(1).expect("the list of exports");
    let listed = listed.split('"').next().expect("its end");
    let exports: BTreeSet<String> = listed
        .split("\\n")
        .map(|line| line.split(": func(").next().expect("a name").replace("@1.2.0", "").replace(INTERFACES, ""))
        .collect();
    // A trap is no answer; it has a test in `cli`.
    let answered = ANSWERS.iter().map(|(function, ..)| (*function).to_owned()).chain(["boom".to_owned()]).collect();
    assert_eq!(exports, answered, "left: the exports of the guest, right: the table of this file");
}

#[test]
fn wrong_arguments_are_told_with_the_signature() {
    let refusals: &[(&str, &[&str], &str)] = &[
        (
            "echo#echo-u8",
            &["256"],
            "argument 1: 256 does not fit u8; the signature is `wippy:fixtures/echo#echo-u8: func(v: u8) -> u8`",
        ),
        (
            "echo#echo-s8",
            &["-129"],
            "argument 1: -129 does not fit s8; the signature is `wippy:fixtures/echo#echo-s8: func(v: s8) -> s8`",
        ),
        (
            "echo#echo-u64",
            &["18446744073709551616"],
            "argument 1: 1.8446744073709552e+19 does not fit u64; the signature is `wippy:fixtures/echo#echo-u64: func(v: u64) -> u64`",
        ),
        (
            "echo#echo-s32",
            &["1.5"],
            "argument 1: 1.5 is not a whole number, expected `s32`; the signature is `wippy:fixtures/echo#echo-s32: func(v: s32) -> s32`",
        ),
        (
            "echo#echo-bool",
            &["1"],
            "argument 1: expected `bool`, for example `true`, found `1`; the signature is `wippy:fixtures/echo#echo-bool: func(v: bool) -> bool`",
        ),
        (
            "echo#echo-char",
            &["ab"],
            "argument 1: expected `char`, one character, found 2; the signature is `wippy:fixtures/echo#echo-char: func(v: char) -> char`",
        ),
        (
            "echo#echo-enum",
            &["middle"],
            "argument 1: unknown case `middle`, expected one of `low`, `medium-high`, `high`; the signature is `wippy:fixtures/echo#echo-enum: func(v: enum { low, medium-high, high }) -> enum { low, medium-high, high }`",
        ),
        (
            "echo#echo-flags",
            &[r#"["a", "z"]"#],
            "argument 1: unknown flag `z`, did you mean `a`; the signature is `wippy:fixtures/echo#echo-flags: func(v: flags { a, b, c-d, e, f, g, h, i, j }) -> flags { a, b, c-d, e, f, g, h, i, j }`",
        ),
        (
            "echo#echo-variant",
            &[r#"{"numbr": 1}"#],
            "argument 1: unknown case `numbr`, did you mean `number`; the signature is `wippy:fixtures/echo#echo-variant: func(v: variant { leaf, number(s64), pair(tuple<string, bool>), points(list<record { x: s32, y: s32 }>), described(option<string>) }) -> variant { leaf, number(s64), pair(tuple<string, bool>), points(list<record { x: s32, y: s32 }>), described(option<string>) }`",
        ),
        (
            "echo#echo-record",
            &[r#"{"byte": 1, "letter": "z", "nested": []}"#],
            "argument 1: missing field `top-left` of type `record { x: s32, y: s32 }`; the signature is `wippy:fixtures/echo#echo-record: func(v: record { byte: u8, letter: char, top-left: record { x: s32, y: s32 }, nested: list<option<result<u32, string>>> }) -> record { byte: u8, letter: char, top-left: record { x: s32, y: s32 }, nested: list<option<result<u32, string>>> }`",
        ),
        (
            "transform",
            &[r#"[{"id": 4294967296, "name": "a", "tags": []}]"#],
            "argument 1[0].id: 4294967296 does not fit u32; the signature is `transform: func(users: list<record { id: u32, name: string, email: option<string>, tags: list<string> }>) -> list<record { id: u32, name: string, email: option<string>, tags: list<string> }>`",
        ),
        ("greet", &[], "expected 1 argument, found 0; the signature is `greet: func(name: string) -> string`"),
        ("add", &["1", "2", "3"], "expected 2 arguments, found 3; the signature is `add: func(a: s32, b: s32) -> s32`"),
    ];
    let house = greeter(refusals.iter().map(|(function, ..)| *function));
    let mut wrong = Vec::new();
    for (function, words, expected) in refusals {
        let found = house.start(&function.replace('#', "."), words).expect_err("refused");
        if found != *expected {
            wrong.push(format!("{function} {words:?}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} refusals differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn four_mebibytes_pass_both_ways() {
    const LENGTH: usize = 4 << 20;
    let house = greeter(["echo-bytes", "sum-bytes"]);
    let bytes: Vec<u8> = (0..LENGTH as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let sum: i64 = bytes.iter().map(|byte| i64::from(*byte)).sum();
    let run = |entry: &str, input: Payload| house.runtime.spawn(entry, [input]).expect("a process").wait();
    let payload = || Payload::Bytes(Bytes::from(bytes.clone()));
    assert!(run("app:echo-bytes", payload()) == Exit::Returned(payload()), "bytes differ");
    assert_eq!(run("app:sum-bytes", payload()), Exit::Returned(sum.into()));
    let text = "wörter ".repeat(LENGTH / 8);
    let echoed = run("app:echo-bytes", Payload::from(text.as_str()));
    assert!(echoed == Exit::Returned(Payload::Bytes(Bytes::from(text))), "a text is its bytes");
}

#[test]
fn the_smallest_component_greets() {
    let app = guest_app("- { name: greet, kind: process.wasm, guest: greet, method: greet }");
    assert_said(&run_in(app.path(), ["run", "-x", "app:greet", "you"]), 0, "Hello, you!\n", "");
    let said = run_in(app.path(), ["run", "-x", "app:greet"]);
    let error =
        "error: `app:greet`: expected 1 argument, found 0; the signature is `greet: func(name: string) -> string`\n";
    assert_said(&said, 2, "", error);
}

#[test]
fn a_preview_1_command_is_given_what_was_typed() {
    let app = guest_app("- { name: args, kind: process.wasm, guest: args, method: _start }");
    let run =
        |words: &[&str]| run_in(app.path(), ["run", "-x", "app:args", "--"].into_iter().chain(words.iter().copied()));
    assert_said(&run(&[]), 0, "argc=1\nargv[0]=args\n", "");
    let said = run(&["--env", "", "zwölf \"", "--err", "told", "--exit", "7"]);
    let argv = "argc=8\nargv[0]=args\nargv[1]=--env\nargv[2]=\nargv[3]=zwölf \"\nargv[4]=--err\nargv[5]=told\nargv[6]=--exit\nargv[7]=7\n";
    assert_said(&said, 7, argv, "told\n");
}

/// The command guest with all it can use.
const COMMAND: &str = "- { name: command, kind: process.wasm, guest: command, method: run, imports: [wasi:cli, wasi:io, wasi:clocks, wasi:filesystem, wasi:random] }";

fn run_command(words: &[&str], stdin: &[u8]) -> Said {
    let app = guest_app(COMMAND);
    let mut command = wippy();
    command.arg("-C").arg(app.path()).args(["run", "-x", "app:command", "--"]).args(words).stdin(Stdio::piped());
    let mut running = Running::start(&mut command);
    running.child().stdin.take().expect("a pipe").write_all(stdin).expect("a reader");
    running.end()
}

#[test]
fn a_command_does_what_its_options_say() {
    assert_said(&run_command(&[], b""), 0, "args: [\"command\"]\n", "");
    let said = run_command(&["--cat", "--time", "--sleep", "3"], "eins\nzwölf\nno newline".as_bytes());
    let stdout = "args: [\"command\", \"--cat\", \"--time\", \"--sleep\", \"3\"]\n1: eins\n2: zwölf\n3: no newline\n\
                  after 2020: true\nslept at least 3 ms: true\n";
    assert_said(&said, 0, stdout, "");
    assert_said(&run_command(&["--fail"], b""), 1, "args: [\"command\", \"--fail\"]\n", "");
    let error = "Error: \"asked to fail\"\n";
    assert_said(&run_command(&["--err"], b""), 1, "args: [\"command\", \"--err\"]\n", error);
    let random = || {
        let said = run_command(&["--random"], b"");
        let hex =
            said.stdout.strip_prefix("args: [\"command\", \"--random\"]\nrandom: ").unwrap_or_default().trim_end();
        assert!(hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", said.golden());
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
        hex.to_owned()
    };
    assert_ne!(random(), random());
}

#[test]
fn a_command_that_panics_traps_and_shows_where() {
    let said = run_command(&["--panic"], b"");
    assert_eq!((said.code, said.stdout.as_str()), (Some(134), "args: [\"command\", \"--panic\"]\n"));
    let head = "\nthread 'main' (1) panicked at command/src/main.rs:30:26:\nasked to panic\n\
                note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n\
                error: `app:command` trapped: wasm `unreachable` instruction executed\n\
                wasm backtrace, innermost first:\n  abort (offset ";
    let frames = said.stderr.strip_prefix(head).unwrap_or_else(|| panic!("{}", said.golden()));
    // Between the two are frames of Rust's library, which its next version may call otherwise.
    assert!(frames.contains("\n  command::main (offset "), "{frames}");
    let outermost = frames.lines().last().expect("frames");
    assert!(outermost.starts_with("  wasi:cli/run@0.2.12#run (offset "), "{frames}");
}

#[test]
fn a_core_module_computes_without_a_word_about_types() {
    let house = House::new(
        "- { name: add, kind: process.wasm, guest: math, method: add }
         - { name: mul64, kind: process.wasm, guest: math, method: mul64 }
         - { name: half, kind: process.wasm, guest: math, method: half }
         - { name: swap, kind: process.wasm, guest: math, method: swap }
         - { name: trap, kind: process.wasm, guest: math, method: trap }",
    );
    let run = |entry, words| match house.run(entry, words) {
        Exit::Returned(value) => value.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!(run("add", &["2147483647", "1"]), "-2147483648");
    assert_eq!(run("mul64", &["-9223372036854775808", "1"]), "-9223372036854775808");
    assert_eq!(run("half", &["5e-324"]), "0.0");
    assert_eq!(run("half", &["3"]), "1.5");
    assert_eq!(run("half", &["nan"]), "\"nan\"");
    assert_eq!(run("swap", &["1", "-2"]), "[-2,1]");
    let Exit::Trapped(trap) = house.run("trap", &[]) else { panic!("`unreachable` traps") };
    assert_eq!(trap.message, "wasm `unreachable` instruction executed");
    assert!(trap.backtrace.len() == 1 && trap.backtrace[0].starts_with("trap (offset 0x"), "{:?}", trap.backtrace);
    // A core type has no sign: both readings of its bits are taken, the signed one comes back.
    assert_eq!(run("add", &["4294967295", "2147483648"]), "2147483647");
    let refused = house.start("add", &["4294967296", "1"]).expect_err("out of range");
    assert_eq!(
        refused,
        "argument 1: 4294967296 does not fit s32; the signature is `add: func(p0: s32, p1: s32) -> s32`"
    );
    let app = guest_app("- { name: memory, kind: process.wasm, guest: math, method: memory }");
    let said = run_in(app.path(), ["check"]);
    assert!(
        said.stderr.starts_with("error[unknown-method]: `app:memory`: no function `memory` is exported\n"),
        "{}",
        said.stderr
    );
}

#[test]
fn kernels_compute_what_they_say() {
    let house = House::new(
        "- { name: sha256, kind: process.wasm, guest: kernels, method: sha256 }
         - { name: matrix, kind: process.wasm, guest: kernels, method: matrix, limits: { max_fuel: 1_000_000_000 } }
         - { name: interpret, kind: process.wasm, guest: kernels, method: interpret }",
    );
    let run = |entry, argument: u64| match house.run(entry, &[&argument.to_string()]) {
        Exit::Returned(value) => value.as_i64().expect("a number").cast_unsigned(),
        other => panic!("{entry}({argument}): {other:?}"),
    };
    let mut hash = [0; 32];
    for rounds in 0..=3 {
        let first = u64::from_be_bytes(hash[..8].try_into().expect("eight bytes"));
        assert_eq!(run("sha256", rounds), first, "{rounds} rounds");
        hash = Sha256::digest(hash).into();
    }
    for size in [0, 1, 7, 40] {
        let element = |i: u64, j: u64| (0..size).map(|k| (i + 2 * k) % 7 * ((3 * k + j) % 5)).sum::<u64>();
        let row = |i: u64| (0..size).map(|j| element(i, j) * (1 + (i + j) % 7)).sum::<u64>();
        assert_eq!(run("matrix", size), (0..size).map(row).sum::<u64>(), "{size} rows");
    }
    let steps = |start: u64| {
        let next = |number: &u64| match number {
            1 => None,
            even if even % 2 == 0 => Some(even / 2),
            odd => Some(3 * odd + 1),
        };
        std::iter::successors(Some(start), next).count() as u64 - 1
    };
    for limit in [0, 1, 2, 30] {
        assert_eq!(run("interpret", limit), (1..=limit).map(steps).sum::<u64>(), "up to {limit}");
    }
}

#[test]
fn texts_and_lists_cross_into_a_core_module() {
    let wit = "wit: 'shout: func(text: string) -> string; sum: func(values: list<u32>) -> u64;'";
    let house = House::new(&format!(
        "- {{ name: shout, kind: process.wasm, guest: strings, method: shout, {wit} }}
         - {{ name: sum, kind: process.wasm, guest: strings, method: sum, {wit} }}"
    ));
    assert_eq!(house.run("shout", &["quiet, zwölf"]), Exit::Returned("QUIET, ZWöLF".into()));
    assert_eq!(house.run("shout", &[""]), Exit::Returned("".into()));
    let long = "a".repeat(1 << 20);
    assert!(house.run("shout", &[&long]) == Exit::Returned(long.to_uppercase().into()));
    assert_eq!(house.run("sum", &["[]"]), Exit::Returned(0.into()));
    assert_eq!(house.run("sum", &["[4294967295, 4294967295]"]), Exit::Returned(8_589_934_590i64.into()));
}

#[test]
fn a_counted_loop_ends_and_an_endless_one_is_ended() {
    for guest in ["spinner", "spinner-component"] {
        let house = House::new(&format!(
            "- {{ name: spin-for, kind: process.wasm, guest: {guest}, method: spin-for }}
             - {{ name: spin, kind: process.wasm, guest: {guest}, method: spin }}"
        ));
        assert_eq!(house.run("spin-for", &["0"]), Exit::Returned(0.into()), "{guest}");
        assert_eq!(house.run("spin-for", &["1000000"]), Exit::Returned(1_000_000.into()), "{guest}");
        let spinner = house.start("spin", &[]).expect("a process");
        until("the spinner runs", || spinner.state() == State::Running);
        spinner.terminate();
        assert_eq!(spinner.wait(), Exit::Terminated, "{guest}");
    }
}

#[test]
fn sleepers_wake_on_the_nanosecond() {
    let clock = Clock::manual();
    let entries: String = ["sleep-ms", "sleep-poll", "sleep-many"]
        .map(|method| {
            format!("- {{ name: {method}, kind: process.wasm, guest: sleeper, method: {method}, imports: [wasi:clocks, wasi:poll] }}\n")
        })
        .concat();
    let house = House::with_clock(&entries, clock.clone());
    let blocked = |process: &ProcessHandle| process.state() == State::Blocked;
    let pass = |ms| clock.advance(Duration::from_millis(ms)).expect("a manual clock");
    let ended = |process: &ProcessHandle| {
        until("the sleeper has ended", || process.exit().is_some());
        process.exit().expect("ended")
    };

    let one = house.start("sleep-ms", &["5"]).expect("a process");
    let none = house.start("sleep-ms", &["0"]).expect("a process");
    assert_eq!(ended(&none), Exit::Returned(0.into()), "no time passes");
    until("it waits", || blocked(&one));
    pass(4);
    assert!(blocked(&one), "a millisecond is missing");
    pass(1);
    assert_eq!(ended(&one), Exit::Returned(5_000_000.into()));

    // The first of several, by its place in the list.
    let several = house.start("sleep-poll", &["[30, 10, 20]"]).expect("a process");
    until("it waits", || blocked(&several));
    pass(10);
    assert_eq!(ended(&several), Exit::Returned(1.into()));

    let again = house.start("sleep-many", &["7", "3"]).expect("a process");
    for turn in 1..=3u64 {
        until("it waits again", || blocked(&again) && again.steps() == turn);
        pass(7);
    }
    assert_eq!(ended(&again), Exit::Returned(3.into()));
}

#[test]
fn a_reactor_is_initialised_before_each_call() {
    let house = House::new(
        "- { name: store, kind: env.storage.static, values: { COUNTER: '-2' } }
         - { name: counter-start, kind: env.variable, storage: app:store, variable: COUNTER }
         - { name: counter, kind: process.wasm, guest: reactor, method: counter }
         - { name: counter-from, kind: process.wasm, guest: reactor, method: counter, wasi: { env: [{ id: app:counter-start, name: COUNTER }] } }",
    );
    // Every process is an instance of its own: the second one begins where the first did.
    assert_eq!(house.run("counter", &[]), Exit::Returned(42.into()));
    assert_eq!(house.run("counter", &[]), Exit::Returned(42.into()));
    assert_eq!(house.run("counter-from", &[]), Exit::Returned((-1).into()));
}

#[test]
fn an_exit_of_the_start_function_is_no_end() {
    let house = House::new(
        "- { name: after, kind: process.wasm, guest: startfn, method: after }
         - { name: start, kind: process.wasm, guest: startfn, method: _start }",
    );
    assert_eq!(house.run("after", &[]), Exit::Returned(1.into()));
    assert_eq!(house.run("start", &[]), Exit::Exited(0));
}

#[test]
fn a_command_that_returns_an_error_exits_with_1() {
    let app = guest_app("- { name: run-err, kind: process.wasm, guest: run-err, method: run }");
    assert_said(&run_in(app.path(), ["run", "-x", "app:run-err"]), 1, "", "");
}

#[test]
fn an_import_that_nobody_serves_ends_only_who_calls_it() {
    let app = guest_app(
        "- { name: safe, kind: process.wasm, guest: unlisted, method: safe }
         - { name: unsafe, kind: process.wasm, guest: unlisted, method: unsafe-call }",
    );
    assert_said(&run_in(app.path(), ["-s", "run", "-x", "app:safe"]), 0, "safe\n", "");
    let error = "error: the guest of `app:unsafe` called `run` of `acme:database/query@0.1.0`, which nothing here serves: \
                 build the guest without this import\n";
    assert_said(&run_in(app.path(), ["-s", "run", "-x", "app:unsafe"]), 1, "", error);
    let told = "warning[unprovided-import]: `app:safe`: `/unlisted.wasm` imports `run` of `acme:database/query@0.1.0`, which \
                nothing provides: a call ends the process\n";
    assert!(run_in(app.path(), ["check"]).stderr.contains(told), "the check tells it");
}

#[test]
fn an_older_and_a_newer_0_2_draw_from_the_same_source() {
    for version in ["0.2.0", "0.2.12"] {
        let guest = format!("semver-{}", version.replace('.', "-"));
        let house = House::new(&format!(
            "- {{ name: listed, kind: process.wasm, guest: {guest}, method: draw, imports: ['wasi:random'] }}
             - {{ name: unlisted, kind: process.wasm, guest: {guest}, method: draw, imports: ['wasi:cli'] }}"
        ));
        let draw = || match house.run("listed", &[]) {
            Exit::Returned(value) => value.as_u64().expect("a u64"),
            other => panic!("{version}: {other:?}"),
        };
        assert_ne!(draw(), draw(), "{version}");
        let Exit::Failed(failure) = house.run("unlisted", &[]) else { panic!("{version}: it is not listed") };
        let message = format!(
            "the guest of `app:unlisted` called `get-random-u64` of `wasi:random/random@{version}`, which the entry does \
             not list: add `- wasi:random` under `imports:`"
        );
        assert_eq!((failure.kind, failure.message), (FailureKind::Import, message));
    }
}

#[test]
fn a_guest_calls_a_function_and_has_its_answer() {
    let house = House::new(
        "- { name: text, kind: process.wasm, guest: funcs, method: text, imports: [funcs] }
         - { name: bytes, kind: process.wasm, guest: funcs, method: bytes, imports: ['wippy:runtime/funcs@0.1.0'] }
         - { name: unlisted, kind: process.wasm, guest: funcs, method: text }
         - { name: greet, kind: function.wasm, guest: greet, method: greet }
         - { name: sum, kind: function.wasm, guest: math, method: add }",
    );
    let result = |side: &str, value: &str| {
        Exit::Returned(Payload::Map([(side.to_owned(), Payload::from(value))].into_iter().collect()))
    };
    assert_eq!(house.run("text", &["app:greet", "Ann"]), result("ok", "Hello, Ann!"));
    let bytes = Payload::Bytes(b"Hello, Ann!".to_vec().into());
    let answer = house.run("bytes", &["app:greet", "[65, 110, 110]"]);
    assert_eq!(answer, Exit::Returned(Payload::Map([("ok".to_owned(), bytes)].into_iter().collect())));
    let wrong = "`app:sum`: expected 2 arguments, found 1; the signature is `add: func(p0: s32, p1: s32) -> s32`";
    assert_eq!(house.run("text", &["app:sum", "1 2"]), result("err", wrong));
    let unknown = "pool not found: app:gret; did you mean `app:greet`?";
    assert_eq!(house.run("text", &["app:gret", ""]), result("err", unknown));
    for (target, cause) in
        [("sum", "missing namespace"), ("", "empty target"), (":sum", "missing namespace"), ("app:", "missing name")]
    {
        let invalid = format!("invalid function target: {target} ({cause}, expected `namespace:name`)");
        assert_eq!(house.run("text", &[target, ""]), result("err", &invalid));
    }
    let Exit::Failed(failure) = house.run("unlisted", &["app:sum", ""]) else { panic!("it is not listed") };
    let message = "the guest of `app:unlisted` called `call-string` of `wippy:runtime/funcs@0.1.0`, which the entry does \
                   not list: add `- funcs` under `imports:`";
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Import, message));
}

#[cfg(feature = "http")]
#[test]
fn a_worker_without_its_url_says_so() {
    let url = "wasi: { env: [{ id: app:url, name: API_URL }] }";
    let app = guest_app(&format!(
        "- {{ name: store, kind: env.storage.memory }}
         - {{ name: url, kind: env.variable, storage: app:store, default: 'http://127.0.0.1:1/' }}
         - {{ name: listed, kind: process.wasm, guest: http-worker, method: run, imports: [wasi:io, wasi:cli, wasi:http], {url} }}
         - {{ name: unlisted, kind: process.wasm, guest: http-worker, method: run, imports: [wasi:io, wasi:cli], {url} }}
         - {{ name: no-url, kind: process.wasm, guest: http-worker, method: run, imports: [wasi:io, wasi:cli] }}"
    ));
    let run = |entry: &str| run_in(app.path(), ["run", "-x", entry]);
    assert_said(&run("app:no-url"), 0, "error: API_URL is not set\n", "");
    let unlisted = "error: the guest of `app:unlisted` called `[constructor]fields` of `wasi:http/types@0.2.12`, which the \
                    entry does not list: add `- wasi:http` under `imports:`\n";
    assert_said(&run("app:unlisted"), 1, "", unlisted);
    assert_said(&run("app:listed"), 0, "error: ErrorCode::ConnectionRefused\n", "");
}

#[test]
fn a_library_with_a_world_around_it_reports() {
    let imports = "imports: [wasi:cli, wasi:io, wasi:clocks, wasi:filesystem]";
    let app = guest_app(&format!(
        "- {{ name: store, kind: env.storage.static, values: {{ FORMAT: csv }} }}
         - {{ name: format, kind: env.variable, storage: app:store, variable: FORMAT }}
         - {{ name: bare, kind: process.wasm, guest: processor, method: process, {imports} }}
         - {{ name: full, kind: process.wasm, guest: processor, method: process, {imports}, wasi: {{ args: [--input, /data/none.csv], env: [{{ id: app:format, name: OUTPUT_FORMAT }}] }} }}"
    ));
    let run = |entry: &str| {
        let mut said = run_in(app.path(), ["run", "-x", entry]);
        // The only thing that differs between two runs.
        let (took, rest) = said.stdout.split_once('\n').expect("two lines");
        assert!(took.starts_with("processed in ") && took.ends_with(" us"), "{took}");
        said.stdout = rest.to_owned();
        said
    };
    assert_said(&run("app:bare"), 0, "args: [\"bare\"]\nformat: unset\nreport: not written\n", "");
    let report = "args: [\"full\", \"--input\", \"/data/none.csv\"]\nformat: csv\ninput: /data/none.csv, uncategorized error\nreport: not written\n";
    assert_said(&run("app:full"), 0, report, "");
}
