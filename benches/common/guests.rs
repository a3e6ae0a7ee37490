//! The guests that all sides run: a number goes in, and another one that only a sound run can give comes out.

use std::path::Path;

/// What a binary is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Core,
    Component,
    /// A component with everything of the world `wasi:cli/command`, which returns nothing.
    Command,
}

/// A guest and what is called.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) kind: Kind,
    pub(crate) binary: Vec<u8>,
    /// From a 64-bit number to one.
    pub(crate) function: &'static str,
}

/// What the guests made of text add to the number that they are given.
pub(crate) const ADDED: i64 = 7;

/// Reads a word that came with the binary, writes a word, and adds to its result what was in there before: nothing, in a
/// fresh instance.
const TINY: &str = r#"
  (memory (export "memory") 1)
  (data (i32.const 1024) "\07\00\00\00\00\00\00\00and some more, as constants of a program would be")
  (func (export "run") (param $number i64) (result i64)
    (local $was i64)
    (local.set $was (i64.load (i32.const 2048)))
    (i64.store (i32.const 2048) (i64.const 1))
    (i64.add (i64.add (local.get $number) (local.get $was)) (i64.load (i32.const 1024))))"#;

/// The same as Rust lays it out: a megabyte of stack below, then what came with the binary, and a table of functions.
const LARGE: &str = r#"
  (type $unary (func (param i64) (result i64)))
  (memory (export "memory") 17)
  (data (i32.const 1048576) "\07\00\00\00\00\00\00\00and some more, as constants of a program would be")
  (table 16 funcref)
  (elem (i32.const 1) $add)
  (func $add (param $number i64) (result i64)
    (i64.add (local.get $number) (i64.load (i32.const 1048576))))
  (func (export "run") (param $number i64) (result i64)
    (local $was i64)
    (local.set $was (i64.load (i32.const 1048000)))
    (i64.store (i32.const 1048000) (i64.const 1))
    (i64.add (local.get $was) (call_indirect (type $unary) (local.get $number) (i32.const 1))))"#;

/// Yields as often as it is told.
const YIELDING: &str = r#"
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (param $number i64) (result i64)
    (local $left i64)
    (local.set $left (local.get $number))
    (loop $again
      (if (i64.ne (local.get $left) (i64.const 0))
        (then
          (if (call $yield) (then unreachable))
          (local.set $left (i64.sub (local.get $left) (i64.const 1)))
          (br $again))))
    (i64.add (local.get $number) (i64.const 7)))"#;

impl Guest {
    fn core(text: &str) -> Guest {
        let binary = wat::parse_str(format!("(module {text})")).expect("a sound module");
        Guest { kind: Kind::Core, binary, function: "run" }
    }

    /// A core module with one page and some data.
    pub(crate) fn tiny() -> Guest {
        Guest::core(TINY)
    }

    /// The same as a component.
    pub(crate) fn component() -> Guest {
        let text = format!(
            r#"(component
                 (core module $code {TINY})
                 (core instance $code (instantiate $code))
                 (func (export "run") (param "number" s64) (result s64) (canon lift (core func $code "run"))))"#
        );
        let binary = wat::parse_str(text).expect("a sound component");
        Guest { kind: Kind::Component, binary, function: "run" }
    }

    /// A core module with 17 pages and a table.
    pub(crate) fn large() -> Guest {
        Guest::core(LARGE)
    }

    /// A core module that yields.
    pub(crate) fn yielding() -> Guest {
        Guest::core(YIELDING)
    }

    /// A program in Rust with its standard library, which looks at its arguments and variables and prints a line.
    pub(crate) fn command() -> Guest {
        Guest { kind: Kind::Command, ..Guest::fixture("command", "run") }
    }

    /// A core module among the fixtures.
    pub(crate) fn fixture(name: &str, function: &'static str) -> Guest {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/guests/{name}.wasm"));
        Guest { kind: Kind::Core, binary: std::fs::read(file).expect("a binary"), function }
    }
}
