//! Values on their way from a script into a guest that hands back what it gets, and back to the script. The tests themselves
//! are scripts: `values.lua`.

use std::fmt::Write as _;
use std::time::Duration;

use wippy::process::{Exit, Payload};
use wippy::reactor::Clock;

use crate::support::{House, fixture, text_app};

/// The functions of the guest, with the types of what they hand back. Types with names come first.
const TYPES: &str = r#"
    (type $t0 (enum "red" "green" "blue")) (export $color "color-type" (type $t0))
    (type $t1 (flags "read" "write" "exec")) (export $access "access-type" (type $t1))
    (type $t2 (variant (case "circle" f64) (case "square") (case "maybe" (option u8)))) (export $shape "shape-type" (type $t2))
    (type $t3 (record (field "top-left" (option u32)) (field "name" (option string)))) (export $record "record-type" (type $t3))
    (type $t4 (record (field "id" u8) (field "tags" (list $color)))) (export $item "item-type" (type $t4))
"#;

const FUNCTIONS: &[(&str, &str)] = &[
    ("small", "(tuple s8 u8 s16 u16 s32 u32)"),
    ("signed", "s64"),
    ("unsigned", "u64"),
    ("single", "f32"),
    ("double", "f64"),
    ("character", "char"),
    ("text", "string"),
    ("bytes", "(list u8)"),
    ("numbers", "(list s64)"),
    ("gaps", "(list (option u8))"),
    ("pair", "(tuple u8 (option u8))"),
    ("color", "$color"),
    ("access", "$access"),
    ("shape", "$shape"),
    ("bare", "(result)"),
    ("outcome", "(result (option u8) (error string))"),
    ("nested", "(option (option u8))"),
    ("record", "$record"),
    ("items", "(list $item)"),
];

/// A guest with these functions. A function takes a value and 16 numbers, which go through memory together, and returns the
/// value and the first of the numbers from the same place.
fn echo() -> String {
    let mut text = format!(
        r#"(component
        (core module $m
            (memory (export "memory") 2)
            (global $top (mut i32) (i32.const 4096))
            (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32) (local $at i32)
                (local.set $at (i32.and
                    (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get $align))))
                (global.set $top (i32.add (local.get $at) (local.get $size)))
                (local.get $at))
            (func (export "id") (param i32) (result i32) (local.get 0)))
        (core instance $i (instantiate $m))
        {TYPES}"#
    );
    let numbers: String = (0..16).map(|number| format!(" (param \"n{number}\" u32)")).collect();
    for (name, ty) in FUNCTIONS {
        let _ = write!(
            text,
            r#"
        (func (export "{name}") (param "value" {ty}){numbers} (result (tuple {ty} u32))
            (canon lift (core func $i "id") (memory (core memory $i "memory")) (realloc (core func $i "cabi_realloc"))))"#
        );
    }
    text.push(')');
    text
}

/// An application with two entries for each function, of which one is `values: named`, and the script.
fn house() -> House {
    let mut entries = String::new();
    for (name, _) in FUNCTIONS {
        let _ = writeln!(entries, "- {{ name: {name}, kind: process.wasm, text: echo, method: {name} }}");
        let _ = writeln!(
            entries,
            "- {{ name: {name}.named, kind: process.wasm, text: echo, method: {name}, values: named }}"
        );
    }
    entries.push_str(
        "- { name: same, kind: library.lua, source: file://same.lua }
- { name: values, kind: process.lua, source: file://values.lua, method: main, imports: { same: 'app:same' } }\n",
    );
    let app = text_app(&[("echo", &echo())], &entries);
    std::fs::write(app.path().join("values.lua"), include_str!("values.lua")).expect("a file");
    std::fs::copy(fixture("same.lua"), app.path().join("same.lua")).expect("a file");
    House::of(app, Clock::real())
}

/// Runs one function of the script.
#[track_caller]
fn run(test: &str) {
    let house = house();
    let process = house.start("values", &[test]).expect("a process");
    match process.wait_timeout(Duration::from_secs(120)) {
        Some(Exit::Returned(Payload::Nil)) => {}
        other => panic!("{test}: {other:?}"),
    }
}

#[test]
fn values_go_to_scripts_in_the_form_that_their_entry_names() {
    run("forms");
}

#[test]
fn events_have_the_form_as_well() {
    run("events");
}

#[test]
fn numbers_are_exact_or_refused() {
    run("numbers");
}

#[test]
fn every_form_is_accepted() {
    run("accepted");
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    run("refused");
}

#[test]
fn tables_with_gaps_and_empty_ones_are_what_the_type_wants() {
    run("gaps");
}

#[test]
fn a_table_nests_as_deep_as_a_payload_may() {
    run("deep");
}

/// What a program that embeds gets, and what the command line prints, is the exact shape, whatever the entry says.
#[test]
fn others_than_scripts_see_no_form() {
    let house = house();
    let number = |count: u32| Payload::from(count);
    for entry in ["app:bytes", "app:bytes.named"] {
        let input = std::iter::once(Payload::from(vec![1_u8, 2])).chain((0..16).map(number));
        let exit = house.runtime.spawn(entry, input).expect("a process").wait();
        assert_eq!(exit, Exit::Returned(Payload::from(vec![Payload::from(vec![1_u8, 2]), number(0)])), "{entry}");
    }
}
