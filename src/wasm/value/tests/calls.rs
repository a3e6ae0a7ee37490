//! Calls of components: fast paths against the general way, large values, refused signatures.

use bytes::Bytes;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::super::ComponentPlan;
use super::guest::Guest;
use super::{Payload, json};

const BYTES: &str = "(param \"v\" (list u8)) (result (list u8))";

fn large(bytes: usize) -> Payload {
    Payload::Bytes((0..bytes).map(|index| (index % 251) as u8).collect::<Vec<_>>().into())
}

#[test]
fn four_mebibytes_pass_with_the_fuel_of_their_bytes() {
    let mut guest = Guest::new(&Engine::default(), "", "", &[("echo", "echo", BYTES)]);
    let plan = guest.plan("echo");
    let value = large(4 << 20);
    assert_eq!(guest.call(&plan, "echo", std::slice::from_ref(&value)).unwrap(), value);
    // So many bytes and not one more: nothing takes 40 bytes for each.
    guest.store.set_hostcall_fuel(4 << 20);
    assert_eq!(guest.call(&plan, "echo", std::slice::from_ref(&value)).unwrap(), value);
    guest.store.set_hostcall_fuel((4 << 20) - 1);
    let error = guest.call(&plan, "echo", std::slice::from_ref(&value)).unwrap_err();
    assert!(format!("{error:#}").contains("fuel allocated for hostcalls has been exhausted"), "{error:#}");
}

#[test]
fn numbers_in_a_list_keep_the_fast_path_of_the_result() {
    let mut guest = Guest::new(&Engine::default(), "", "", &[("echo", "echo", BYTES)]);
    let plan = guest.plan("echo");
    guest.store.set_hostcall_fuel(1 << 10);
    let numbers = Payload::List(vec![Payload::Int(7); 1 << 10]);
    assert_eq!(guest.call(&plan, "echo", &[numbers]).unwrap(), Payload::from(vec![7u8; 1 << 10]));
}

#[test]
fn the_general_way_takes_forty_times_the_fuel() {
    let mut guest = Guest::new(&Engine::default(), "", "", &[("echo", "echo", BYTES)]);
    let plan = guest.plan("echo").without_fast_path();
    guest.store.set_hostcall_fuel(40 << 10);
    assert_eq!(guest.call(&plan, "echo", &[large(1 << 10)]).unwrap(), large(1 << 10));
    assert!(guest.call(&plan, "echo", &[large((1 << 10) + 1)]).is_err());
}

#[test]
fn fast_paths_say_what_the_general_way_says() {
    let number = |ty: &str, count: usize| {
        let params: String = (0..count).map(|index| format!("(param \"p{index}\" {ty})")).collect();
        format!("{params} (result {ty})")
    };
    let result = |ok: &str| format!("(param \"v\" string) (result (result {ok} (error string)))");
    // A result in memory: its case, then two words from the arguments.
    let core = r#"
        (func $result (export "as-ok") (param i32 i32) (result i32)
            (i32.store (i32.const 32) (i32.const 0))
            (i32.store (i32.const 36) (local.get 0)) (i32.store (i32.const 40) (local.get 1)) (i32.const 32))
        (func (export "as-err") (param i32 i32) (result i32)
            (drop (call $result (local.get 0) (local.get 1)))
            (i32.store (i32.const 32) (i32.const 1)) (i32.const 32))
        (func (export "drop") (param i32 i32))
        (func (export "four") (param i32 i32 i32 i32) (result i32)
            (i32.store (i32.const 16) (local.get 2)) (i32.store (i32.const 20) (local.get 3)) (i32.const 16))
        (func (export "length") (param i32 i32) (result i64) (i64.extend_i32_u (local.get 1)))
        (func (export "hello") (result i32)
            (i32.store (i32.const 48) (i32.const 0x6c6c6568))
            (i32.store (i32.const 16) (i32.const 48)) (i32.store (i32.const 20) (i32.const 4)) (i32.const 16))"#;
    let text = "(param \"v\" string)";
    let cases: Vec<(&str, String, Vec<&str>)> = vec![
        ("nothing", String::new(), vec!["[]"]),
        ("hello", "(result string)".to_owned(), vec!["[]"]),
        ("echo", format!("{text} (result string)"), vec![r#"["Ann"]"#, r#"[""]"#]),
        ("echo", format!("{text} (result (list u8))"), vec![r#"["Ann"]"#]),
        ("echo", BYTES.to_owned(), vec!["[[1,2,255]]", r#"["text"]"#, "[{}]"]),
        ("sum", "(param \"v\" (list u8)) (result u32)".to_owned(), vec!["[[1,2,255]]"]),
        ("length", "(param \"v\" (list u8)) (result u64)".to_owned(), vec!["[[1,2,255]]"]),
        ("drop", text.to_owned(), vec![r#"["Ann"]"#]),
        ("as-ok", result("string"), vec![r#"["Ann"]"#]),
        ("as-err", result("string"), vec![r#"["Ann"]"#]),
        ("as-ok", result("(list u8)"), vec![r#"["Ann"]"#]),
        ("as-ok", result(""), vec![r#"["Ann"]"#]),
        ("as-err", result(""), vec![r#"["Ann"]"#]),
        ("four", "(param \"a\" string) (param \"b\" string) (result string)".to_owned(), vec![r#"["a","b"]"#]),
        ("four", "(param \"a\" string) (param \"b\" (list u8)) (result (list u8))".to_owned(), vec![r#"["a",[7]]"#]),
        ("same32", number("s32", 1), vec!["[-2147483648]", "[7.0]"]),
        ("same32", number("u32", 1), vec!["[4294967295]"]),
        ("same64", number("s64", 1), vec!["[-9223372036854775808]"]),
        ("same64", number("u64", 1), vec!["[18446744073709551615]"]),
        ("half", number("f64", 1), vec!["[5]", "[\"inf\"]"]),
        ("add32", number("s32", 2), vec!["[6,7]", "[-1,2147483647]"]),
        ("add32", number("u32", 2), vec!["[6,7]", "[4294967295,1]"]),
        ("add64", number("s64", 2), vec!["[6,7]"]),
        ("add64", number("u64", 2), vec!["[18446744073709551615,0]"]),
    ];
    for (function, ty, inputs) in cases {
        let mut guest = Guest::new(&Engine::default(), "", core, &[("f", function, &ty)]);
        let fast = guest.plan("f");
        let general = fast.without_fast_path();
        assert!(fast.has_fast_path(), "{ty}");
        for input in inputs {
            let input = json(input);
            let arguments = input.as_list().unwrap();
            let expected = guest.call(&general, "f", arguments).unwrap();
            assert_eq!(guest.call(&fast, "f", arguments).unwrap(), expected, "{ty} with {input}");
        }
        // What does not fit is refused in the same words.
        let wrong = vec![json("{\"a\":1}"); fast.signature().params().len() + usize::from(function == "nothing")];
        if !wrong.is_empty() {
            let expected = guest.call(&general, "f", &wrong).unwrap_err().to_string();
            assert_eq!(guest.call(&fast, "f", &wrong).unwrap_err().to_string(), expected, "{ty}");
        }
    }
}

#[test]
fn values_of_the_fast_paths_are_the_expected_ones() {
    let mut guest = Guest::new(
        &Engine::default(),
        "",
        "",
        &[
            ("add", "add32", "(param \"a\" s32) (param \"b\" s32) (result s32)"),
            ("greet", "echo", "(param \"name\" string) (result string)"),
            ("nothing", "nothing", ""),
        ],
    );
    let plan = guest.plan("add");
    assert_eq!(plan.signature().to_string(), "func(a: s32, b: s32) -> s32");
    assert_eq!(guest.call(&plan, "add", &[6.into(), 7.into()]).unwrap(), Payload::Int(13));
    assert_eq!(plan.read_arguments(&["6".to_owned(), "7".to_owned()]).unwrap(), [Payload::Int(6), Payload::Int(7)]);
    assert_eq!(
        plan.check(&[1.into()]).unwrap_err().to_string(),
        "expected 2 arguments, found 1; the signature is `add: func(a: s32, b: s32) -> s32`"
    );
    let plan = guest.plan("greet");
    assert_eq!(guest.call(&plan, "greet", &["Ann".into()]).unwrap(), Payload::from("Ann"));
    assert_eq!(guest.call(&plan, "greet", &[Bytes::from("Ann").into()]).unwrap(), Payload::from("Ann"));
    let plan = guest.plan("nothing");
    assert_eq!(guest.call(&plan, "nothing", &[]).unwrap(), Payload::Nil);
}

fn plan_of(text: &str) -> Result<ComponentPlan, String> {
    let engine = Engine::default();
    let component = Component::new(&engine, text).unwrap();
    match component.component_type().get_export(&engine, "f").unwrap().ty {
        ComponentItem::ComponentFunc(func) => ComponentPlan::new("f", &func).map_err(|error| error.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn resources_are_refused_when_the_plan_is_made() {
    let error = plan_of(
        r#"(component
            (type $r' (resource (rep i32))) (export $r "r" (type $r'))
            (core module $m (func (export "f") (param i32)))
            (core instance $i (instantiate $m))
            (func (export "f") (param "handle" (own $r)) (canon lift (core func $i "f"))))"#,
    );
    let reason = "`f: func(handle: own<resource>)` takes or returns `own<resource>`, which cannot be passed";
    assert_eq!(error.unwrap_err(), format!("{reason}; export a function without it"));
}

#[test]
fn types_that_double_at_every_level_do_not_explode() {
    // 14 definitions, 65,535 parts as a tree; the engine itself stops at a million.
    let levels: String = (1..15).map(|n| format!("(type $t{n} (tuple $t{} $t{}))\n", n - 1, n - 1)).collect();
    let error = plan_of(&format!(
        r#"(component
            (type $t0 (tuple u8 u8))
            {levels}
            (core module $m (func (export "f") (param i32 i32)) (memory (export "memory") 1)
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable))
            (core instance $i (instantiate $m))
            (func (export "f") (param "v" (list $t14))
                (canon lift (core func $i "f")
                    (memory (core memory $i "memory")) (realloc (core func $i "cabi_realloc")))))"#
    ));
    assert_eq!(error.unwrap_err(), "`f`: the types of the signature have more than 20000 parts");
}
