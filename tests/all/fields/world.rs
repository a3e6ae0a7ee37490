//! What a guest is given: arguments, a folder, an environment, time.

use wippy::reactor::Clock;

use super::super::support::{House, Said, app, assert_said, guest_app, guest_index, wippy};
use super::{binary, exec, put, returned};

#[test]
fn written_arguments_win_over_typed_ones() {
    let app = guest_app(
        "- { name: typed, kind: process.wasm, guest: args, method: _start }
         - { name: empty, kind: process.wasm, guest: args, method: _start, wasi: { args: [] } }
         - { name: written, kind: process.wasm, guest: args, method: _start, wasi: { args: [--in, '', 'a b'] } }
         - { name: component, kind: process.wasm, guest: command, method: run, imports: [wasi:cli], wasi: { args: [w] } }",
    );
    let run = |entry| exec(app.path(), entry, &["x"]);
    assert_said(&run("app:typed"), 0, "argc=2\nargv[0]=typed\nargv[1]=x\n", "");
    // As in Wippy: an empty list is none.
    assert_said(&run("app:empty"), 0, "argc=2\nargv[0]=empty\nargv[1]=x\n", "");
    let written = "argc=4\nargv[0]=written\nargv[1]=--in\nargv[2]=\nargv[3]=a b\n";
    assert_said(&run("app:written"), 0, written, "");
    assert_said(&run("app:component"), 0, "args: [\"component\", \"w\"]\n", "");
}

#[test]
fn a_guest_is_told_its_folder() {
    let bytes = wat::parse_str(
        r#"(component
            (import "wasi:cli/environment@0.2.0" (instance $env
                (export "initial-cwd" (func (result (option string))))))
            (core module $memory
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
            (core instance $memory (instantiate $memory))
            (core func $lowered
                (canon lower (func $env "initial-cwd") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
            (core module $main
                (import "host" "cwd" (func $cwd (param i32)))
                (func (export "cwd") (result i32) (call $cwd (i32.const 16)) (i32.const 16)))
            (core instance $main (instantiate $main (with "host" (instance (export "cwd" (func $lowered))))))
            (func (export "cwd") (result (option string)) (canon lift (core func $main "cwd") (memory (core memory $memory "memory")))))"#,
    )
    .expect("a component");
    let fields = binary("here", "/cwd.wasm", &bytes);
    let index = guest_index(&format!(
        "- {{ name: here, kind: fs.directory, directory: . }}
         - {{ name: written, {fields}, method: cwd, imports: [wasi:cli], wasi: {{ cwd: /app/data }} }}
         - {{ name: unwritten, {fields}, method: cwd, imports: [wasi:cli] }}"
    ));
    let app = app(&[("_index.yaml", &index)]);
    put(&app, "cwd.wasm", &bytes);
    let house = House::of(app, Clock::real());
    assert_eq!(returned(house.run("written", &[])), "\"/app/data\"");
    assert_eq!(returned(house.run("unwritten", &[])), "\"/\"");
}

#[test]
fn variables_come_from_every_kind_of_storage() {
    let index = guest_index(
        "- { name: static, kind: env.storage.static, values: { ALONE: static, KEY: unseen, BEHIND: behind, EMPTY: '', 'app:by-id': keyed } }
         - { name: memory, kind: env.storage.memory }
         - { name: os, kind: env.storage.os }
         - { name: file, kind: env.storage.file, file_path: conf/app.env }
         - { name: router, kind: env.storage.router, storages: [app:memory, file, app:static] }
         - { name: in-static, kind: env.variable, storage: app:static, variable: ALONE, default: unused }
         - { name: empty, kind: env.variable, storage: app:static, variable: EMPTY, default: for-empty }
         - { name: by-id, kind: env.variable, storage: static }
         - { name: in-memory, kind: env.variable, storage: app:memory, variable: NEW, default: by default }
         - { name: in-os, kind: env.variable, storage: app:os, variable: GREETING }
         - { name: unset, kind: env.variable, storage: app:os, variable: NOT_SET }
         - { name: in-file, kind: env.variable, storage: app:file, variable: FILED }
         - { name: routed, kind: env.variable, storage: app:router, variable: KEY }
         - { name: behind, kind: env.variable, storage: app:router, variable: BEHIND }
         - { name: show, kind: process.wasm, guest: args, method: _start, wasi: { args: [--env], env: [{ id: app:in-static, name: STATIC }, { id: empty, name: EMPTY }, { id: by-id, name: BY_ID }, { id: in-memory, name: MEMORY }, { id: in-os, name: OS }, { id: unset, name: UNSET }, { id: in-file, name: FILE }, { id: routed, name: A_ROUTED }, { id: behind, name: Z }] } }",
    );
    let app = app(&[("src/_index.yaml", &index), ("conf/app.env", "# a comment\nFILED=\"a b\"\nKEY=of the file\n")]);
    let output = wippy()
        .env("GREETING", "hello")
        .env("KEY", "of the program")
        .arg("-C")
        .arg(app.path())
        .args(["run", "-x", "app:show"])
        .output()
        .expect("the program starts");
    // Sorted by name; nothing of the program's own environment but what an entry names.
    let stdout = "argc=2\nargv[0]=show\nargv[1]=--env\nA_ROUTED=of the file\nBY_ID=keyed\nEMPTY=for-empty\nFILE=a b\n\
                  MEMORY=by default\nOS=hello\nSTATIC=static\nZ=behind\n";
    assert_said(&Said::of(output), 0, stdout, "");
}

#[test]
fn a_required_variable_without_value_is_an_error() {
    let app = guest_app(
        "- { name: os, kind: env.storage.os }
         - { name: token, kind: env.variable, storage: app:os, variable: TOKEN }
         - { name: optional, kind: process.wasm, guest: args, method: _start, wasi: { env: [{ id: token, name: T }] } }
         - { name: required, kind: process.wasm, guest: args, method: _start, wasi: { args: [--env], env: [{ id: token, name: T, required: true }] } }",
    );
    assert_said(&exec(app.path(), "app:optional", &["--env"]), 0, "argc=2\nargv[0]=optional\nargv[1]=--env\n", "");
    let error = "error: `app:required`: the required variable `app:token` (as `T`) has no value in `app:os`: set it there, or give it a `default`\n";
    assert_said(&exec(app.path(), "app:required", &[]), 1, "", error);
    let mut given = wippy();
    given.env("TOKEN", "secret").arg("-C").arg(app.path()).args(["run", "-x", "app:required"]);
    let said = Said::of(given.output().expect("the program starts"));
    assert_said(&said, 0, "argc=2\nargv[0]=required\nargv[1]=--env\nT=secret\n", "");
}

#[test]
fn a_missing_file_of_variables_is_empty_when_it_may_be_made() {
    let with = |auto_create| {
        guest_app(&format!(
            "- {{ name: file, kind: env.storage.file, file_path: none.env, auto_create: {auto_create} }}
             - {{ name: level, kind: env.variable, storage: app:file, variable: LEVEL, default: low }}
             - {{ name: show, kind: process.wasm, guest: args, method: _start, wasi: {{ args: [--env], env: [{{ id: level, name: LEVEL }}] }} }}"
        ))
    };
    let app = with(true);
    assert_said(&exec(app.path(), "app:show", &[]), 0, "argc=2\nargv[0]=show\nargv[1]=--env\nLEVEL=low\n", "");
    let app = with(false);
    let said = exec(app.path(), "app:show", &[]);
    assert!(said.code != Some(0) && said.stderr.contains("add `auto_create: true`"), "{}", said.golden());
}

/// An application with a script that sets a variable.
#[cfg(feature = "lua")]
fn setting(entries: &str) -> tempfile::TempDir {
    let script = "return { main = function(name, value)\n\
                  local done, problem = env.set(name, value)\n\
                  return done and env.get(name) or problem:kind() .. ': ' .. problem:message()\nend }\n";
    let index = guest_index(&format!(
        "- {{ name: set, kind: process.lua, source: 'file://set.lua', method: main, modules: [env] }}\n{entries}"
    ));
    app(&[("_index.yaml", &index), ("set.lua", script)])
}

#[cfg(feature = "lua")]
#[test]
fn a_file_of_variables_is_made_with_the_modes_of_its_entry() {
    use std::os::unix::fs::PermissionsExt;
    let app = setting(
        "- { name: file, kind: env.storage.file, file_path: deep/er/app.env, auto_create: true, file_mode: '0600', dir_mode: '0700' }
         - { name: level, kind: env.variable, storage: app:file, variable: LEVEL }",
    );
    assert_said(&exec(app.path(), "app:set", &["LEVEL", "a b"]), 0, "a b\n", "");
    let file = app.path().join("deep/er/app.env");
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "LEVEL=\"a b\"\n");
    let mode = |path: &str| std::fs::metadata(app.path().join(path)).expect("it was made").permissions().mode() & 0o777;
    assert_eq!(["deep/er/app.env", "deep/er", "deep"].map(mode), [0o600, 0o700, 0o700]);
}

#[cfg(feature = "lua")]
#[test]
fn a_read_only_variable_is_not_changed() {
    let app = setting(
        "- { name: memory, kind: env.storage.memory }
         - { name: fixed, kind: env.variable, storage: app:memory, variable: FIXED, readonly: true }
         - { name: free, kind: env.variable, storage: app:memory, variable: FREE, readonly: false }",
    );
    let refused =
        "PermissionDenied: environment variable `app:fixed` is read-only, remove its `readonly: true` to change it\n";
    assert_said(&exec(app.path(), "app:set", &["FIXED", "x"]), 0, refused, "");
    assert_said(&exec(app.path(), "app:set", &["FREE", "x"]), 0, "x\n", "");
}

#[test]
fn wall_time_is_limited_in_both_spellings() {
    let spin = |limits| format!("kind: process.wasm, guest: spinner, method: spin, limits: {limits} }}");
    let app = guest_app(&format!(
        "- {{ name: text, {}\n- {{ name: number, {}\n- {{ name: both, {}\n\
         - {{ name: none, kind: process.wasm, guest: spinner, method: spin-for, limits: {{ max_execution: 0s }} }}",
        spin("{ max_execution: 20ms }"),
        spin("{ max_execution_ms: 20 }"),
        spin("{ max_execution: 20ms, max_execution_ms: 20 }"),
    ));
    for entry in ["app:text", "app:number", "app:both"] {
        let said = exec(app.path(), entry, &[]);
        let error = format!("error: `{entry}`: limit `max_execution` exceeded: allowed 20ms, used ");
        assert!(said.code == Some(124) && said.stderr.starts_with(&error), "{}", said.golden());
    }
    assert_said(&exec(app.path(), "app:none", &["1000"]), 0, "1000\n", "");
}
