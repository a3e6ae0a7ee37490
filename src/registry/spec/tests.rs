use std::time::Duration;

use super::super::testing::{load_entries, load_fields};
use super::*;

const HASH: &str = "hash: sha256:292b796376f8b4cc360acf2ea6b82d1084871c3607a079f30b446da8e5c984a4";

const VOLUME: &str = "- name: bin\n  kind: fs.directory\n  directory: ./wasm\n";

fn wasm_loaded(fields: &[&str]) -> super::super::Loaded {
    let mut text = format!("{VOLUME}- name: x\n  kind: process.wasm\n");
    let basic = ["fs: bin", "path: /a.wasm", HASH, "method: run"];
    for field in basic.iter().filter(|basic| !fields.iter().any(|field| same_field(field, basic))).chain(fields) {
        text.push_str(&format!("  {field}\n"));
    }
    load_entries(&text)
}

fn same_field(left: &str, right: &str) -> bool {
    left.split(':').next() == right.split(':').next()
}

#[track_caller]
fn wasm(fields: &[&str]) -> WasmSpec {
    let loaded = wasm_loaded(fields);
    loaded.clean("app:x").spec().wasm().unwrap().clone()
}

/// The one problem of an entry with these fields: its code, where its caret is, and its message.
#[track_caller]
fn refused(loaded: super::super::Loaded, code: &str, at: &str, message: &str) {
    let problem = loaded.only();
    assert_eq!(problem.code, code, "{problem}");
    assert!(problem.message.contains(message), "{problem}");
    assert!(loaded.diagnostics.has_errors(), "{problem}");
    let position = problem.position.as_ref().unwrap();
    let shown: String = position.line_text.chars().skip(position.column - 1).take(position.len).collect();
    assert_eq!(shown, at, "{problem}");
}

#[test]
fn a_directory_has_defaults() {
    let loaded = load_fields("fs.directory", &["directory: ./data"]);
    let Spec::FsDirectory(spec) = loaded.clean("app:x").spec() else { panic!() };
    assert_eq!(spec.mode, 0o755);
    assert_eq!(spec.base, DirectoryBase::Project);
    assert!(!spec.auto_init);
    assert!(spec.path().is_absolute());
    assert!(spec.path().ends_with("data") && !spec.path().ends_with("src/data"), "it starts at the app's folder");
}

#[test]
fn a_directory_takes_every_field() {
    let fields = ["directory: /srv", "mode: \"0444\"", "auto_init: true", "base: module", "type: any"];
    let loaded = load_fields("fs.directory", &fields);
    let Spec::FsDirectory(spec) = loaded.clean("app:x").spec() else { panic!() };
    assert_eq!(spec.root, std::path::Path::new("/srv"));
    assert_eq!(spec.mode, 0o555, "readable by all means searchable by all");
    assert!(spec.auto_init);
    assert_eq!(spec.base, DirectoryBase::Module);
    let loaded = load_fields("fs.directory", &["directory: d", "base: module"]);
    let Spec::FsDirectory(spec) = loaded.clean("app:x").spec() else { panic!() };
    assert!(spec.root.ends_with("src/d"));
    let loaded = load_fields("fs.directory", &["directory: d", "mode: 0700"]);
    let Spec::FsDirectory(spec) = loaded.clean("app:x").spec() else { panic!() };
    assert_eq!(spec.mode, 0o700, "YAML reads it as a text");
}

#[test]
fn a_directory_refuses_what_is_wrong() {
    let load = |fields: &[&str]| load_fields("fs.directory", fields);
    refused(load(&[]), "missing-field", "x", "directory path is required");
    refused(load(&["directory: ''"]), "missing-field", "''", "directory path is required");
    refused(load(&["directory: 5"]), "wrong-type", "5", "`directory` has the wrong type: the number 5");
    refused(load(&["directory: d", "mode: \"0899\""]), "invalid-value", "\"0899\"", "invalid file mode format");
    refused(load(&["directory: d", "mode: 755"]), "wrong-type", "755", "`mode` has the wrong type");
    refused(load(&["directory: d", "mode: '77777'"]), "invalid-value", "'77777'", "invalid file mode format");
    refused(load(&["directory: d", "auto_init: yes please"]), "wrong-type", "yes please", "`auto_init`");
    refused(load(&["directory: d", "base: projekt"]), "invalid-value", "projekt", "invalid directory base");
}

#[test]
fn storages_and_variables_are_typed() {
    let text = "\
- {name: os, kind: env.storage.os}
- {name: memory, kind: env.storage.memory}
- {name: static, kind: env.storage.static, values: {A: b, N: 5, T: true}}
- {name: file, kind: env.storage.file, file_path: .env}
- {name: file2, kind: env.storage.file, file_path: /etc/x, auto_create: true, file_mode: 0o600, dir_mode: \"0700\"}
- {name: router, kind: env.storage.router, storages: [os, app:file]}
- {name: variable, kind: env.variable, storage: {name: os}, variable: API_URL, default: d, readonly: true}
- {name: plain, kind: env.variable, storage: {ns: app, name: os}}
";
    let loaded = load_entries(text);
    loaded.clean("app:os");
    let spec = |name: &str| loaded.entry(&format!("app:{name}")).spec().clone();
    assert_eq!(spec("os"), Spec::EnvStorageOs);
    assert_eq!(spec("memory"), Spec::EnvStorageMemory);
    let Spec::EnvStorageStatic(storage) = spec("static") else { panic!() };
    assert_eq!(storage.values["A"], "b");
    assert_eq!((storage.values["N"].as_str(), storage.values["T"].as_str()), ("5", "true"));
    let Spec::EnvStorageFile(file) = spec("file") else { panic!() };
    assert!(file.file_path.is_absolute() && !file.auto_create);
    assert_eq!((file.file_mode, file.dir_mode), (0o644, 0o755));
    let Spec::EnvStorageFile(file) = spec("file2") else { panic!() };
    assert_eq!((file.file_mode, file.dir_mode, file.auto_create), (0o600, 0o700, true));
    let Spec::EnvStorageRouter(router) = spec("router") else { panic!() };
    assert_eq!(router.storages, ["app:os".parse().unwrap(), "app:file".parse().unwrap()]);
    let Spec::EnvVariable(variable) = spec("variable") else { panic!() };
    assert_eq!(variable.storage.to_string(), "app:os");
    assert_eq!((variable.variable.as_deref(), variable.default.as_deref()), (Some("API_URL"), Some("d")));
    assert!(variable.readonly);
    let Spec::EnvVariable(plain) = spec("plain") else { panic!() };
    assert_eq!((plain.variable, plain.default, plain.readonly), (None, None, false));
}

#[test]
fn storages_and_variables_refuse_what_is_wrong() {
    let storage = |fields: &[&str]| load_fields("env.storage.file", fields);
    refused(storage(&[]), "missing-field", "x", "file path must not be empty");
    refused(storage(&["file_path: a", "file_mode: 9999"]), "invalid-value", "9999", "invalid file mode format");
    refused(storage(&["file_path: a", "dir_mode: []"]), "wrong-type", "[]", "`dir_mode`");
    let router = |fields: &[&str]| load_fields("env.storage.router", fields);
    refused(router(&[]), "missing-field", "x", "router storage must have at least one storage");
    refused(router(&["storages: []"]), "missing-field", "[]", "at least one storage");
    refused(router(&["storages: [[a]]"]), "wrong-type", "[a]", "`storages[0]`");
    refused(load_fields("env.storage.static", &["values: [a]"]), "wrong-type", "[a]", "`values`");
    refused(load_fields("env.storage.static", &["values: {A: [b]}"]), "wrong-type", "[b]", "`values.A`");
    let variable = |fields: &[&str]| load_fields("env.variable", fields);
    refused(variable(&[]), "missing-field", "x", "must have both namespace and name");
    refused(variable(&["storage: 'a:'"]), "invalid-id", "'a:'", "no name");
    refused(variable(&["storage: nowhere"]), "dangling-reference", "nowhere", "storage not found: `app:nowhere`");
    refused(variable(&["storage: x"]), "wrong-kind", "x", "is no storage but a `env.variable`");
}

#[test]
fn hosts_have_defaults_and_take_every_field() {
    let loaded = load_fields("process.host", &[]);
    let Spec::ProcessHost(host) = loaded.clean("app:x").spec() else { panic!() };
    assert_eq!(*host, ProcessHost::default());
    assert_eq!((host.workers, host.queue_size, host.local_queue_size), (None, 1_024, 256));
    let fields = [
        "host: {workers: 4, queue_size: 0, local_queue_size: 8, max_processes: 1_000, max_queued: 5,",
        "  allow_preempt_none: true, default_limits: {max_memory: 64MiB}, limits: {max_cpu: 5s}}",
        "lifecycle: {auto_start: true}",
    ];
    let loaded = load_fields("process.host", &fields);
    let Spec::ProcessHost(host) = loaded.clean("app:x").spec() else { panic!() };
    assert_eq!((host.workers, host.queue_size, host.local_queue_size), (Some(4), 1_024, 8));
    assert_eq!((host.max_processes, host.max_queued, host.allow_preempt_none), (Some(1_000), Some(5), true));
    assert_eq!(host.default_limits.max_memory, Some(64 << 20));
    assert_eq!(host.limits.max_cpu, Some(Duration::from_secs(5)));
    assert!(host.lifecycle.auto_start);
    let loaded = load_fields("terminal.host", &["hide_logs: true"]);
    let Spec::TerminalHost(host) = loaded.clean("app:x").spec() else { panic!() };
    assert!(host.hide_logs);
}

#[test]
fn hosts_refuse_what_is_wrong() {
    let host = |field: &str| load_fields("process.host", &[&format!("host: {{{field}}}")]);
    refused(host("workers: -1"), "out-of-range", "-1", "workers must be greater than 0");
    refused(host("workers: 1025"), "out-of-range", "1025", "too large");
    refused(host("queue_size: -5"), "out-of-range", "-5", "queue_size must be greater than 0");
    refused(host("local_queue_size: 1.5"), "wrong-type", "1.5", "`host.local_queue_size`");
    refused(host("workers: four"), "wrong-type", "four", "`host.workers`");
    refused(host("worker: 4"), "unknown-field", "worker", "unknown field `host.worker`");
    refused(host("limits: {max_memory: 1 MB x}"), "invalid-value", "1 MB x", "unknown unit `MB x`");
    refused(load_fields("process.host", &["host: 4"]), "wrong-type", "4", "`host` has the wrong type");
    refused(load_fields("terminal.host", &["hide_logs: 1"]), "wrong-type", "1", "`hide_logs`");
}

#[test]
fn a_lifecycle_takes_every_field() {
    let fields = [
        "lifecycle:",
        "  auto_start: true",
        "  startup: optional",
        "  requires: [a, b:c]",
        "  depends_on: [b:c, d]",
        "  start_timeout: 1s",
        "  stop_timeout: 1m30s",
        "  stable_threshold: 250ms",
        "  restart: {initial_delay: 2s, max_delay: 3s, backoff_factor: 1.5, jitter: 0.5, max_attempts: 7}",
    ];
    let loaded = load_fields("terminal.host", &fields);
    let Spec::TerminalHost(host) = loaded.entry("app:x").spec() else { panic!() };
    let lifecycle = &host.lifecycle;
    assert!(lifecycle.auto_start);
    assert_eq!(lifecycle.startup, Startup::Optional);
    let requires: Vec<String> = lifecycle.requires.iter().map(ToString::to_string).collect();
    assert_eq!(requires, ["app:a", "b:c", "app:d"]);
    assert_eq!(lifecycle.start_timeout, Duration::from_secs(1));
    assert_eq!(lifecycle.stop_timeout, Duration::from_secs(90));
    assert_eq!(lifecycle.stable_threshold, Duration::from_millis(250));
    assert_eq!(lifecycle.restart.max_attempts, 7);
    assert_eq!((lifecycle.restart.backoff_factor, lifecycle.restart.jitter), (1.5, 0.5));
    assert_eq!(lifecycle.restart.initial_delay, Duration::from_secs(2));
    assert_eq!(lifecycle.restart.max_delay, Duration::from_secs(3));
    assert_eq!(loaded.diagnostics.errors(), 0);
    assert_eq!(loaded.diagnostics.warnings(), 3, "none of the three is there");
}

#[test]
fn zero_means_default_in_a_lifecycle() {
    let fields = ["lifecycle: {stop_timeout: 0s, start_timeout: 0, startup: whatever, restart: {jitter: 0}}"];
    let loaded = load_fields("terminal.host", &fields);
    let Spec::TerminalHost(host) = loaded.clean("app:x").spec() else { panic!() };
    assert_eq!(host.lifecycle, Lifecycle::default());
}

#[test]
fn a_lifecycle_refuses_what_is_wrong() {
    let lifecycle = |field: &str| load_fields("terminal.host", &[&format!("lifecycle: {{{field}}}")]);
    refused(lifecycle("stop_timeout: 5"), "wrong-type", "5", "must be a duration, not a number");
    refused(lifecycle("stop_timeout: 5 apples"), "invalid-value", "5 apples", "lifecycle.stop_timeout");
    refused(lifecycle("start_timeout: -5s"), "invalid-value", "-5s", "negative");
    refused(lifecycle("restart: {max_attempts: -1}"), "out-of-range", "-1", "cannot be negative");
    refused(lifecycle("restart: {jitter: -0.5}"), "out-of-range", "-0.5", "cannot be negative");
    refused(lifecycle("restart: {backoff_factor: x}"), "wrong-type", "x", "`lifecycle.restart.backoff_factor`");
    refused(lifecycle("auto_strat: true"), "unknown-field", "auto_strat", "lifecycle.auto_strat");
    refused(lifecycle("requires: 5"), "wrong-type", "5", "`lifecycle.requires`");
}

#[test]
fn a_wasm_process_has_defaults() {
    let spec = wasm(&[]);
    let WasmCode::File(file) = &spec.code else { panic!("{:?}", spec.code) };
    assert_eq!(file.fs.to_string(), "app:bin", "relative to the entry's namespace");
    assert_eq!((file.path.as_str(), spec.method.as_str()), ("/a.wasm", "run"));
    assert!(HASH.ends_with(&file.hash.to_string()));
    assert_eq!(spec.transport, Transport::Payload);
    assert_eq!((spec.wit, spec.pool), (None, None));
    assert!(spec.imports.is_empty());
    assert_eq!(spec.wasi, WasiSpec::default());
    assert_eq!(spec.limits, LimitsSpec::default());
    assert_eq!(spec.preempt, Preempt::Epoch);
    assert_eq!(spec.values, Values::Wippy);
}

#[test]
fn a_wasm_process_takes_every_field() {
    let spec = wasm(&[
        "transport: wasi-http",
        "wit: 'run: func()'",
        "imports: [\"wasi:cli\", {ns: wasi, name: io}, funcs]",
        "preempt: none",
        "values: named",
        "pool: {type: static, size: 2, workers: 1, buffer: 3, max_size: 4, warm_start: true, worker_class: x}",
        "wasi: {args: [a, b], cwd: /app, mounts: [{fs: bin, guest: /d/../e//, read_only: true}],",
        "  network: {allow: [loopback], deny: ['10.0.0.0/8']}}",
    ]);
    assert_eq!(spec.transport, Transport::WasiHttp);
    assert_eq!(spec.wit.as_deref(), Some("run: func()"));
    assert_eq!(spec.imports, ["wasi:cli", "wasi:io", "funcs"]);
    assert_eq!(spec.preempt, Preempt::None);
    assert_eq!(spec.values, Values::Named);
    assert_eq!(wasm(&["values: wippy"]).values, Values::Wippy);
    let pool = spec.pool.unwrap();
    assert_eq!((pool.kind, pool.size, pool.workers), (PoolType::Static, 2, 1));
    assert_eq!((pool.buffer, pool.max_size, pool.warm_start), (3, 4, true));
    assert_eq!(spec.wasi.args.unwrap(), ["a", "b"]);
    assert_eq!(spec.wasi.cwd.as_deref(), Some("/app"));
    assert_eq!(spec.wasi.mounts[0].guest, "/e");
    assert!(spec.wasi.mounts[0].read_only);
    let network = spec.wasi.network.unwrap();
    assert_eq!((network.allow.unwrap(), network.deny), (vec!["loopback".to_owned()], vec!["10.0.0.0/8".to_owned()]));
    assert_eq!(wasm(&["wasi: {args: []}"]).wasi.args, Some(Vec::new()), "given, and empty");
}

#[test]
fn limits_are_typed() {
    let limits = wasm(&[
        "limits: {max_execution: 1m, max_cpu: 5s, max_step: 500us, max_fuel: 1_000_000, max_memory: 64MiB, max_stack: 1048576,",
        "  max_instances: 1, max_tables: 2, max_handles: 3, max_output: 10 MB, max_open_sockets: 4, max_open_files: 0}",
    ])
    .limits;
    let expected = LimitsSpec {
        max_execution: Some(Duration::from_secs(60)),
        max_cpu: Some(Duration::from_secs(5)),
        max_step: Some(Duration::from_micros(500)),
        max_fuel: Some(1_000_000),
        max_memory: Some(64 << 20),
        max_stack: Some(1 << 20),
        max_instances: Some(1),
        max_tables: Some(2),
        max_handles: Some(3),
        max_output: Some(10_000_000),
        max_open_sockets: Some(4),
        max_open_files: Some(0),
    };
    assert_eq!(limits, expected);
    let ms = |text: &str| wasm(&[&format!("limits: {{{text}}}")]).limits.max_execution;
    assert_eq!(ms("max_execution_ms: 250"), Some(Duration::from_millis(250)));
    assert_eq!(ms("max_execution_ms: 0"), Some(Duration::ZERO), "explicitly none");
    assert_eq!(ms("max_execution_ms: 1000, max_execution: 1s"), Some(Duration::from_secs(1)));
    assert_eq!(ms(""), None);
}

#[test]
fn limits_refuse_what_is_wrong() {
    let limits = |text: &str| wasm_loaded(&[&format!("limits: {{{text}}}")]);
    refused(limits("max_execution_ms: -1"), "out-of-range", "-1", "limits.max_execution_ms cannot be negative");
    refused(limits("max_execution_ms: 9223372036855"), "out-of-range", "9223372036855", "too large");
    refused(limits("max_execution_ms: 5s"), "wrong-type", "5s", "`limits.max_execution_ms`");
    refused(limits("max_execution_ms: 5, max_execution: 1s"), "conflict", "1s", "differ");
    refused(limits("max_memory: -1"), "out-of-range", "-1", "limits.max_memory cannot be negative");
    refused(limits("max_memory: 64M"), "invalid-value", "64M", "unknown unit `M`");
    refused(limits("max_memory: [1]"), "wrong-type", "[1]", "`limits.max_memory`");
    refused(limits("max_fuel: lots"), "invalid-value", "lots", "no whole number");
    refused(limits("max_fuel: 1.5"), "wrong-type", "1.5", "`limits.max_fuel`");
    refused(limits("max_cpu: 5"), "wrong-type", "5", "must be a duration");
    refused(limits("max_memroy: 5"), "unknown-field", "max_memroy", "unknown field `limits.max_memroy`");
    refused(wasm_loaded(&["limits: 5"]), "wrong-type", "5", "`limits`");
    refused(wasm_loaded(&["preempt: never"]), "invalid-value", "never", "invalid preempt mode");
    let loaded = wasm_loaded(&["values: name"]);
    assert_eq!(loaded.only().help, ["did you mean `named`?"]);
    refused(loaded, "invalid-value", "name", "invalid form of values");
    let loaded = wasm_loaded(&["value: named"]);
    assert_eq!(loaded.only().help, ["did you mean `values`?"]);
}

#[test]
fn a_wasm_process_refuses_what_is_wrong() {
    for (field, message) in [
        ("fs: ''", "fs is required"),
        ("path: ''", "path is required"),
        ("hash: ''", "hash is required"),
        ("method: ''", "method is required"),
    ] {
        refused(wasm_loaded(&[field]), "missing-field", "''", message);
    }
    refused(wasm_loaded(&["fs: nowhere"]), "dangling-reference", "nowhere", "filesystem not found: `app:nowhere`");
    refused(wasm_loaded(&["fs: x"]), "wrong-kind", "x", "`app:x` is no filesystem but a `process.wasm`");
    refused(wasm_loaded(&["fs: [a]"]), "wrong-type", "[a]", "`fs` has the wrong type: a list");
    refused(wasm_loaded(&["method: 7"]), "wrong-type", "7", "`method`");
    refused(wasm_loaded(&["transport: http"]), "invalid-value", "http", "invalid transport type");
    refused(wasm_loaded(&["imports: ['wasi:']"]), "invalid-value", "'wasi:'", "import :name cannot be empty");
    refused(wasm_loaded(&["imports: [5]"]), "wrong-type", "5", "an import must be a text");
    refused(wasm_loaded(&["imports: wasi"]), "wrong-type", "wasi", "`imports`");
    refused(wasm_loaded(&["wit: {a: b}"]), "wrong-type", "{a: b}", "`wit`");
    refused(wasm_loaded(&["metod: x"]), "unknown-field", "metod", "unknown field `metod`");
}

#[test]
fn every_wrong_hash_is_explained() {
    let digits = "292b796376f8b4cc360acf2ea6b82d1084871c3607a079f30b446da8e5c984a4";
    for (hash, message, help) in [
        ("sha256:abc".to_owned(), "3 digits", "`wippy hash a.wasm` prints the right line".to_owned()),
        (digits.to_owned(), "names no algorithm", format!("write `hash: sha256:{digits}`")),
        (format!("md5:{digits}"), "unsupported hash algorithm", "`wippy hash a.wasm` prints the right line".to_owned()),
        (format!("sha256:{}", digits.to_uppercase()), "no lowercase", format!("write `hash: sha256:{digits}`")),
    ] {
        let loaded = wasm_loaded(&[&format!("hash: {hash}")]);
        assert_eq!(loaded.only().help, [help]);
        refused(loaded, "bad-hash", &hash, message);
    }
}

#[test]
fn the_wasi_block_refuses_what_is_wrong() {
    let wasi = |text: &str| wasm_loaded(&[&format!("wasi: {{{text}}}")]);
    refused(wasi("cwd: app"), "invalid-value", "app", "wasi.cwd must be absolute");
    refused(wasi("args: x"), "wrong-type", "x", "`wasi.args`");
    refused(wasi("args: [a, 5]"), "wrong-type", "5", "`wasi.args[1]`");
    refused(wasi("mounts: [{guest: /d}]"), "missing-field", "{guest: /d}", "wasi.mounts[].fs is required");
    refused(wasi("mounts: [{fs: bin}]"), "missing-field", "{fs: bin}", "wasi.mounts[].guest is required");
    refused(wasi("mounts: [{fs: bin, guest: d}]"), "invalid-value", "d", "wasi.mounts[].guest must be absolute");
    refused(
        wasi("mounts: [{fs: bin, guest: /d}, {fs: bin, guest: /e/../d/}]"),
        "duplicate-value",
        "/e/../d/",
        "wasi.mounts[].guest must be unique: `/d`",
    );
    refused(wasi("mounts: [{fs: no, guest: /d}]"), "dangling-reference", "no", "filesystem not found");
    refused(wasi("mounts: [bin]"), "wrong-type", "bin", "`wasi.mounts[0]`");
    refused(wasi("mounts: [{fs: bin, guest: /d, readonly: true}]"), "unknown-field", "readonly", "readonly");
    refused(wasi("env: [{name: A}]"), "missing-field", "{name: A}", "wasi.env[].id is required");
    let name = wasi("env: [{id: a, name: A=B}]");
    assert_eq!(name.headings()[1], "error[invalid-value]: invalid variable name: `A=B`");
}

#[test]
fn the_environment_of_a_guest_is_typed() {
    let text = format!(
        "{VOLUME}- {{name: os, kind: env.storage.os}}
- {{name: url, kind: env.variable, storage: os, variable: API_URL}}
- name: x
  kind: process.wasm
  fs: bin
  path: a
  {HASH}
  method: m
  wasi:
    env:
      - {{id: url, name: A}}
      - {{id: 'app:url', name: B, required: true}}
      - {{id: API_URL, name: C}}
"
    );
    let loaded = load_entries(&text);
    let env = &loaded.clean("app:x").spec().wasm().unwrap().wasi.env;
    assert!(env.iter().all(|env| env.id.to_string() == "app:url"), "{env:?}");
    assert_eq!(env.iter().map(|env| env.required).collect::<Vec<_>>(), [false, true, false]);
    let same = text.replace("name: B", "name: A");
    refused(load_entries(&same), "duplicate-value", "A", "wasi.env[].name must be unique: `A`");
    let missing = text.replace("{id: 'app:url'", "{id: 'app:uri'");
    let loaded = load_entries(&missing);
    assert_eq!(loaded.only().help, ["did you mean `app:url`?"]);
    refused(loaded, "dangling-reference", "'app:uri'", "environment variable not found: `app:uri`");
    let optional = text.replace("{id: url", "{id: uri");
    assert_eq!(load_entries(&optional).only().severity, super::super::Severity::Warning, "nothing needs it");
}

#[test]
fn pools_are_checked() {
    let pool = |text: &str| wasm_loaded(&[&format!("pool: {{{text}}}")]);
    refused(pool("type: huge"), "invalid-value", "huge", "invalid pool type");
    refused(pool("size: -1"), "out-of-range", "-1", "pool values cannot be negative");
    refused(pool("workers: 2"), "out-of-range", "pool", "pool.size must be greater than 0 for worker pools");
    refused(pool("max_size: 0, size: 0, type: static, workers: 1"), "out-of-range", "0", "for worker pools");
}

#[test]
fn a_wat_function_is_typed() {
    let loaded = load_fields("function.wat", &["source: '(module)'", "method: f", "limits: {max_fuel: 5}"]);
    let Spec::FunctionWat(spec) = loaded.entry("app:x").spec() else { panic!() };
    assert_eq!((spec.source.as_str(), spec.limits.max_fuel), ("(module)", Some(5)));
    assert!(loaded.headings().is_empty(), "{:?}", loaded.headings());
    let loaded = load_fields("function.wat", &["method: f"]);
    assert!(loaded.headings().contains(&"error[missing-field]: source is required".to_owned()));
}

#[test]
fn functions_say_whether_instances_are_kept() {
    use super::super::Isolation;
    let isolation = |line: &str| {
        let loaded = load_fields("function.wat", &["source: '(module)'", "method: f", line]);
        match loaded.entry("app:x").spec() {
            Spec::FunctionWat(spec) => (spec.isolation, loaded.headings().len()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(isolation("limits: {}"), (Isolation::Fresh, 0));
    assert_eq!(isolation("isolation: fresh"), (Isolation::Fresh, 0));
    assert_eq!(isolation("isolation: reuse"), (Isolation::Reuse, 0));
    let loaded = load_fields("function.lua", &["source: return {}", "method: f", "isolation: reuse"]);
    let Spec::FunctionLua(spec) = loaded.entry("app:x").spec() else { panic!() };
    assert_eq!(spec.isolation, Isolation::Reuse);
    let loaded = load_fields("function.wat", &["source: '(module)'", "method: f", "isolation: reused"]);
    refused(loaded, "invalid-value", "reused", "invalid isolation");
    let loaded = load_fields("process.lua", &["source: return {}", "method: f", "isolation: reuse"]);
    assert_eq!(loaded.only().code, "unknown-field", "a process is one instance");
}

#[test]
fn lua_kinds_are_typed() {
    let fields = ["source: return {}", "method: main", "modules: [time, http]", "imports: {a: x, b: 'o:p'}"];
    let loaded = load_fields("process.lua", &fields);
    let Spec::ProcessLua(spec) = loaded.entry("app:x").spec() else { panic!() };
    assert_eq!((spec.source.as_str(), spec.method.as_str()), ("return {}", "main"));
    assert_eq!(spec.modules, ["time", "http"]);
    assert_eq!(spec.imports["a"].to_string(), "app:x");
    let errors: Vec<_> = loaded.headings().into_iter().filter(|heading| heading.starts_with("error")).collect();
    assert_eq!(
        errors,
        [
            "error[wrong-kind]: `app:x` is no library but a `process.lua`",
            "error[dangling-reference]: library not found: `o:p`",
        ]
    );
    let loaded = load_fields("library.lua", &["source: return {}"]);
    assert!(matches!(loaded.entry("app:x").spec(), Spec::LibraryLua(_)));
    for (fields, message) in [
        (vec!["source: x"], "method is required"),
        (vec!["method: x"], "source is required"),
        (vec!["source: x", "method: m", "modules: ['a:b']"], "module cannot have a namespace"),
        (vec!["source: x", "method: m", "modules: ['']"], "module cannot be empty"),
        (vec!["source: x", "method: m", "imports: {'': ''}"], "import alias cannot be empty"),
        (vec!["source: x", "method: m", "imports: {a: ''}"], "import :name cannot be empty"),
        (vec!["source: x", "method: m", "pool: {size: -1}"], "pool values cannot be negative"),
    ] {
        let loaded = load_fields("function.lua", &fields);
        let alias = usize::from(message.contains("alias"));
        assert_eq!(loaded.diagnostics.errors(), 1 + alias, "{fields:?}");
        assert!(loaded.headings().iter().any(|heading| heading.contains(message)), "{:?}", loaded.headings());
    }
}

#[test]
fn services_are_typed() {
    let text = "\
- {name: p, kind: process.lua, source: x, method: m}
- {name: h, kind: process.host}
- {name: x, kind: process.service, process: p, host: 'app:h', input: [1, a, {b: c}]}
";
    let loaded = load_entries(text);
    assert_eq!(loaded.diagnostics.errors(), 0);
    let Spec::ProcessService(service) = loaded.entry("app:x").spec() else { panic!() };
    assert_eq!((service.process.to_string(), service.host.to_string()), ("app:p".into(), "app:h".into()));
    assert_eq!(service.input.len(), 3);
    for (from, to, message) in [
        ("process: p, ", "", "process is required"),
        (", host: 'app:h'", "", "host is required"),
        ("'app:h'", "'node:control'", "invalid host: node:control"),
        ("[1, a, {b: c}]", "5", "`input` has the wrong type"),
    ] {
        let loaded = load_entries(&text.replace(from, to));
        assert_eq!(loaded.diagnostics.errors(), 1);
        assert!(loaded.headings().iter().any(|heading| heading.contains(message)), "{:?}", loaded.headings());
    }
}

#[test]
fn requirements_and_dependencies_are_typed() {
    let text = "\
- {name: r, kind: ns.requirement, default: '', targets: [{entry: r, path: meta.x}]}
- {name: d, kind: ns.dependency, component: acme/http, version: ^1, parameters: [{name: port, value: 80}]}
- {name: n, kind: ns.definition, anything: goes}
";
    let loaded = load_entries(text);
    let Spec::Requirement(requirement) = loaded.clean("app:r").spec() else { panic!() };
    assert_eq!(requirement.default, Some("".into()));
    assert_eq!(requirement.targets, [Target { entry: "app:r".parse().unwrap(), path: "meta.x".into() }]);
    let Spec::Dependency(dependency) = loaded.entry("app:d").spec() else { panic!() };
    assert_eq!((dependency.component.as_str(), dependency.version.as_str()), ("acme/http", "^1"));
    assert_eq!(dependency.parameters, [Parameter { name: "port".into(), value: 80.into() }]);
    assert!(matches!(loaded.entry("app:n").spec(), Spec::Definition(_)));
    refused(load_fields("ns.dependency", &[]), "missing-field", "x", "component is required");
    refused(load_fields("ns.dependency", &["component: acme"]), "invalid-value", "acme", "invalid component");
}
