//! Every function that a script may call has a place in a script of the fixtures or of these tests where it is tried.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wippy::Runtime;
use wippy::process::{Exit, Payload};

use crate::support::app;

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

/// The texts of all files below a folder of this project that end like this.
fn texts(folder: &str, endings: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    let is_wanted = |path: &PathBuf| {
        let name = path.to_string_lossy();
        endings.iter().any(|ending| name.ends_with(ending)) && !name.ends_with("lua/gaps.rs")
    };
    found.iter().filter(|path| is_wanted(path)).map(|path| fs::read_to_string(path).expect("a text")).collect()
}

/// What scripts try, without comments.
fn tried() -> String {
    let without_comment = |line: &str| line.split_once("--").map_or(line, |(code, _)| code).to_owned();
    let scripts = texts("fixtures/apps", &[".lua", ".yaml"]);
    let scripts = scripts.iter().flat_map(|text| text.lines()).map(without_comment);
    let within = texts("tests/all/lua", &[".rs"]).into_iter().chain(texts("tests/all/security", &[".rs"]));
    scripts.chain(within).collect::<Vec<_>>().join("\n")
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether a text has this as a word of its own.
fn has(text: &str, wanted: &str) -> bool {
    text.match_indices(wanted).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + wanted.len()..].chars().next();
        let begins =
            !wanted.starts_with(is_word) || !before.is_some_and(|character| is_word(character) || character == '.');
        begins && !after.is_some_and(is_word)
    })
}

/// The methods of objects, as the source of the modules says them.
fn methods() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let name = |text: &str| text.chars().take_while(|character| is_word(*character)).collect::<String>();
    for text in texts("src/lua", &[".rs"]) {
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
    for text in texts("src/lua", &[".lua"]) {
        for line in text.lines() {
            let method = line.strip_prefix("function ").filter(|rest| rest.starts_with(char::is_uppercase));
            found.extend(method.and_then(|rest| rest.split_once(':')).map(|(_, method)| name(method)));
        }
    }
    found
}

#[test]
fn every_function_is_tried_by_a_script() {
    let modules = modules();
    assert!(modules.len() > 9 && modules.iter().any(|name| name == "fs"), "{modules:?}");
    let functions = functions(&modules);
    assert!(functions.len() > 60 && functions.contains("process.registry.lookup"), "{functions:?}");
    let tried = tried();
    let is_tried = |function: &&String| {
        // Of a logger, which is an object, too.
        let (module, name) = function.rsplit_once('.').expect("a module");
        has(&tried, function) || has(&tried, &format!("{module}:{name}"))
    };
    let gaps: Vec<_> = functions.iter().filter(|function| !is_tried(function)).collect();
    assert_eq!(gaps, Vec::<&String>::new(), "functions that no script tries");
}

#[test]
fn every_method_is_tried_by_a_script() {
    let methods = methods();
    for known in ["case_receive", "read_file", "scan", "topic", "evaluate", "with_message"] {
        assert!(methods.contains(known), "{known} is not among {methods:?}");
    }
    let tried = tried();
    let gaps: Vec<_> =
        methods.iter().filter(|name| ![":", "."].iter().any(|call| has(&tried, &format!("{call}{name}")))).collect();
    assert_eq!(gaps, Vec::<&String>::new(), "methods that no script tries");
}

#[test]
fn a_word_is_found_as_a_whole() {
    assert!(has("local x = time.after(1)", "time.after"));
    for text in ["time.after_all(1)", "sometime.after(1)", "my.time.after(1)"] {
        assert!(!has(text, "time.after"), "{text}");
    }
    assert!(has("file:read(4)", ":read") && !has("file:readline()", ":read"));
}
