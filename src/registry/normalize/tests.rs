use super::super::testing::App;
use super::super::{Loaded, Severity, load, render};
use super::*;

const WORKER: &str = "\
namespace: app
entries:
  - name: bin
    kind: fs.directory
    directory: ./wasm
  - name: w
    kind: process.wasm
    fs: bin
    path: /a.wasm
    hash: sha256:292b796376f8b4cc360acf2ea6b82d1084871c3607a079f30b446da8e5c984a4
    method: run
    wasi:
      args: [a]
";

fn with_options(files: &[(&str, &str)], overrides: &[&str], set: &[&str]) -> Loaded {
    let app = App::new(files);
    let mut options = app.options();
    options.overrides = overrides.iter().map(ToString::to_string).collect();
    options.set = set.iter().map(ToString::to_string).collect();
    load(&options)
}

#[test]
fn overrides_of_the_configuration_and_the_command_line_are_applied() {
    let config =
        "version: '1.0'\noverride:\n  app:w:method: first\n  'app:w:limits.max_execution_ms': 5\n  app:w:meta.a: 1\n";
    let files = [("src/_index.yaml", WORKER), (".wippy.yaml", config)];
    let loaded = with_options(&files, &["app:w:method=second,app:w:wasi.args.0=b", "app:bin:auto_init=true"], &[]);
    let entry = loaded.clean("app:w");
    let spec = entry.spec().wasm().unwrap();
    assert_eq!(spec.method, "second", "the command line has the last word");
    assert_eq!(spec.wasi.args.as_ref().unwrap(), &["b"]);
    assert_eq!(spec.limits.max_execution.unwrap().as_millis(), 5);
    assert_eq!(entry.meta()["a"], 1);
    let super::super::Spec::FsDirectory(bin) = loaded.entry("app:bin").spec() else { panic!() };
    assert!(bin.auto_init);
}

#[test]
fn a_kind_can_be_overridden() {
    let loaded = with_options(&[("src/_index.yaml", WORKER)], &["app:w:kind=function.wasm"], &[]);
    assert_eq!(loaded.entry("app:w").kind(), "function.wasm");
}

#[test]
fn a_wrong_override_is_told_at_its_own_place() {
    let config = "version: '1.0'\noverride:\n  app:w:hash: sha256:00\n";
    let files = [("src/_index.yaml", WORKER), (".wippy.yaml", config)];
    let loaded = with_options(&files, &[], &[]);
    let problem = loaded.only();
    assert_eq!(problem.code, "bad-hash");
    assert_eq!(problem.position.as_ref().unwrap().to_string(), ".wippy.yaml:3:15");
    assert_eq!(problem.notes, ["set by the override `app:w:hash`"]);
    let loaded = with_options(&[("src/_index.yaml", WORKER)], &["app:w:method=5"], &[]);
    assert_eq!(loaded.only().notes, ["set by `-o app:w:method=5`"]);
}

#[test]
fn overrides_of_nothing_are_errors() {
    let files = [("src/_index.yaml", WORKER)];
    for (option, message) in [
        ("app:v:method=x", "the overridden entry `app:v` does not exist"),
        ("app:w", "overrides nothing"),
        ("app:w=5", "overrides nothing"),
        ("app:w:method.x=5", "`data.method` is no mapping but the text `run`"),
        ("app:w:wasi.args.7=5", "has 1 items, none at `7`"),
        ("app:w:kind=5", "`kind` must be a text"),
    ] {
        let loaded = with_options(&files, &[option], &[]);
        assert!(loaded.only().message.contains(message), "{option}: {}", loaded.only());
        assert!(loaded.diagnostics.has_errors());
    }
}

#[test]
fn disabled_entries_are_gone_before_they_are_checked() {
    let broken = "namespace: old\nentries:\n  - {name: x, kind: process.wasm}\n";
    let config = "version: '1.0'\ndisable: {namespaces: [old], entries: [app:w, app:nothing]}\n";
    let files = [("src/_index.yaml", WORKER), ("src/old.yaml", broken), (".wippy.yaml", config)];
    let loaded = with_options(&files, &["app:w:method=x"], &[]);
    assert_eq!(loaded.headings(), ["warning[unknown-entry]: `disable.entries` names nothing: `app:nothing`"]);
    assert_eq!(loaded.registry.len(), 1);
    let loaded = with_options(&[("src/_index.yaml", WORKER)], &[], &["disable.entries=app:w"]);
    assert_eq!(loaded.registry.len(), 1);
}

fn linked(requirement: &str, dependencies: &str) -> Loaded {
    let text = format!("{WORKER}{requirement}{dependencies}");
    App::new(&[("src/_index.yaml", &text)]).load()
}

const REQUIREMENT: &str = "  - {name: mode, kind: ns.requirement, default: d, targets: [{entry: w, path: method}, {entry: 'app:w', path: 'wasi.args +='}]}\n";

#[test]
fn a_parameter_goes_to_the_targets() {
    let give = |name: &str| {
        format!("  - {{name: d, kind: ns.dependency, component: acme/x, parameters: [{{name: {name}, value: v}}]}}\n")
    };
    for name in ["mode", "'app:mode'", "acme/x:mode"] {
        let loaded = linked(REQUIREMENT, &give(name));
        let spec = loaded.clean("app:w").spec().wasm().unwrap();
        assert_eq!(spec.method, "v", "{name}");
        assert_eq!(spec.wasi.args.as_ref().unwrap(), &["a", "v"]);
    }
    let loaded = linked(REQUIREMENT, &give("other"));
    assert_eq!(loaded.clean("app:w").spec().wasm().unwrap().method, "d", "the default");
    let override_wins = App::new(&[("src/_index.yaml", &format!("{WORKER}{REQUIREMENT}"))]);
    let mut options = override_wins.options();
    options.overrides = vec!["app:w:method=o".to_owned()];
    assert_eq!(load(&options).clean("app:w").spec().wasm().unwrap().method, "o");
}

#[test]
fn different_values_are_a_conflict_and_no_value_is_a_warning() {
    let two = "  - {name: d, kind: ns.dependency, component: a/x, parameters: [{name: mode, value: 1}]}
  - {name: e, kind: ns.dependency, component: a/y, parameters: [{name: mode, value: 2}]}\n";
    let loaded = linked(REQUIREMENT, two);
    let problem = loaded.only();
    assert_eq!(problem.code, "conflict");
    assert!(
        problem.notes[0].contains("`app:d` gives 1") && problem.notes[1].contains("`app:e` gives 2"),
        "{problem:?}"
    );
    let loaded = linked(&REQUIREMENT.replace("default: d, ", ""), "");
    assert_eq!((loaded.only().code.as_ref(), loaded.only().severity), ("no-value", Severity::Warning));
    let loaded = linked(&REQUIREMENT.replace("default: d", "default: ''"), "");
    assert!(loaded.headings()[0].contains("method is required"), "an empty text is a value: {:?}", loaded.headings());
}

#[test]
fn targets_of_nothing_are_told() {
    let loaded = linked("  - {name: r, kind: ns.requirement, default: d, targets: [{entry: no, path: x}]}\n", "");
    assert_eq!((loaded.only().code.as_ref(), loaded.only().severity), ("dangling-reference", Severity::Warning));
    for path in ["..", "method.x", "fs +="] {
        let text =
            format!("  - {{name: r, kind: ns.requirement, default: d, targets: [{{entry: w, path: '{path}'}}]}}\n");
        let loaded = linked(&text, "");
        assert_eq!(loaded.only().code, "invalid-value", "{}", render::text(&loaded.diagnostics, false));
    }
}

#[test]
fn fields_are_reached_by_dotted_paths() {
    assert_eq!(field_path("a.b").unwrap(), ["data", "a", "b"]);
    assert_eq!(field_path(".kind").unwrap(), ["kind"]);
    assert_eq!(field_path(" meta.x ").unwrap(), ["meta", "x"]);
    for bad in ["", ".", "a..b", "meta", "data", "kind.x"] {
        assert!(field_path(bad).is_none(), "{bad}");
    }
}
