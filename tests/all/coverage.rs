//! Every function of every interface that an entry can list is called by a guest in a test: the table, and the checks that
//! keep it true.
//!
//! What functions there are is not said here: it comes from the definitions in the crates whose bindings are used, and for
//! Wippy's own interfaces from the source that links them. That a
//! guest calls a function in the test is what the row says; that its binary imports it is checked.

/// What functions there are, and which a guest imports.
mod functions;
/// Which guest calls them in which test.
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use wippy::wasi::Profile;

use super::support::fixture;
use functions::{Definitions, Functions, flat_declarations, flat_functions, imports_of, short_name};
use table::{COVERED, EXCUSED};

/// The names of a row: a word with a colon is the resource that those behind it belong to.
fn names(row: &str) -> Vec<String> {
    let mut resource = String::new();
    let mut names = Vec::new();
    for word in row.split_whitespace() {
        match word.strip_suffix(':') {
            Some(name) => resource = format!("{name}."),
            None => names.push(format!("{resource}{word}")),
        }
    }
    names
}

/// Pairs of interface and function.
fn pairs(functions: &Functions) -> BTreeSet<(String, String)> {
    let of = |(interface, names): (&String, &BTreeSet<String>)| -> Vec<_> {
        names.iter().map(|name| (interface.clone(), short_name(name))).collect()
    };
    functions.iter().flat_map(of).collect()
}

/// The same of rows.
fn rows<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeSet<(String, String)> {
    let of = |(interface, functions): (&str, &str)| -> Vec<_> {
        names(functions).into_iter().map(|name| (interface.to_owned(), name)).collect()
    };
    rows.into_iter().flat_map(of).collect()
}

#[test]
fn every_function_of_every_interface_has_a_row() {
    let definitions = Definitions::load();
    let defined = pairs(&definitions.functions);
    let unreachable = pairs(&definitions.unreachable);
    let covered = rows(COVERED.iter().map(|row| (row.interface, row.functions)));
    let excused = rows(EXCUSED.iter().map(|row| (row.interface, row.functions)));

    let reachable: BTreeSet<_> = defined.difference(&unreachable).cloned().collect();
    let missing: Vec<_> = reachable.difference(&covered).collect();
    assert!(missing.is_empty(), "no guest calls these in a test: {missing:#?}");
    let stale: Vec<_> = covered.difference(&reachable).collect();
    assert!(stale.is_empty(), "nothing is called so, or no guest can call it: {stale:#?}");
    assert_eq!(excused, unreachable, "left: what is excused, right: what takes a resource that no function gives");
    assert!(EXCUSED.iter().all(|row| !row.reason.is_empty()));
}

#[test]
fn every_interface_of_a_profile_is_known() {
    let definitions = Definitions::load();
    let listed = Profile::ALL.iter().flat_map(|profile| profile.interfaces()).copied();
    // Two interfaces are nothing but a resource.
    let without = |name: &&str| !definitions.functions.contains_key(*name) && !definitions.bare.contains(*name);
    let unknown: BTreeSet<&str> = listed.filter(without).collect();
    assert!(unknown.is_empty(), "an entry can list these, and nothing defines them: {unknown:?}");
}

#[test]
fn the_header_for_core_modules_declares_what_is_linked() {
    assert!(flat_functions().len() > 20, "the sources are read");
    assert_eq!(flat_declarations(), flat_functions(), "left: the header, right: what is linked");
}

#[test]
fn every_test_of_the_table_is_there() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all");
    for test in COVERED.iter().map(|row| row.test).collect::<BTreeSet<_>>() {
        let (module, name) = test.rsplit_once("::").expect("the path of a test");
        let file = sources.join(module.replace("::", "/")).with_extension("rs");
        let source =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{test}: {}: {error}", file.display()));
        assert!(source.contains(&format!("#[test]\nfn {name}()")), "{}: there is no test `{name}`", file.display());
    }
}

#[test]
fn every_guest_of_the_table_imports_what_its_rows_say() {
    let mut guests: BTreeMap<&str, BTreeSet<(String, String)>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in COVERED {
        let imported = guests
            .entry(row.guest)
            .or_insert_with(|| pairs(&imports_of(&fixture("guests").join(row.guest).with_extension("wasm"))));
        for name in names(row.functions) {
            if !imported.contains(&(row.interface.to_owned(), name.clone())) {
                wrong.push(format!("{} does not import {name} of {}", row.guest, row.interface));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
