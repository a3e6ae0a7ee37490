use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};

use super::*;
use crate::registry::{Entry, EnvStorageFile, EnvStorageRouter, EnvStorageStatic};

fn id(text: &str) -> EntryId {
    text.parse().unwrap()
}

fn entry(name: &str, spec: Spec) -> Entry {
    Entry::new(id(name), spec)
}

fn statics(name: &str, values: &[(&str, &str)]) -> Entry {
    let values = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    entry(name, Spec::EnvStorageStatic(EnvStorageStatic { values }))
}

fn router(name: &str, storages: &[&str]) -> Entry {
    let storages = storages.iter().map(|storage| id(storage)).collect();
    entry(name, Spec::EnvStorageRouter(EnvStorageRouter { storages }))
}

fn file_spec(path: &Path) -> EnvStorageFile {
    EnvStorageFile { file_path: path.to_owned(), auto_create: false, file_mode: 0o640, dir_mode: 0o750 }
}

/// A variable with a public name.
fn named(storage: &str, public: &str) -> EnvVariable {
    EnvVariable { storage: id(storage), variable: Some(public.to_owned()), default: None, readonly: false }
}

fn variable(name: &str, storage: &str, public: &str) -> Entry {
    entry(name, Spec::EnvVariable(named(storage, public)))
}

fn environment(entries: impl IntoIterator<Item = Entry>) -> Environment {
    opened(entries).0
}

fn opened(entries: impl IntoIterator<Item = Entry>) -> (Environment, Diagnostics) {
    Environment::open(&Registry::from_entries(entries))
}

fn value(environment: &Environment, name: &str) -> Option<String> {
    environment.lookup(&id(name)).unwrap()
}

#[test]
fn the_key_is_the_public_name_else_the_id() {
    let unnamed = EnvVariable { variable: None, ..named("app:s", "") };
    let environment = environment([
        statics("app:s", &[("KEY", "by name"), ("app:unnamed", "by id")]),
        variable("app:key", "app:s", "KEY"),
        entry("app:unnamed", Spec::EnvVariable(unnamed)),
        variable("app:absent", "app:s", "ABSENT"),
    ]);
    assert_eq!(value(&environment, "app:key").as_deref(), Some("by name"));
    assert_eq!(value(&environment, "app:unnamed").as_deref(), Some("by id"));
    assert_eq!(value(&environment, "app:absent"), None);
}

#[test]
fn empty_counts_as_not_found_and_then_the_default_applies() {
    let with = |name: &str, public: &str, default: &str| {
        let spec = EnvVariable { default: Some(default.to_owned()), ..named("app:s", public) };
        entry(name, Spec::EnvVariable(spec))
    };
    let environment = environment([
        statics("app:s", &[("EMPTY", ""), ("FULL", "value")]),
        with("app:empty", "EMPTY", "default"),
        with("app:absent", "ABSENT", "default"),
        with("app:full", "FULL", "default"),
        with("app:neither", "EMPTY", ""),
    ]);
    assert_eq!(value(&environment, "app:empty").as_deref(), Some("default"));
    assert_eq!(value(&environment, "app:absent").as_deref(), Some("default"));
    assert_eq!(value(&environment, "app:full").as_deref(), Some("value"));
    assert_eq!(value(&environment, "app:neither"), None);
}

#[test]
fn names_resolve_by_public_name_then_id_then_namespace() {
    let environment = environment([
        statics("app:s", &[]),
        variable("app:first", "app:s", "SHARED"),
        variable("app:SHARED", "app:s", "OTHER"),
    ]);
    let find = |text: &str, namespace: &str| environment.find(text, namespace).map(EntryId::to_string);
    assert_eq!(find("SHARED", "app").unwrap(), "app:first", "the public name wins over the entry's");
    assert_eq!(find("app:SHARED", "else").unwrap(), "app:SHARED");
    assert_eq!(find("first", "app").unwrap(), "app:first");
    assert!(find("first", "else").is_err());
    assert_eq!(
        find("app:frist", "").unwrap_err().to_string(),
        "environment variable `app:frist` not found, declare it as an `env.variable`, did you mean `app:first`?"
    );
    assert!(matches!(environment.lookup(&id("app:none")), Err(EnvError::UnknownVariable { similar: None, .. })));
}

#[test]
fn the_programs_environment_is_read_and_never_changed() {
    let environment = environment([
        entry("app:os", Spec::EnvStorageOs),
        variable("app:path", "app:os", "PATH"),
        variable("app:absent", "app:os", "WIPPY_TEST_OF_A_VARIABLE_THAT_NOBODY_SETS"),
        // An ID as key.
        entry("app:odd=key", Spec::EnvVariable(EnvVariable { variable: None, ..named("app:os", "") })),
    ]);
    assert_eq!(value(&environment, "app:path"), std::env::var("PATH").ok());
    assert_eq!(value(&environment, "app:absent"), None);
    assert_eq!(value(&environment, "app:odd=key"), None);
    let error = environment.set(&id("app:path"), "x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "storage `app:os` is read-only, use an `env.storage.memory` or `env.storage.file` for values that change"
    );
}

#[test]
fn memory_keeps_what_is_set_and_read_only_variables_refuse() {
    let readonly = EnvVariable { readonly: true, ..named("app:m", "KEY") };
    let environment = environment([
        entry("app:m", Spec::EnvStorageMemory),
        variable("app:key", "app:m", "KEY"),
        entry("app:fixed", Spec::EnvVariable(readonly)),
        statics("app:s", &[]),
        variable("app:static", "app:s", "KEY"),
    ]);
    environment.clone().set(&id("app:key"), "value").unwrap();
    assert_eq!(value(&environment, "app:key").as_deref(), Some("value"));
    assert_eq!(value(&environment, "app:fixed").as_deref(), Some("value"));
    let refused = |name: &str| environment.set(&id(name), "x").unwrap_err();
    assert!(matches!(refused("app:fixed"), EnvError::VariableReadOnly { .. }));
    assert!(matches!(refused("app:static"), EnvError::StorageReadOnly { .. }));
    let longest = "x".repeat(VALUE_BYTES_MAX);
    environment.set(&id("app:key"), &longest).unwrap();
    let set = |value: &str| environment.set(&id("app:key"), value);
    assert!(
        matches!(set(&format!("{longest}x")), Err(EnvError::BadValue { bytes, .. }) if bytes == VALUE_BYTES_MAX + 1)
    );
    assert!(matches!(set("\0"), Err(EnvError::BadValue { .. })));
}

#[test]
fn a_router_asks_in_order_and_changes_its_first() {
    let environment = environment([
        entry("app:m", Spec::EnvStorageMemory),
        statics("app:s", &[("KEY", "static"), ("EMPTY", "")]),
        statics("app:t", &[("KEY", "never"), ("EMPTY", "third")]),
        router("app:inner", &["app:s", "app:t"]),
        router("app:r", &["app:m", "app:inner"]),
        variable("app:key", "app:r", "KEY"),
        variable("app:empty", "app:r", "EMPTY"),
        router("app:fixed", &["app:s", "app:m"]),
        variable("app:unchangeable", "app:fixed", "KEY"),
    ]);
    assert_eq!(value(&environment, "app:key").as_deref(), Some("static"));
    assert_eq!(value(&environment, "app:empty").as_deref(), Some("third"), "an empty one is passed over");
    environment.set(&id("app:key"), "memory").unwrap();
    assert_eq!(value(&environment, "app:key").as_deref(), Some("memory"));
    let error = environment.set(&id("app:unchangeable"), "x").unwrap_err();
    assert!(matches!(error, EnvError::StorageReadOnly { storage } if storage == id("app:s")));
}

#[test]
fn circles_and_missing_storages_are_errors() {
    let environment = environment([
        router("app:a", &["app:b"]),
        router("app:b", &["app:a"]),
        variable("app:round", "app:a", "KEY"),
        router("app:broken", &["app:none"]),
        variable("app:lost", "app:broken", "KEY"),
    ]);
    assert!(matches!(environment.lookup(&id("app:round")), Err(EnvError::TooManyRouters { .. })));
    assert!(matches!(environment.set(&id("app:round"), "x"), Err(EnvError::TooManyRouters { .. })));
    assert_eq!(
        environment.lookup(&id("app:lost")).unwrap_err().to_string(),
        "referenced storage `app:none` not found, `app:lost` needs it: declare it as an `env.storage`"
    );
}

#[test]
fn a_file_is_read_and_changed_with_its_comments_and_permissions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    std::fs::write(&path, "# ours\nKEY=\"from file\"\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(".env", &link).unwrap();
    let entries = [
        entry("app:f", Spec::EnvStorageFile(file_spec(&link))),
        variable("app:key", "app:f", "KEY"),
        variable("app:new", "app:f", "NEW"),
    ];
    let first = environment(entries.clone());
    assert_eq!(value(&first, "app:key").as_deref(), Some("from file"));
    first.set(&id("app:new"), "two words").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "# ours\nKEY=\"from file\"\nNEW=\"two words\"\n");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left over");
    assert_eq!(value(&environment(entries), "app:new").as_deref(), Some("two words"));
}

#[test]
fn a_file_takes_ids_as_keys_where_they_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    let spec = EnvStorageFile { auto_create: true, ..file_spec(&path) };
    let unnamed = |name: &str| entry(name, Spec::EnvVariable(EnvVariable { variable: None, ..named("app:f", "") }));
    let entries =
        [entry("app:f", Spec::EnvStorageFile(spec)), unnamed("app:deep/url"), unnamed("app:a=b"), unnamed("app:a b")];
    let first = environment(entries.clone());
    first.set(&id("app:deep/url"), "x").unwrap();
    for name in ["app:a=b", "app:a b"] {
        assert!(matches!(first.set(&id(name), "x"), Err(EnvError::BadKey { .. })), "{name}");
    }
    assert_eq!(value(&environment(entries), "app:deep/url").as_deref(), Some("x"));
}

#[test]
fn auto_create_makes_the_file_at_the_first_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/.env");
    let spec = EnvStorageFile { auto_create: true, ..file_spec(&path) };
    let (environment, problems) =
        opened([entry("app:f", Spec::EnvStorageFile(spec)), variable("app:key", "app:f", "KEY")]);
    assert_eq!(value(&environment, "app:key"), None);
    assert!(problems.is_empty() && !path.exists());
    environment.set(&id("app:key"), "x").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "KEY=x\n");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o750);
}

/// A hang here is a failure of the whole run; there is nothing to wait for.
#[test]
fn broken_files_are_told_and_answer_only_those_who_ask() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("syntax"), "A=1\nno pair\n").unwrap();
    std::fs::write(at("binary"), b"A=\xff\n").unwrap();
    std::fs::write(at("large"), "#".repeat(FILE_BYTES_MAX as usize + 1)).unwrap();
    mkfifoat(CWD, at("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    let storage = |name: &str, file: &str| entry(name, Spec::EnvStorageFile(file_spec(&at(file))));
    let (environment, problems) = opened([
        storage("app:a", "missing"),
        storage("app:b", "syntax"),
        storage("app:c", "binary"),
        storage("app:d", "large"),
        storage("app:e", "fifo"),
        storage("app:f", "folder"),
        variable("app:key", "app:b", "A"),
        statics("app:s", &[("KEY", "fine")]),
        variable("app:fine", "app:s", "KEY"),
    ]);
    let problems: Vec<_> = problems.iter().map(|problem| problem.message.clone()).collect();
    let path = |name: &str| at(name).display().to_string();
    let unusable = |name: &str, storage: &str| {
        format!(
            "`{}` of storage `{storage}` cannot be used, expected a regular file of at most 1048576 bytes",
            path(name)
        )
    };
    assert_eq!(
        problems,
        [
            format!(
                "the file `{}` of storage `app:a` does not exist, create it or add `auto_create: true`",
                path("missing")
            ),
            format!("{}:2: expected `KEY=value` (storage `app:b`)", path("syntax")),
            format!("the file `{}` of storage `app:c` cannot be read", path("binary")),
            unusable("large", "app:d"),
            unusable("fifo", "app:e"),
            unusable("folder", "app:f"),
        ]
    );
    assert!(matches!(environment.lookup(&id("app:key")), Err(EnvError::Syntax { line: 2, .. })));
    assert!(matches!(environment.set(&id("app:key"), "x"), Err(EnvError::Syntax { .. })), "nothing is overwritten");
    assert_eq!(value(&environment, "app:fine").as_deref(), Some("fine"));
}

#[test]
fn values_are_not_shown_by_debug() {
    let environment = environment([statics("app:s", &[("KEY", "secret")]), variable("app:key", "app:s", "KEY")]);
    let shown = format!("{environment:?}");
    assert!(shown.contains("app:key") && !shown.contains("secret"), "{shown}");
}

#[test]
fn only_what_entries_write_down_is_known_to_be_missing_for_good() {
    let memory = || entry("app:memory", Spec::EnvStorageMemory);
    let environment = environment([
        statics("app:s", &[("THERE", "x"), ("EMPTY", "")]),
        memory(),
        router("app:fixed", &["app:s"]),
        router("app:open", &["app:s", "app:memory"]),
        router("app:circle", &["app:circle"]),
        variable("app:there", "app:s", "THERE"),
        variable("app:empty", "app:s", "EMPTY"),
        variable("app:routed", "app:fixed", "NONE"),
        variable("app:maybe", "app:open", "LATER"),
        variable("app:volatile", "app:memory", "VOLATILE"),
        variable("app:round", "app:circle", "ROUND"),
        entry("app:default", Spec::EnvVariable(EnvVariable { default: Some("d".into()), ..named("app:s", "DEFAULT") })),
    ]);
    let missing = |name| environment.is_never_set(&id(name));
    assert!(missing("app:empty") && missing("app:routed"));
    for name in ["app:there", "app:maybe", "app:volatile", "app:round", "app:default", "app:unknown"] {
        assert!(!missing(name), "{name}");
    }
}
