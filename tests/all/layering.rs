//! Imports go one way: every path of the source that leads from one room to another must be in the table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Rooms that anybody may import and that import nothing.
const LEAVES: &[&str] = &["sync", "limits", "error", "suggest"];

/// What each room may import beside the leaves.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("registry", &[]),
    ("security", &["registry"]),
    ("scheduler", &[]),
    ("reactor", &["scheduler"]),
    ("process", &["scheduler", "reactor", "registry", "security"]),
    ("function", &["process", "registry", "reactor", "security"]),
    ("volume", &["registry", "reactor"]),
    ("env", &["registry", "reactor"]),
    ("wasi", &["reactor", "volume", "env", "security"]),
    ("wasm", &["wasi", "process", "function", "registry", "reactor", "volume", "env", "security"]),
    ("lua", &["process", "function", "registry", "reactor", "volume", "env", "security"]),
    ("batch", &["process", "function", "registry"]),
    ("control", &["process", "reactor"]),
    (
        "runtime",
        &[
            "registry",
            "security",
            "scheduler",
            "reactor",
            "process",
            "function",
            "volume",
            "env",
            "wasi",
            "wasm",
            "lua",
            "batch",
            "control",
        ],
    ),
    ("cli", &["runtime", "batch", "control", "registry", "process"]),
];

/// The modules of a file's path below `src`: `wasm/value/mod.rs` is `["wasm", "value"]`.
fn module_path(file: &Path) -> Vec<String> {
    let mut parts: Vec<String> = file.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let last = parts.pop().unwrap_or_default();
    let stem = last.trim_end_matches(".rs");
    if stem != "mod" && stem != "lib" && stem != "main" {
        parts.push(stem.to_owned());
    }
    parts
}

/// The code of a line, without its comment.
fn code(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

/// The identifiers that follow `text` at the beginning: one, or those of a group in braces.
fn heads(text: &str) -> Vec<String> {
    let identifier =
        |text: &str| -> String { text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let Some(group) = text.strip_prefix('{') else { return vec![identifier(text)] };
    let mut depth = 0;
    let mut heads = Vec::new();
    let mut start = true;
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            _ if start && !character.is_whitespace() => {
                heads.push(identifier(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    heads
}

/// The rooms that this source reaches by a path from the crate's root, whether it says `crate::` or climbs with `super::`.
fn reached(source: &str, module: &[String]) -> BTreeSet<String> {
    let text: String = source.lines().map(code).collect::<Vec<_>>().join("\n");
    let mut rooms = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        rooms.extend(heads(&text[at + "crate::".len()..]));
    }
    for (at, _) in text.match_indices("super::") {
        if text[..at].ends_with("::") || text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let mut rest = &text[at..];
        let mut climbed = 0;
        while let Some(next) = rest.strip_prefix("super::") {
            climbed += 1;
            rest = next;
        }
        // An inline `mod tests` climbs one step for itself.
        let inline = text[..at].contains("\nmod ")
            && text[..at]
                .rfind("\nmod ")
                .is_some_and(|start| text[start..at].contains('{') && !text[start..at].contains("\n}"));
        if climbed - usize::from(inline) >= module.len().max(1) && !module.is_empty() {
            rooms.extend(heads(rest));
        }
    }
    rooms
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The forbidden edges of one file.
fn forbidden(module: &[String], source: &str) -> Vec<String> {
    let Some(room) = module.first() else { return Vec::new() };
    let table: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let known = |name: &str| table.contains_key(name) || LEAVES.contains(&name);
    let allowed = table.get(room.as_str()).copied().unwrap_or_default();
    reached(source, module)
        .into_iter()
        .filter(|to| known(to) && to != room && !LEAVES.contains(&to.as_str()) && !allowed.contains(&to.as_str()))
        .map(|to| format!("`{room}` may not import `{to}`"))
        .collect()
}

#[test]
fn imports_go_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20, "only {} source files: is this the right folder?", files.len());
    let mut problems = Vec::new();
    for file in &files {
        let path = file.strip_prefix(&root).expect("a file below src");
        let source = std::fs::read_to_string(file).expect("a readable source");
        for problem in forbidden(&module_path(path), &source) {
            problems.push(format!("src/{}: {problem}", path.display()));
        }
    }
    assert!(problems.is_empty(), "edges that design does not have:\n{}", problems.join("\n"));
}

#[test]
fn every_room_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(root).expect("src") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let known = MAY_IMPORT.iter().any(|(room, _)| *room == name) || LEAVES.contains(&name.as_str());
        assert!(known || ["lib", "main"].contains(&name.as_str()), "room `{name}` has no row in the table");
    }
}

#[test]
fn the_check_sees_every_way_to_write_a_path() {
    let in_file = |source: &str| forbidden(&["scheduler".into(), "worker".into()], source);
    assert_eq!(in_file("use crate::wasm::Engine;"), ["`scheduler` may not import `wasm`"]);
    assert_eq!(in_file("let x = crate::registry::load();"), ["`scheduler` may not import `registry`"]);
    assert_eq!(in_file("use crate::{sync, process::{Exit, Pid}};"), ["`scheduler` may not import `process`"]);
    assert_eq!(in_file("use super::super::reactor;"), ["`scheduler` may not import `reactor`"]);
    assert_eq!(in_file("// crate::wasm is not known here\nuse crate::sync::Mutex; use super::task;"), [""; 0]);
    assert_eq!(forbidden(&["scheduler".into()], "use super::wasm;"), ["`scheduler` may not import `wasm`"]);
}
