//! Where binaries are found, which function of them is called, and what modules are given.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use wippy::process::Exit;
use wippy::reactor::Clock;

use super::super::support::{House, app, assert_said, guest_app, guest_index, run_in};
use super::{binary, exec, guest, put, returned};

#[test]
fn a_relative_directory_starts_at_the_application() {
    let greet = guest("greet");
    // The file that declares it lies deeper, and there is a folder of that name beside it, without the binary.
    let index = guest_index(&format!(
        "- {{ name: near, kind: fs.directory, directory: ./bin }}
         - {{ name: bare, kind: fs.directory, directory: bin/../bin }}
         - {{ name: near-greet, {near}, method: greet }}
         - {{ name: bare-greet, {bare}, method: greet }}
         - {{ name: far-greet, kind: process.wasm, guest: greet, method: greet }}",
        near = binary("near", "/greet.wasm", &greet),
        bare = binary("app:bare", "greet.wasm", &greet),
    ));
    let app = app(&[("src/deep/_index.yaml", &index), ("src/deep/bin/other.txt", "")]);
    put(&app, "bin/greet.wasm", &greet);
    for entry in ["app:near-greet", "app:bare-greet", "app:far-greet"] {
        assert_said(&exec(app.path(), entry, &["you"]), 0, "Hello, you!\n", "");
    }
}

#[test]
fn a_directory_of_a_module_starts_at_the_module() {
    let greet = guest("greet");
    let index = format!(
        "namespace: tool\nentries:\n\
         - {{ name: project, kind: fs.directory, directory: bin, base: project }}\n\
         - {{ name: module, kind: fs.directory, directory: bin, base: module }}\n\
         - {{ name: greet, {}, method: greet }}\n\
         - {{ name: add, {}, method: add }}\n",
        binary("module", "/guest.wasm", &greet),
        binary("project", "/guest.wasm", &guest("math")),
    );
    let lock = "directories: { modules: .wippy, src: src }\nmodules: [{ name: acme/tool, version: v1.0.0 }]\n";
    let app = app(&[("wippy.lock", lock), ("src/_index.yaml", &guest_index(""))]);
    put(&app, ".wippy/vendor/acme/tool/src/_index.yaml", index);
    put(&app, ".wippy/vendor/acme/tool/bin/guest.wasm", &greet);
    put(&app, "bin/guest.wasm", guest("math"));
    assert_said(&exec(app.path(), "tool:greet", &["you"]), 0, "Hello, you!\n", "");
    assert_said(&exec(app.path(), "tool:add", &["6", "7"]), 0, "13\n", "");
}

#[test]
fn a_missing_directory_is_made_when_that_is_wanted() {
    let with = |auto_init| {
        guest_app(&format!(
            "- {{ name: data, kind: fs.directory, directory: var/data, mode: '0750', auto_init: {auto_init} }}
             - {{ name: greet, kind: process.wasm, guest: greet, method: greet }}"
        ))
    };
    let app = with(false);
    assert_eq!(exec(app.path(), "app:greet", &["you"]).code, Some(2));
    assert!(!app.path().join("var").exists(), "nobody asked for it");
    let app = with(true);
    assert_said(&run_in(app.path(), ["check"]), 0, "5 entries, no problems\n", "");
    assert!(!app.path().join("var").exists(), "a check makes nothing");
    assert_said(&exec(app.path(), "app:greet", &["you"]), 0, "Hello, you!\n", "");
    let mode = fs::metadata(app.path().join("var/data")).expect("a folder").permissions().mode();
    assert_eq!(mode & 0o777, 0o750);
}

#[test]
fn the_owners_bits_of_a_mode_gate_reading() {
    let greet = guest("greet");
    let with_mode = |mode| {
        let app = app(&[(
            "_index.yaml",
            &guest_index(&format!(
                "- {{ name: bin, kind: fs.directory, directory: bin, mode: '{mode}' }}\n- {{ name: greet, {}, method: greet }}",
                binary("bin", "/greet.wasm", &greet),
            )),
        )]);
        put(&app, "bin/greet.wasm", &greet);
        exec(app.path(), "app:greet", &["you"])
    };
    assert_said(&with_mode("0400"), 0, "Hello, you!\n", "");
    let refused = with_mode("0355");
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    let message = "error[unreadable-binary]: `app:greet`: `/greet.wasm` in `app:bin` may not be read, the owner has no `r` in its `mode: \"0355\"`\n";
    assert!(refused.stderr.starts_with(message), "{}", refused.stderr);
}

#[test]
fn a_binary_is_found_by_file_system_and_path() {
    let (greet, math) = (guest("greet"), guest("math"));
    let index = guest_index(&format!(
        "- {{ name: one, kind: fs.directory, directory: one }}
         - {{ name: two, kind: fs.directory, directory: two }}
         - {{ name: greet, {}, method: greet }}
         - {{ name: add, {}, method: add }}
         - {{ name: deep-add, {}, method: add }}",
        binary("app:one", "/guest.wasm", &greet),
        binary("app:two", "/guest.wasm", &math),
        binary("one", "deep/er/guest.wasm", &math),
    ));
    let app = app(&[("_index.yaml", &index)]);
    put(&app, "one/guest.wasm", &greet);
    put(&app, "one/deep/er/guest.wasm", &math);
    put(&app, "two/guest.wasm", &math);
    let house = House::of(app, Clock::real());
    assert_eq!(returned(house.run("greet", &["you"])), "\"Hello, you!\"");
    assert_eq!(returned(house.run("add", &["1", "2"])), "3");
    assert_eq!(returned(house.run("deep-add", &["3", "4"])), "7");
}

#[test]
fn every_form_of_a_method_finds_its_function() {
    let forms: &[(&str, &str, &[&str], Exit)] = &[
        ("greeter", "greet", &["you"], Exit::Returned("Hello, you!".into())),
        ("greeter", "wippy:fixtures/math#gcd", &["12", "18"], Exit::Returned(6.into())),
        ("greeter", "wippy:fixtures/math@1.2.0#gcd", &["12", "18"], Exit::Returned(6.into())),
        ("run-err", "run", &[], Exit::Exited(1)),
        ("run-err", "wasi:cli/run#run", &[], Exit::Exited(1)),
        ("run-err", "wasi:cli/run@0.2.0#run", &[], Exit::Exited(1)),
        ("startfn", "_start", &[], Exit::Exited(0)),
        ("startfn", "after", &[], Exit::Returned(1.into())),
        ("math", "add", &["1", "2"], Exit::Returned(3.into())),
    ];
    let entries: String = forms
        .iter()
        .enumerate()
        .map(|(at, (guest, method, ..))| {
            format!("- {{ name: e{at}, kind: process.wasm, guest: {guest}, method: '{method}' }}\n")
        })
        .collect();
    let house = House::new(&entries);
    for (at, (guest, method, words, expected)) in forms.iter().enumerate() {
        assert_eq!(house.run(&format!("e{at}"), words), *expected, "{guest} {method}");
    }
    for method in ["wippy:fixtures/math@1.3.0#gcd", "gcd", "math#gcd", "run", "Greet"] {
        let app = guest_app(&format!("- {{ name: e, kind: process.wasm, guest: greeter, method: '{method}' }}"));
        let said = run_in(app.path(), ["check"]);
        let expected = format!("error[unknown-method]: `app:e`: no function `{method}` is exported\n");
        assert!(said.code == Some(2) && said.stderr.starts_with(&expected), "{}", said.golden());
    }
}

#[test]
fn the_text_of_types_decides_how_a_core_function_is_called() {
    let house = House::new(
        "- { name: bare, kind: process.wasm, guest: math, method: add }
         - { name: typed, kind: process.wasm, guest: math, method: add, wit: 'add: func(left: u32, right: u32) -> u32;' }",
    );
    assert_eq!(returned(house.run("bare", &["-1", "0"])), "-1");
    assert_eq!(returned(house.run("typed", &["4294967295", "0"])), "4294967295");
    let refused = house.start("typed", &["-1", "0"]).expect_err("no u32");
    let expected = "argument 1: -1 does not fit u32; the signature is `add: func(left: u32, right: u32) -> u32`";
    assert_eq!(refused, expected);
}

#[test]
fn a_dependency_gives_a_module_what_it_requires() {
    let module = format!(
        "namespace: tool\nentries:\n\
         - {{ name: level, kind: ns.requirement, default: low, targets: [{{ entry: show, path: wasi.args.0 }}] }}\n\
         - {{ name: extra, kind: ns.requirement, targets: [{{ entry: tool:show, path: wasi.args += }}] }}\n\
         - {{ name: show, {}, method: _start, wasi: {{ args: [unset] }} }}\n",
        binary("app:wasm", "/args.wasm", &guest("args")),
    );
    let lock = "directories: { modules: .wippy, src: src }\nmodules: [{ name: acme/tool, version: v1.0.0 }]\n";
    let shown = |options: &[&str], parameters: &str| {
        let dependency =
            format!("- {{ name: tool, kind: ns.dependency, component: acme/tool, parameters: [{parameters}] }}");
        let app = app(&[("wippy.lock", lock), ("src/_index.yaml", &guest_index(&dependency))]);
        put(&app, ".wippy/vendor/acme/tool/src/_index.yaml", &module);
        let said = run_in(app.path(), options.iter().copied().chain(["run", "-x", "tool:show"]));
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
        said.stdout
    };
    let argv = |level: &str| format!("argc=3\nargv[0]=show\nargv[1]={level}\nargv[2]=more\n");
    assert_eq!(shown(&[], "{ name: extra, value: more }"), argv("low"));
    let both = "{ name: extra, value: more }, { name: 'tool:level', value: high }";
    assert_eq!(shown(&[], both), argv("high"));
    // An override has the last word over a linked value.
    assert_eq!(shown(&["-o", "tool:show:wasi.args.0=mine"], both), argv("mine"));
}
