//! Calls of core modules: numbers without text, values through memory, guests that break the conventions.

use wasmtime::{Engine, Module};

use super::super::core::{CorePlan, CorePlanError};
use super::guest::CoreGuest;
use super::{Payload, json};

#[test]
fn numbers_need_no_text() {
    let mut guest = CoreGuest::new();
    for (method, signature, input, output) in [
        ("add32", "func(p0: s32, p1: s32) -> s32", "[6, 7]", "13"),
        ("add32", "func(p0: s32, p1: s32) -> s32", "[4294967295, 0]", "-1"),
        ("add64", "func(p0: s64, p1: s64) -> s64", "[18446744073709551615, 1]", "0"),
        ("half", "func(p0: f64) -> f64", "[5]", "2.5"),
        ("nothing", "func()", "[]", "null"),
        ("both", "func(p0: s32, p1: s32) -> (s32, s32)", "[1, 2]", "[1,2]"),
    ] {
        let plan = CorePlan::new(method, &guest.module, None).unwrap();
        assert_eq!(plan.signature().to_string(), signature);
        let input = json(input);
        assert_eq!(guest.call(&plan, input.as_list().unwrap()).unwrap().to_string(), output, "{method}");
    }
}

#[test]
fn text_and_lists_go_through_memory() {
    let mut guest = CoreGuest::new();
    for (method, ty, input, output) in [
        ("echo", "func(v: string) -> string", r#"["Grüße"]"#, r#""Grüße""#),
        ("echo", "func(v: string) -> string", r#"[""]"#, r#""""#),
        ("echo", "func(v: list<u32>) -> list<u32>", "[[1, 2, 4294967295]]", "[1,2,4294967295]"),
        ("echo", "func(v: list<string>) -> list<string>", r#"[["a", "", "bc"]]"#, r#"["a","","bc"]"#),
        ("echo", "func(v: list<list<u8>>) -> list<list<u8>>", "[[[1], []]]", "[[1],[]]"),
        ("both", "func(v: string) -> string", r#"["two results"]"#, r#""two results""#),
        ("sum", "func(v: list<u8>) -> u32", "[[1, 2, 255]]", "258"),
        ("add32", "func(a: u32, b: u32) -> u32", "[4294967295, 0]", "4294967295"),
        ("same32", "func(a: char) -> u8", r#"["ä"]"#, "228"),
    ] {
        let plan = guest.plan(method, ty);
        let input = json(input);
        assert_eq!(guest.call(&plan, input.as_list().unwrap()).unwrap().to_string(), output, "{method}: {ty}");
    }
}

#[test]
fn four_mebibytes_pass() {
    let mut guest = CoreGuest::new();
    let plan = guest.plan("echo", "func(v: list<u8>) -> list<u8>");
    let value = Payload::from(vec![7u8; 4 << 20]);
    guest.store.set_hostcall_fuel(4 << 20);
    assert_eq!(guest.call(&plan, std::slice::from_ref(&value)).unwrap(), value);
}

#[test]
fn results_are_freed_once_after_they_were_read() {
    let mut guest = CoreGuest::new();
    let plan = guest.plan("echo", "func(v: string) -> string");
    let freed = guest.plan("freed", "func() -> u32");
    guest.call(&plan, &["a".into()]).unwrap();
    guest.call(&plan, &["b".into()]).unwrap();
    // `cabi_post_echo` gets what `echo` returned, 16, each time.
    assert_eq!(guest.call(&freed, &[]).unwrap(), Payload::Int(32));
}

#[test]
fn many_parameters_go_to_memory() {
    let params: Vec<_> = (0..17).map(|index| format!("p{index}: u32")).collect();
    let mut guest = CoreGuest::new();
    // One pointer instead of 17 numbers; what it points to is returned.
    let plan = guest.plan("id", &format!("func({}) -> tuple<u32, u32>", params.join(", ")));
    let arguments: Vec<_> = (100..117).map(Payload::from).collect();
    assert_eq!(guest.call(&plan, &arguments).unwrap(), json("[100,101]"));
}

fn plan_error(method: &str, wit: Option<&str>) -> String {
    CorePlan::new(method, &CoreGuest::new().module, wit).unwrap_err().to_string()
}

#[test]
fn plans_are_checked_against_the_module() {
    assert_eq!(plan_error("ehco", None), "the module exports no function `ehco`, did you mean `echo`");
    assert_eq!(
        plan_error("echo", Some("sum: func(v: list<u8>) -> u32;")),
        "`wit` declares no function `echo`, expected one of `sum`"
    );
    assert_eq!(plan_error("echo", Some("echo")), "`wit`: line 1, column 5: expected `:`, found the end");
    assert_eq!(
        plan_error("add32", Some("add32: func(a: u64, b: u64) -> u64;")),
        "`add32: func(a: u64, b: u64) -> u64` is `(i64 i64) -> (i64)` in wasm, but the module exports \
         `(i32 i32) -> (i32)`: correct `wit`"
    );
    assert_eq!(
        plan_error("add32", Some("add32: func(a: string);")),
        "`add32: func(a: string)` is `(i32 i32) -> ()` in wasm, but the module exports `(i32 i32) -> (i32)`: correct `wit`"
    );
}

fn module(text: &str) -> Module {
    Module::new(&Engine::default(), text).unwrap()
}

#[test]
fn modules_must_export_what_their_values_need() {
    let wit = Some("f: func(v: string);");
    let bare = module(r#"(module (func (export "f") (param i32 i32)))"#);
    assert_eq!(
        CorePlan::new("f", &bare, wit).unwrap_err().to_string(),
        "`f: func(v: string)` passes values in memory, so the module must export `memory`"
    );
    let no_realloc = module(r#"(module (memory (export "memory") 1) (func (export "f") (param i32 i32)))"#);
    assert_eq!(
        CorePlan::new("f", &no_realloc, wit).unwrap_err().to_string(),
        "`f: func(v: string)` passes values in memory, so the module must export `cabi_realloc`"
    );
    let vector = module(r#"(module (func (export "f") (param v128)))"#);
    assert!(matches!(CorePlan::new("f", &vector, None), Err(CorePlanError::Signature(_))));
    assert!(matches!(CorePlan::new("f", &vector, Some("f: func();")), Err(CorePlanError::Mismatch { .. })));
}

#[test]
fn guests_that_break_the_conventions_are_errors() {
    let mut guest = CoreGuest::new();
    for (method, ty, input, error) in [
        (
            "wild",
            "func() -> string",
            "[]",
            "2147483647 bytes at 2147483647 are outside the guest's memory of 131072 bytes, while reading or writing `string`",
        ),
        (
            "same32",
            "func(a: u32) -> string",
            "[4294967292]",
            "4 bytes at 4294967292 are outside the guest's memory of 131072 bytes, while reading or writing `string`",
        ),
        ("same32", "func(a: u32) -> string", "[18]", "the pointer 18 is not a multiple of 4, as `string` needs"),
        ("same32", "func(a: u32) -> enum { red, green }", "[2]", "2 is no value of `enum { red, green }`"),
        ("same32", "func(a: u32) -> char", "[55296]", "55296 is no value of `char`"),
        ("echo", "func(v: list<u8>) -> string", "[[104, 255]]", "a returned string is not utf-8 at byte 1"),
    ] {
        let plan = guest.plan(method, ty);
        let input = json(input);
        let found = guest.call(&plan, input.as_list().unwrap()).unwrap_err().to_string();
        assert_eq!(found, error, "{method}: {ty}");
    }
}

#[test]
fn results_are_bounded_by_fuel_before_they_are_made() {
    let mut guest = CoreGuest::new();
    guest.store.set_hostcall_fuel(1000);
    let bools = guest.plan("both", "func(at: u32, count: u32) -> list<bool>");
    // Each boolean is a byte of the guest's and many bytes of ours.
    let error = guest.call(&bools, &[0.into(), 500.into()]).unwrap_err().to_string();
    assert_eq!(error, "the result takes more than the allowed 1000 bytes");
    assert!(guest.call(&bools, &[0.into(), 10.into()]).is_ok());
    // Lists may overlap: the same bytes count again each time.
    let lists = guest.plan("echo", "func(v: list<tuple<u32, u32>>) -> list<string>");
    let windows = |count: usize| Payload::from(vec![json("[0, 400]"); count]);
    assert!(guest.call(&lists, &[windows(1)]).is_ok());
    assert!(guest.call(&lists, &[windows(3)]).is_err());
    let bytes = guest.plan("both", "func(at: u32, count: u32) -> list<u8>");
    assert!(guest.call(&bytes, &[0.into(), 1000.into()]).is_ok());
    assert!(guest.call(&bytes, &[0.into(), 1001.into()]).is_err());
}

#[test]
fn an_allocator_out_of_bounds_is_an_error() {
    let text = r#"(module (memory (export "memory") 1) (func (export "f") (param i32 i32))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const PLACE)))"#;
    for (place, error) in [
        (
            "65536",
            "3 bytes at 65536 are outside the guest's memory of 65536 bytes, while reading or writing `an argument`",
        ),
        (
            "-1",
            "3 bytes at 4294967295 are outside the guest's memory of 65536 bytes, while reading or writing `an argument`",
        ),
    ] {
        let engine = Engine::default();
        let module = Module::new(&engine, text.replace("PLACE", place)).unwrap();
        let mut guest = CoreGuest::of(&engine, module);
        let plan = guest.plan("f", "func(v: string)");
        assert_eq!(guest.call(&plan, &["abc".into()]).unwrap_err().to_string(), error);
        // Nothing to write is nothing out of bounds.
        assert!(guest.call(&plan, &["".into()]).is_ok());
    }
}
