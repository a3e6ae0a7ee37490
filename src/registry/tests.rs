//! Whole applications: files in, registry and report out.

/// Input that wants to break the loader.
mod hostile;
mod policies;
mod scripts;

use std::time::Duration;

use super::testing::{App, load_entries, load_fields};
use super::*;

const HASH: &str = "sha256:292b796376f8b4cc360acf2ea6b82d1084871c3607a079f30b446da8e5c984a4";

fn volume(namespace: &str) -> String {
    format!("namespace: {namespace}\nentries:\n  - {{name: bin, kind: fs.directory, directory: ./wasm}}\n")
}

#[test]
fn all_problems_of_all_files_are_reported_at_once() {
    let app = App::new(&[
        ("src/a/_index.yaml", "namespace: a\nentries:\n  - name: x\n    kind: proces.wasm\n"),
        ("src/b/_index.yaml", "namespace: b\nentries:\n  - {name: y, kind: fs.directory, directroy: ./x}\n"),
        ("src/c.yml", "namespace: c\nentries: [\n"),
        ("src/d.json", "{\"namespace\": \"d\",\n \"entries\": 5}"),
    ]);
    let loaded = app.load();
    let places: Vec<String> = loaded
        .diagnostics
        .iter()
        .map(|problem| format!("{} {}", problem.position.as_ref().unwrap(), problem.code))
        .collect();
    // The misspelt field is one problem, although without it a required one is missing too.
    assert_eq!(places[..2], ["src/a/_index.yaml:4:11 unknown-kind", "src/b/_index.yaml:3:35 unknown-field"]);
    assert!(places[2].starts_with("src/c.yml:") && places[2].ends_with("yaml-syntax"), "{places:?}");
    assert_eq!(places[3], "src/d.json:2:13 wrong-type");
    assert_eq!(places.len(), 4);
    assert!(loaded.clone().checked(false).is_err());
}

#[test]
fn the_report_reads_like_a_compilers() {
    let loaded = load_entries("  - name: bin\n    kind: fs.directory\n    directory: ./wasm\n    auto_int: true\n");
    let expected = "\
error[unknown-field]: `app:bin`: unknown field `auto_int`
 --> src/_index.yaml:7:5
  |
7 |     auto_int: true
  |     ^^^^^^^^
  = help: did you mean `auto_init`?

1 error
";
    assert_eq!(render::text(&loaded.diagnostics, false), expected);
}

#[test]
fn files_of_others_are_left_alone() {
    let app = App::new(&[
        ("_index.yaml", &volume("app")),
        ("package.json", "{\"name\": \"x\", \"kind\": \"y\", \"a\": 1, \"a\": 2}"),
        ("chart/values.yaml", "a: {{ .Values.x }}\n"),
        ("pod.yaml", "kind: Pod\nmetadata:\n  namespace: default\n---\nkind: Pod\n"),
        ("tsconfig.json", "{ // a comment\n}"),
        ("node_modules/x/_index.yaml", "namespace: [\n"),
        (".wippy/vendor/a/b/_index.yaml", "namespace: [\n"),
        ("notes.txt", "namespace: x\n"),
        ("empty.yaml", ""),
    ]);
    let loaded = app.load();
    loaded.clean("app:bin");
    assert_eq!(loaded.registry.len(), 1);
}

#[test]
fn a_file_that_cannot_be_parsed_is_an_error_when_it_is_ours() {
    let ours = App::new(&[("src/x.yaml", "namespace: a\nentries:\n  - name: 'x\n")]).load();
    assert_eq!((ours.only().code.as_ref(), ours.only().severity), ("yaml-syntax", Severity::Error));
    let index = App::new(&[("src/_index.yaml", "{{ template }}\n")]).load();
    assert_eq!(index.only().severity, Severity::Error);
    let other = App::new(&[("src/x.yaml", "entries: {{ .Values.x }}\nnames: [\n")]).load();
    assert_eq!(other.only().severity, Severity::Warning);
}

#[test]
fn the_namespace_decides_what_a_file_is() {
    let load = |text: &str| App::new(&[("src/x.yaml", text)]).load();
    assert!(load("entries: [1, 2]\n").diagnostics.is_empty());
    let nearly = load("namepsace: a\nentries:\n  - {name: x, kind: y}\n");
    assert_eq!(nearly.only().help, ["did you mean `namespace`?"]);
    let without = load("entries:\n  - {name: x, kind: y}\n");
    assert_eq!((without.only().code.as_ref(), without.only().severity), ("no-namespace", Severity::Warning));
    let colon = load("namespace: 'a:b'\nentries: []\n");
    assert_eq!(colon.only().code, "invalid-id");
    let number = load("namespace: 5\nentries:\n  - {name: x, kind: y}\n");
    assert_eq!(number.only().code, "wrong-type");
    let neither = load("namespace: a\nentires: []\n");
    assert_eq!(neither.only().help, ["did you mean `entries` where it says `entires`?"]);
    let unknown = load("namespace: a\nentries: []\ncolour: red\nmeat: {}\n");
    assert_eq!(unknown.diagnostics.errors(), 1);
    assert_eq!(unknown.diagnostics.warnings(), 1);
}

#[test]
fn entries_have_three_forms() {
    let app = App::new(&[
        ("src/flat.yaml", &volume("flat")),
        (
            "src/data.yaml",
            "namespace: data\nentries:\n  - name: bin\n    kind: fs.directory\n    data: {directory: ./wasm}\n",
        ),
        ("src/one.yml", "version: '1.0'\nnamespace: one\nname: bin\nkind: fs.directory\ndirectory: ./wasm\n"),
        (
            "src/json.json",
            "{\"namespace\": \"json\", \"entries\": [{\"name\": \"bin\", \"kind\": \"fs.directory\", \"directory\": \"./wasm\"}]}",
        ),
    ]);
    let loaded = app.load();
    for namespace in ["flat", "data", "one", "json"] {
        let entry = loaded.clean(&format!("{namespace}:bin"));
        let Spec::FsDirectory(spec) = entry.spec() else { panic!("{namespace}") };
        assert_eq!(spec.directory, "./wasm");
        let position = entry.position(&["directory"]).unwrap();
        let shown: String = position.line_text.chars().skip(position.column - 1).take(position.len).collect();
        assert_eq!(shown.trim_matches('"'), "./wasm", "{namespace}");
        assert!(entry.position(&["kind"]).is_some());
        assert!(entry.position(&["mode"]).is_none());
        assert!(entry.nearest_position(&["mode"]).is_some());
    }
    let order: Vec<_> = loaded.registry.iter().map(|entry| entry.id().namespace().to_owned()).collect();
    assert_eq!(order, ["data", "flat", "json", "one"], "files in the order of their names");
}

#[test]
fn entries_without_name_or_kind_are_errors() {
    let loaded = load_entries(
        "  - {kind: fs.embed}\n  - {name: ' ', kind: x}\n  - {name: a, knd: x}\n  - {name: 5, kind: x}\n  - text\n",
    );
    let headings = loaded.headings();
    assert_eq!(headings.len(), 5, "{headings:?}");
    assert!(headings[..2].iter().all(|heading| heading == "error[missing-field]: the entry has no `name`"));
    assert_eq!(headings[2], "error[missing-field]: the entry has no `kind`");
    assert!(headings[3].contains("`name` has the wrong type: the number 5"));
    assert!(headings[4].contains("an entry must be a mapping"));
    assert_eq!(loaded.diagnostics.iter().nth(2).unwrap().help, ["did you mean `kind` where it says `knd`?"]);
}

#[test]
fn fields_beside_data_are_told() {
    let loaded = load_entries("  - {name: a, kind: fs.directory, data: {directory: d}, mode: '0700', mete: {}}\n");
    assert_eq!(
        loaded.headings(),
        ["warning[unknown-field]: unknown field `mode`", "error[unknown-field]: unknown field `mete`"]
    );
}

#[test]
fn the_meta_of_a_file_counts_for_its_entries() {
    let text = "namespace: a\nmeta: {team: x, tag: file}\nentries:\n  - {name: e, kind: fs.embed, meta: {tag: own}}\n";
    let loaded = App::new(&[("src/_index.yaml", text)]).load();
    let entry = loaded.entry("a:e");
    assert_eq!((&entry.meta()["team"], &entry.meta()["tag"]), (&"x".into(), &"own".into()));
    assert_eq!(entry.position(&["meta", "team"]).unwrap().line, 2);
    assert_eq!(entry.position(&["meta", "tag"]).unwrap().line, 4);
}

#[test]
fn odd_but_valid_applications_run_with_warnings() {
    for (fields, code) in [
        (vec!["directory: d", "colour: red"], "unknown-field"),
        (vec!["directory: d", "lifecycle: {auto_start: true}"], "unknown-field"),
    ] {
        let loaded = load_fields("fs.directory", &fields);
        assert_eq!((loaded.only().code.as_ref(), loaded.only().severity), (code, Severity::Warning));
        let (registry, warnings) = loaded.clone().checked(false).unwrap();
        assert_eq!((registry.len(), warnings.len()), (1, 1));
        assert!(loaded.checked(true).is_err(), "`--strict` makes it an error");
    }
    for (kind, code) in [
        ("http.service", "not-served"),
        ("store.memory", "not-served"),
        ("my.kind", "unknown-kind"),
        ("function.lua.bc", "not-served"),
    ] {
        let loaded = load_fields(kind, &["anything: [1, {a: b}]"]);
        assert_eq!((loaded.only().code.as_ref(), loaded.only().severity), (code, Severity::Warning), "{kind}");
        let Spec::Unserved(value) = loaded.entry("app:x").spec() else { panic!("{kind}") };
        assert_eq!(value["anything"][1]["a"], "b", "kept as data");
    }
}

#[test]
fn of_two_declarations_the_last_counts() {
    let app = App::new(&[
        ("src/a.yaml", "namespace: n\nentries:\n  - {name: x, kind: fs.directory, directory: a}\n"),
        ("src/b.yaml", "namespace: n\nentries:\n  - {name: x, kind: fs.directory, directory: b}\n"),
    ]);
    let loaded = app.load();
    let Spec::FsDirectory(spec) = loaded.entry("n:x").spec() else { panic!() };
    assert_eq!(spec.directory, "b");
    let problem = loaded.only();
    assert_eq!((problem.code.as_ref(), problem.severity), ("duplicate-entry", Severity::Warning));
    assert_eq!(problem.notes, ["it was first declared in src/a.yaml:3:12"]);
}

#[test]
fn commands_are_found_and_their_slips_told() {
    let command = |meta: &str| {
        load_entries(&format!(
            "  - {{name: bin, kind: fs.directory, directory: d}}\n  - name: x\n    kind: process.wasm\n    fs: bin\n    path: a\n    hash: {HASH}\n    method: m\n    meta: {meta}\n"
        ))
    };
    let loaded = command("{command: {name: greet, short: Greets, main: true}, comment: free}");
    loaded.clean("app:x");
    let (found, entry) = loaded.registry.command("greet").unwrap();
    assert_eq!((found.short.as_deref(), found.main, entry.id().name()), (Some("Greets"), true, "x"));
    assert_eq!(loaded.registry.commands().count(), 1);
    for (meta, heading) in [
        ("{command: {short: x}}", "warning[command-name]: the command has no name, so nobody can run it"),
        ("{command: greet}", "error[wrong-type]: `meta.command` has the wrong type: a text"),
        ("{command: {name: 5}}", "error[wrong-type]: `meta.command.name` has the wrong type: the number 5"),
        ("{command: {name: a, shrt: x}}", "error[unknown-field]: unknown field `meta.command.shrt`"),
        ("{comand: {name: a}}", "error[unknown-field]: unknown field `meta.comand`"),
        (
            "{command: {name: list}}",
            "warning[command-name]: the command cannot be run: `wippy run list` lists the commands",
        ),
    ] {
        assert_eq!(command(meta).headings(), [heading]);
    }
    let text = "  - {name: x, kind: fs.directory, directory: d, meta: {command: {name: c}}}\n";
    assert_eq!(load_entries(text).only().code, "command-kind");
    let lua = |name: &str| {
        format!("  - {{name: {name}, kind: process.lua, source: s, method: m, meta: {{command: {{name: c}}}}}}\n")
    };
    let twice = load_entries(&format!("{}{}", lua("a"), lua("b")));
    assert!(twice.headings().contains(&"warning[duplicate-command]: the command `c` exists twice".to_owned()));
    assert_eq!(twice.registry.command("c").unwrap().1.id().name(), "a");
}

#[test]
fn texts_come_from_files_and_never_from_outside() {
    let entry = |source: &str| {
        format!("namespace: n\nentries:\n  - {{name: f, kind: function.wat, method: m, source: '{source}'}}\n")
    };
    let load = |source: &str| {
        App::new(&[
            ("src/deep/_index.yaml", entry(source).as_str()),
            ("src/deep/a.wat", "(module $deep)"),
            ("src/a.wat", "(module $top)"),
            ("secret.txt", "secret"),
        ])
        .load()
    };
    let source = |loaded: &Loaded| match loaded.entry("n:f").spec() {
        Spec::FunctionWat(spec) => spec.source.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(source(&load("file://a.wat")), "(module $deep)");
    assert_eq!(source(&load("file://../a.wat")), "(module $top)");
    assert_eq!(source(&load("file:///a.wat")), "(module $top)");
    assert_eq!(source(&load("file:///deep/./a.wat")), "(module $deep)");
    for escape in ["file://../../secret.txt", "file:///../secret.txt", "file:///deep/../../secret.txt"] {
        let loaded = load(escape);
        assert!(loaded.headings().iter().any(|heading| heading.starts_with("error[path-escape]")), "{escape}");
        assert!(!source(&loaded).contains("secret"));
    }
    for broken in ["file://", "file:///", "file://none.wat", "file://."] {
        assert!(load(broken).headings().iter().any(|heading| heading.starts_with("error[file-value]")), "{broken}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_folder_is_no_way_out() {
    let app = App::new(&[
        (
            "src/_index.yaml",
            "namespace: n\nentries:\n  - {name: f, kind: function.wat, method: m, source: 'file://link'}\n",
        ),
        ("secret.txt", "secret"),
    ]);
    std::os::unix::fs::symlink(app.path().join("secret.txt"), app.path().join("src/link")).unwrap();
    assert!(app.load().headings().iter().any(|heading| heading.starts_with("error[path-escape]")));
}

#[test]
fn a_lock_file_names_the_folders() {
    let lock = "directories: {modules: .wippy, src: ./app}
modules:
  - {name: acme/http, version: v1.2.3}
  - {name: acme/local, version: v1.0.0}
replacements:
  - {from: acme/local, to: ./local}
";
    let app = App::new(&[
        ("wippy.lock", lock),
        ("app/_index.yaml", &volume("app")),
        ("src/_index.yaml", "namespace: [\n"),
        ("local/_index.yaml", &volume("local")),
        (".wippy/vendor/acme/http/src/_index.yaml", &volume("http")),
        (".wippy/vendor/acme/http/wippy.yaml", "organization: acme\n"),
    ]);
    let loaded = app.load();
    loaded.clean("app:bin");
    let order: Vec<_> = loaded.registry.iter().map(|entry| entry.id().namespace().to_owned()).collect();
    assert_eq!(order, ["app", "local", "http"]);
    let http = loaded.entry("http:bin");
    assert_eq!(http.module().unwrap().name, "acme/http");
    assert_eq!((&http.meta()["module"], &http.meta()["module_version"]), (&"acme/http".into(), &"v1.2.3".into()));
    assert!(loaded.entry("app:bin").module().is_none());
    let file = |id: &str| loaded.entry(id).position(&["name"]).unwrap().file.display().to_string();
    assert_eq!(file("app:bin"), "app/_index.yaml");
    assert_eq!(file("http:bin"), ".wippy/vendor/acme/http/src/_index.yaml");
    let Spec::FsDirectory(spec) = http.spec() else { panic!() };
    assert_eq!(spec.root, loaded.registry.app_root().join("wasm"), "relative to the application");
}

#[test]
fn a_wrong_lock_file_is_told() {
    let load = |lock: &str| App::new(&[("wippy.lock", lock), ("src/_index.yaml", &volume("app"))]).load();
    let base = "directories: {modules: .wippy, src: src}\n";
    load(base).clean("app:bin");
    for (lock, heading) in [
        ("a: [\n".to_owned(), "error[yaml-syntax]"),
        ("[]\n".to_owned(), "error[wrong-type]"),
        (
            "directories: {modules: .wippy, src: ''}\n".to_owned(),
            "error[missing-field]: `directories.src` must not be empty",
        ),
        ("directories: {src: src}\n".to_owned(), "error[missing-field]: `directories.modules` must not be empty"),
        ("directories: {modules: .wippy, src: no}\n".to_owned(), "error[missing-folder]: the source folder `no`"),
        (
            format!("{base}modules: [{{name: a/b, version: v1}}]\n"),
            "error[missing-module]: the module `a/b` v1 is not on disk",
        ),
        (format!("{base}modules: [{{name: a/b}}]\n"), "error[missing-field]: `modules[0].version`"),
        (
            format!("{base}modules: [{{name: ../b, version: v1}}]\n"),
            "error[invalid-value]: invalid module name: `../b`",
        ),
        (format!("{base}modules: [{{name: abc, version: v1}}]\n"), "error[invalid-value]: invalid module name"),
        (format!("{base}modules: 5\n"), "error[wrong-type]: `modules`"),
        (
            format!("{base}replacements: [{{from: a/b, to: no}}]\n"),
            "error[missing-folder]: the replacement folder `no`",
        ),
    ] {
        let loaded = load(&lock);
        assert!(loaded.headings().iter().any(|found| found.starts_with(heading)), "{lock}: {:?}", loaded.headings());
    }
    let app = App::new(&[
        ("wippy.lock", &format!("{base}modules: [{{name: a/b, version: v1}}]\n")),
        ("src/_index.yaml", &volume("app")),
    ]);
    app.write(".wippy/vendor/a/b-v1.wapp", b"pack");
    assert_eq!(app.load().only().code, "packed-module");
}

#[test]
fn the_configuration_is_read_and_checked() {
    let config = |text: &str| App::new(&[(".wippy.yaml", text), ("src/_index.yaml", &volume("app"))]).load();
    let loaded = config(
        "version: '1.0'\nshutdown: {timeout: 5s}\nsupervisor: {host: {buffer_size: 1}}\nrelay: {node_name: n}\nlogmanager: {min_level: -1}\nother: {x: 1}\n",
    );
    loaded.clean("app:bin");
    let settings = loaded.registry.config();
    assert_eq!(settings.shutdown_timeout(), Duration::from_secs(5));
    assert_eq!(settings.get("supervisor", "host.buffer_size"), Some(&1.into()));
    assert_eq!((settings.node_name(), settings.min_log_level()), (Some("n"), Some(-1)));
    assert!(!settings.strict_mode());
    for (text, heading) in [
        ("shutdown: {timeout: 5s}\n", "error[missing-field]: the configuration has no version"),
        ("", "error[missing-field]: the configuration has no version"),
        ("version: '2.0'\n", "error[invalid-value]: unsupported version: the text `2.0`"),
        (
            "version: '1.0'\nshutdown: {timeout: 5}\n",
            "error[invalid-value]: `shutdown.timeout` has the wrong value: the number 5",
        ),
        ("version: '1.0'\nshutdwon: {timeout: 5s}\n", "error[unknown-field]: unknown section `shutdwon`"),
        (
            "version: '1.0'\nsecurity: {strict_mod: true}\n",
            "error[unknown-field]: unknown setting `security.strict_mod`",
        ),
        ("version: '1.0'\nsecurity: {strict_mode: 1}\n", "error[invalid-value]: `security.strict_mode`"),
        ("version: '1.0'\nlua: 5\n", "error[wrong-type]: the section `lua` has the wrong type: the number 5"),
        ("version: '1.0'\ndisable: {entries: {a: 5}}\n", "no problem"),
        ("a: [\n", "error[yaml-syntax]"),
    ] {
        let loaded = config(text);
        match heading {
            "no problem" => assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.headings()),
            heading => assert!(loaded.only().to_string().starts_with(heading), "{text}: {:?}", loaded.headings()),
        }
    }
}

#[test]
fn set_comes_before_the_file() {
    let app =
        App::new(&[(".wippy.yaml", "version: '1.0'\nshutdown: {timeout: 5s}\n"), ("src/_index.yaml", &volume("app"))]);
    let mut options = app.options();
    options.set =
        vec!["shutdown.timeout=7s".into(), "a.b.c=1.5".into(), "a.d=x=y".into(), "a.e=true".into(), "a.f=-3".into()];
    let loaded = load(&options);
    let config = loaded.registry.config();
    assert_eq!(config.shutdown_timeout(), Duration::from_secs(7));
    assert_eq!(config.get("a", "b.c"), Some(&1.5.into()));
    assert_eq!((config.get("a", "d"), config.get("a", "e")), (Some(&"x=y".into()), Some(&true.into())));
    assert_eq!(config.get("a", "f"), Some(&(-3).into()));
    for bad in ["", "x", "x=1", ".x=1", "x.=1"] {
        options.set = vec![bad.to_owned()];
        assert_eq!(load(&options).only().code, "bad-option", "{bad}");
    }
    options.set = vec!["shutdown.timeout=soon".to_owned()];
    assert_eq!(load(&options).only().notes, ["set by `--set shutdown.timeout=soon`"]);
    options = app.options();
    options.config = Some(app.path().join("none.yaml"));
    assert_eq!(load(&options).only().code, "unreadable-file");
}

#[test]
fn a_missing_folder_is_one_error() {
    let loaded = load(&LoadOptions::new("/no/such/folder"));
    assert_eq!(loaded.only().code, "missing-folder");
}

#[test]
fn entries_come_after_what_they_depend_on() {
    let text = format!(
        "  - {{name: a, kind: process.wasm, fs: z, path: p, hash: '{HASH}', method: m}}
  - {{name: z, kind: fs.directory, directory: d, meta: {{depends_on: ['ns:other', 'group:g']}}}}
  - {{name: g1, kind: fs.directory, directory: d, meta: {{groups: [g]}}}}
  - {{name: b, kind: fs.directory, directory: d}}
"
    );
    let loaded = load_entries(&text);
    let order: Vec<_> =
        loaded.registry.in_dependency_order().unwrap().iter().map(|entry| entry.id().name().to_owned()).collect();
    assert_eq!(order, ["b", "g1", "z", "a"]);
    let circle = load_entries(
        "  - {name: a, kind: fs.directory, directory: d, meta: {parent: b}}\n  - {name: b, kind: fs.directory, directory: d, meta: {parent: a}}\n",
    );
    assert_eq!((circle.only().code.as_ref(), circle.only().severity), ("dependency-cycle", Severity::Warning));
    assert_eq!(circle.only().message, "entries depend on each other: `app:a` -> `app:b` -> `app:a`");
}

#[cfg(unix)]
#[test]
fn the_documented_examples_load_without_a_problem() {
    let text = format!(
        "version: \"1.0\"
namespace: myns
entries:
  - name: wasm_binaries
    kind: fs.directory
    directory: ./wasm
  - name: compute_worker
    kind: process.wasm
    fs: myns:wasm_binaries
    path: /worker.wasm
    hash: {HASH}
    method: compute
  - name: greet
    kind: process.wasm
    meta:
      command:
        name: greet
        short: Greet someone via WASM
    fs: myns:wasm_binaries
    path: /component.wasm
    hash: {HASH}
    method: greet
  - name: http_worker
    kind: process.wasm
    fs: myns:wasm_binaries
    path: /http_worker.wasm
    hash: {HASH}
    method: run
    imports:
      - wasi:io
      - wasi:cli
      - wasi:http
    wasi:
      env:
        - id: myns:api_url
          name: API_URL
          required: true
  - name: file_processor
    kind: process.wasm
    fs: myns:wasm_binaries
    path: /processor.wasm
    hash: {HASH}
    method: process
    imports:
      - wasi:cli
      - wasi:io
      - wasi:clocks
      - wasi:filesystem
    wasi:
      args: [\"--input\", \"/data/input.csv\"]
      cwd: \"/app\"
      env:
        - id: myns:output_format
          name: OUTPUT_FORMAT
      mounts:
        - fs: myns:input_data
          guest: /data
          read_only: true
        - fs: myns:output_dir
          guest: /output
  - {{name: terminal, kind: terminal.host}}
  - {{name: processes, kind: process.host}}
  - {{name: os, kind: env.storage.os}}
  - {{name: api_url, kind: env.variable, storage: os, variable: API_URL}}
  - {{name: output_format, kind: env.variable, storage: os, variable: OUTPUT_FORMAT}}
  - {{name: input_data, kind: fs.directory, directory: ./in}}
  - {{name: output_dir, kind: fs.directory, directory: ./out}}
"
    );
    let loaded = App::new(&[("src/_index.yaml", &text)]).load();
    let entry = loaded.clean("myns:file_processor");
    let place = entry.position(&["wasi", "mounts", "0", "fs"]).unwrap();
    assert_eq!(place.line_text.trim(), "- fs: myns:input_data");
    assert_eq!(place.len, "myns:input_data".len());
    assert_eq!(loaded.registry.commands().count(), 1);
}

/// A document that exercises most fields, for mutation.
#[test]
fn a_broken_item_does_not_move_the_places_of_the_others() {
    let loaded = load_entries(
        "  - name: x
    kind: process.wasm
    fs: app:x
    path: /a.wasm
    hash: sha256:292b796376f8b4cc360acf2ea6b82d1084871c3607a079f30b446da8e5c984a4
    method: run
    wasi:
      mounts:
        - guest: /incomplete
        - { fs: app:none, guest: /data }
",
    );
    let dangling: Vec<_> = loaded.diagnostics.iter().filter(|problem| problem.message.contains("app:none")).collect();
    let line = &dangling[0].position.as_ref().expect("a place").line_text;
    assert!(line.contains("app:none"), "{line}");
}
