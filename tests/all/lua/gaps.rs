//! Every function and method that a script may call is called by a script of the fixtures, which says what it expects of it: the
//! table `functions.txt` names for each the script and the test that runs it.
//!
//! Each of those scripts is run by the program with the log of calls, and a row of the table holds when its script has made its
//! call in that run. `WIPPY_BLESS=1 cargo test --test all lua::gaps` writes the table anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use wippy::Runtime;
use wippy::process::{Exit, Payload};

use crate::support::{Said, app, fixture, wippy};

const HEAD: &str = "version: '1.0'\nnamespace: app\nentries:\n- { name: processes, kind: process.host }\n";

/// The modules that there are: what is said of one that there is not.
fn modules() -> Vec<String> {
    let entry = "- { name: script, kind: process.lua, source: 'return {}', method: main, modules: [zzzzzzzzzzzz] }\n";
    let app = app(&[("_index.yaml", &format!("{HEAD}{entry}"))]);
    let checked = Runtime::builder().load(app.path()).check().expect("a check");
    let expected =
        checked.diagnostics.iter().find_map(|problem| problem.expected.as_deref()).expect("what is expected");
    let names = expected.strip_prefix("one of ").expect("the names");
    names.split(", ").map(str::to_owned).collect()
}

/// The functions of a VM that has these modules, by their ways from the globals.
fn functions(modules: &[String]) -> BTreeSet<String> {
    let list = modules.join(", ");
    let entry = format!(
        "- {{ name: script, kind: process.lua, source: 'file://script.lua', method: main, modules: [{list}] }}\n"
    );
    let script = "
local found = {}
local function walk(way, table)
  for name, value in pairs(table) do
    if type(value) == 'function' then found[#found + 1] = way .. '.' .. name end
    if type(value) == 'table' then walk(way .. '.' .. name, value) end
  end
end
return { main = function(...)
  for _, name in ipairs({ ... }) do walk(name, require(name)) end
  return found
end }";
    let app = app(&[("_index.yaml", &format!("{HEAD}{entry}")), ("script.lua", script)]);
    let runtime = Runtime::builder().load(app.path()).build().expect("an application");
    let own = ["coroutine", "os", "table"].into_iter().map(Payload::from);
    let names: Vec<Payload> = modules.iter().map(|name| Payload::from(name.as_str())).chain(own).collect();
    let process = runtime.spawn("app:script", names).expect("a process");
    let exit = process.wait_timeout(Duration::from_secs(60)).expect("an end");
    let Exit::Returned(Payload::List(found)) = exit else { panic!("{exit}") };
    found.iter().map(|name| name.as_str().expect("a text").to_owned()).collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The texts of all files of the room that end like this.
fn sources(ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    files(&project().join("src/lua"), &mut found);
    let is_wanted = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == ending);
    found.iter().filter(is_wanted).map(|path| fs::read_to_string(path).expect("a text")).collect()
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The methods of objects, as the source of the modules says them.
fn methods() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let name = |text: &str| text.chars().take_while(|character| is_word(*character)).collect::<String>();
    for text in sources("rs") {
        for (at, word) in text.match_indices("add_method(") {
            let argument = text[at + word.len()..].trim_start();
            found.extend(argument.strip_prefix('"').map(name));
        }
        // Those that may wait are in tables.
        let mut within = false;
        for line in text.lines() {
            within = (within || line.contains("METHODS: [(&str, Method<")) && line != "];";
            if within {
                found.extend(line.strip_prefix("    (\"").map(name));
            }
        }
    }
    for text in sources("lua") {
        for line in text.lines() {
            let method = line.trim_start().strip_prefix("function ").and_then(|rest| rest.split_once(':'));
            found.extend(method.filter(|(class, _)| class.chars().all(is_word)).map(|(_, method)| name(method)));
        }
    }
    found
}

/// A run of the program, and the test that looks at what its script expects.
struct Run {
    test: &'static str,
    app: &'static str,
    entry: &'static str,
    host: &'static str,
}

const fn run(test: &'static str, app: &'static str, entry: &'static str, host: &'static str) -> Run {
    Run { test, app, entry, host }
}

/// The first one that calls a function is the one that the table names.
const RUNS: &[Run] = &[
    run("lua::core::processes", "lua-core", "processes_test", "processes"),
    run("lua::core::functions", "lua-core", "functions_test", "processes"),
    run("lua::core::security", "lua-core", "security_test", "processes"),
    run("lua::core::channels", "lua-core", "channels", "processes"),
    run("lua::core::coroutines", "lua-core", "coroutines", "processes"),
    run("lua::core::tables", "lua-core", "tables", "processes"),
    run("lua::core::texts", "lua-core", "texts", "processes"),
    run("lua::core::errors", "lua-core", "errors", "processes"),
    run("lua::core::the_sandbox_has_what_it_may_and_nothing_else", "lua-core", "sandbox", "processes"),
    run("lua::core::a_terminal_is_read_and_written", "lua-core", "copy", "terminal"),
    run("lua_modules::errors_have_a_kind", "lua-modules", "errors", "terminal"),
    run("lua_modules::json_is_written_and_read", "lua-modules", "json", "terminal"),
    run("lua_modules::payloads_have_a_format", "lua-modules", "payload", "terminal"),
    run("lua_modules::times_are_calculated_written_and_read", "lua-modules", "calendar", "terminal"),
    run("lua_modules::timers_fire_are_stopped_and_set_again", "lua-modules", "timers", "terminal"),
    run("lua::world::files", "lua-world", "files", "processes"),
    run("lua::world::variables", "lua-world", "env", "processes"),
    run("lua::world::events", "lua-world", "events", "processes"),
    run("lua::world::the_log", "lua-world", "logger", "terminal"),
    run("lua::world::units_of_time", "lua-world", "units", "processes"),
    run("lua::upgrade::scripts_see_the_same_process_in_a_new_life", "lua-core", "upgrades", "processes"),
];

/// A function or a method, the script that calls it, and the test that runs that.
type Row = (String, String, &'static str);

impl Run {
    /// What its scripts call.
    fn calls(&self) -> BTreeSet<Row> {
        let copy;
        let app = match self.app {
            "lua-world" => {
                copy = super::world::copy();
                copy.path().to_owned()
            }
            app => fixture(&format!("apps/{app}")),
        };
        let mut command = wippy();
        command.arg("-C").arg(app).env("WIPPY_LOG", "calls=trace");
        command.args(["run", "--exec", &format!("app:{}", self.entry), "--host", &format!("app:{}", self.host)]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
        // For those that read; of those that do not it may have gone already.
        let _ = child.stdin.take().expect("a pipe").write_all(b"one\ntwo\n");
        let said = Said::of(child.wait_with_output().expect("an end"));
        let lines = said.stderr.lines();
        let (calls, others): (Vec<_>, Vec<_>) = lines.partition(|line| line.contains(" TRACE calls: "));
        let is_fine = !calls.is_empty() && !others.iter().any(|line| line.starts_with("error"));
        assert!(is_fine, "{} of {}: {others:?}", self.entry, self.app);
        let row = |line: &&str| {
            let (_, call) = line.split_once(" TRACE calls: ")?;
            let (function, of) = call.split_once(" pid=")?;
            let (_, entry) = of.split_once(" entry=")?;
            Some((function.to_owned(), format!("{}/{entry}", self.app), self.test))
        };
        calls.iter().map(|line| row(line).unwrap_or_else(|| panic!("a line of calls: {line}"))).collect()
    }

    /// Whether there is such a test.
    fn is_tested(&self) -> bool {
        let (file, name) = self.test.rsplit_once("::").expect("a path");
        let text = fs::read_to_string(project().join(format!("tests/all/{}.rs", file.replace("::", "/"))));
        text.expect("a file").contains(&format!("#[test]\nfn {name}() {{"))
    }
}

const TABLE: &str = "tests/all/lua/functions.txt";

fn line((function, script, test): &Row) -> String {
    format!("{function:<36} {script:<28} {test}\n")
}

#[test]
fn every_function_is_called_by_the_script_of_its_row() {
    for run in RUNS {
        assert!(run.is_tested(), "{}", run.test);
    }
    let modules = modules();
    assert!(modules.len() > 9 && modules.iter().any(|name| name == "fs"), "{modules:?}");
    let functions = functions(&modules);
    assert!(functions.len() > 60 && functions.contains("process.registry.lookup"), "{functions:?}");
    let methods = methods();
    for known in ["case_receive", "read_file", "scan", "topic", "evaluate", "with_message", "stop", "without"] {
        assert!(methods.contains(known), "{known} is not among {methods:?}");
    }
    // Of an object that is a module each is both.
    let known: BTreeSet<String> = functions.into_iter().chain(methods.iter().map(|name| format!(":{name}"))).collect();
    let called: Vec<BTreeSet<Row>> = RUNS.iter().map(Run::calls).collect();
    if std::env::var_os("WIPPY_BLESS").is_some_and(|value| value == "1") {
        let first = |function: &String| called.iter().flatten().find(|row| row.0 == *function);
        let table: String = known.iter().filter_map(first).map(line).collect();
        fs::write(project().join(TABLE), table).expect("a file");
    }
    let table = fs::read_to_string(project().join(TABLE)).expect("the table");
    let rows: BTreeMap<&str, &str> =
        table.lines().map(|row| (row.split_whitespace().next().expect("a function"), row)).collect();
    let named: BTreeSet<String> = rows.keys().map(ToString::to_string).collect();
    let gaps: Vec<_> = known.symmetric_difference(&named).collect();
    assert_eq!(gaps, Vec::<&String>::new(), "without a row in {TABLE}, or without a function for their row");
    let made: BTreeSet<String> = called.iter().flatten().map(|row| line(row).trim_end().to_owned()).collect();
    let idle: Vec<_> = rows.values().filter(|row| !made.contains(**row)).collect();
    assert_eq!(idle, Vec::<&&str>::new(), "rows whose script has not called their function");
}
