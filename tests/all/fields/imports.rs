//! What a line under `imports` enables, and that nothing else does.

use wippy::process::{Exit, FailureKind};
use wippy::reactor::Clock;
use wippy::wasi::Profile;

use super::super::support::{House, app, assert_said, guest_app, guest_index};
use super::{binary, exec, put};

/// A component that imports one function and calls it: `call` is the function's type, `core` that type as a core module
/// sees it, `arguments` what is given.
fn probe(interface: &str, function: &str, (params, result): (&str, &str), (core, arguments): (&str, &str)) -> Vec<u8> {
    let core_result = if result.is_empty() { "" } else { "(result i64)" };
    wat::parse_str(format!(
        r#"(component
            (import "{interface}" (instance $host (export "{function}" (func {params} {result}))))
            (core func $lowered (canon lower (func $host "{function}")))
            (core module $main
                (import "host" "f" (func $f {core} {core_result}))
                (func (export "probe") {core_result} {arguments} (call $f)))
            (core instance $main (instantiate $main (with "host" (instance (export "f" (func $lowered))))))
            (func (export "probe") {result} (canon lift (core func $main "probe"))))"#
    ))
    .expect("a component")
}

#[test]
fn each_profile_enables_its_interfaces_and_nothing_else() {
    let number = ("", "(result u64)");
    let probes = [
        (Profile::Clocks, "wasi:clocks/monotonic-clock@0.2.3", "now", number, ("", "")),
        (Profile::Clocks, "wasi:clocks/monotonic-clock@0.2.3", "resolution", number, ("", "")),
        (Profile::Random, "wasi:random/random@0.2.0", "get-random-u64", number, ("", "")),
        (Profile::Random, "wasi:random/insecure@0.2.12", "get-insecure-random-u64", number, ("", "")),
        (
            Profile::Cli,
            "wasi:cli/exit@0.2.9",
            "exit",
            ("(param \"status\" (result))", ""),
            ("(param i32)", "(i32.const 0)"),
        ),
    ];
    let binaries = probes.map(|(_, interface, function, ty, core)| probe(interface, function, ty, core));
    let mut entries = "- { name: probes, kind: fs.directory, directory: . }\n".to_owned();
    for (at, bytes) in binaries.iter().enumerate() {
        for (nth, listed) in Profile::ALL.iter().enumerate() {
            let fields = binary("probes", &format!("/{at}.wasm"), bytes);
            entries.push_str(&format!("- {{ name: p{at}-{nth}, {fields}, method: probe, imports: ['{listed}'] }}\n"));
        }
    }
    let app = app(&[("_index.yaml", &guest_index(&entries))]);
    for (at, bytes) in binaries.iter().enumerate() {
        put(&app, &format!("{at}.wasm"), bytes);
    }
    let house = House::of(app, Clock::real());
    for (at, (profile, interface, function, ..)) in probes.iter().enumerate() {
        for (nth, listed) in Profile::ALL.iter().enumerate() {
            let entry = format!("p{at}-{nth}");
            match house.run(&entry, &[]) {
                Exit::Returned(_) | Exit::Exited(0) => assert_eq!(listed, profile, "{interface} needs its line"),
                Exit::Failed(failure) => {
                    assert_ne!(listed, profile, "{failure:?}");
                    let message = format!(
                        "the guest of `app:{entry}` called `{function}` of `{interface}`, which the entry does not list: \
                         add `- {profile}` under `imports:`"
                    );
                    assert_eq!((failure.kind, failure.message), (FailureKind::Import, message));
                }
                other => panic!("{interface} with {listed}: {other:?}"),
            }
        }
    }
}

#[test]
fn an_import_has_many_spellings() {
    let spellings =
        ["wasi:random", "wasi:random/random", "wasi:random@0.2.3", "wasi:random/insecure-seed@0.2.0", " WASI:Random "];
    let entries: String = spellings
        .iter()
        .enumerate()
        .map(|(at, import)| {
            format!(
                "- {{ name: e{at}, kind: process.wasm, guest: semver-0-2-0, method: draw, imports: ['{import}'] }}\n"
            )
        })
        .collect();
    let house = House::new(&entries);
    for (at, import) in spellings.iter().enumerate() {
        let exit = house.run(&format!("e{at}"), &[]);
        assert!(matches!(exit, Exit::Returned(_)), "{import}: {exit:?}");
    }
    // For a core module the one it may list changes nothing.
    let house = House::new(
        "- { name: with, kind: process.wasm, guest: args, method: _start, imports: [wasi1] }
         - { name: without, kind: process.wasm, guest: args, method: _start }",
    );
    assert_eq!((house.run("with", &[]), house.run("without", &[])), (Exit::Exited(0), Exit::Exited(0)));
}

#[test]
fn a_program_needs_the_lines_of_what_it_uses() {
    let listed = ["[wasi:cli]", "[wasi:cli, wasi:clocks]", "[wasi:cli, wasi:random]", "[wasi:clocks, wasi:random]"];
    let entries: String = listed
        .iter()
        .enumerate()
        .map(|(at, imports)| {
            format!("- {{ name: e{at}, kind: process.wasm, guest: command, method: run, imports: {imports} }}\n")
        })
        .collect();
    let app = guest_app(&entries);
    let time = ("--time", "now", "wasi:clocks/wall-clock@0.2.12", "wasi:clocks");
    let sleep = ("--sleep", "now", "wasi:clocks/monotonic-clock@0.2.12", "wasi:clocks");
    let random = ("--random", "get-random-bytes", "wasi:random/random@0.2.12", "wasi:random");
    for (at, missing) in [vec![time, sleep, random], vec![random], vec![time, sleep]].into_iter().enumerate() {
        for option in ["--time", "--sleep", "--random"] {
            let entry = format!("app:e{at}");
            let said = exec(app.path(), &entry, &[option, "0"]);
            let begun = format!("args: [\"e{at}\", \"{option}\", \"0\"]\n");
            assert!(said.stdout.starts_with(&begun), "{}", said.golden());
            match missing.iter().find(|(needs, ..)| *needs == option) {
                None => assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{entry} {option}"),
                Some((_, function, interface, line)) => {
                    let error = format!(
                        "error: the guest of `{entry}` called `{function}` of `{interface}`, which the entry does not list: \
                         add `- {line}` under `imports:`\n"
                    );
                    assert_said(&said, 1, &begun, &error);
                }
            }
        }
    }
    let said = exec(app.path(), "app:e3", &[]);
    assert!(said.code == Some(1) && said.stderr.ends_with("add `- wasi:cli` under `imports:`\n"), "{}", said.golden());
}
