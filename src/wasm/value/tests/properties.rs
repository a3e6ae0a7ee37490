//! What must hold for every type and every value.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError};
use wasmtime::Engine;
use wasmtime::component::wasm_wave;

use super::super::convert::{lift, lower};
use super::super::core::testing;
use super::super::error::Path;
use super::super::example::example;
use super::super::forms::{named_form, wippy_form};
use super::super::text::read_text;
use super::arbitrary::{any_type, assert_same, flat_type, typed_value, value_of};
use super::guest::{CoreGuest, Guest, HEAP, WatTypes};
use super::{Param, Payload, Signature, WitType, accepted, wit_text};

/// `tuple<T, u32, …>` with so many numbers that it never fits the core values of a call.
fn in_memory(ty: &WitType) -> WitType {
    WitType::Tuple(std::iter::once(ty.clone()).chain(vec![WitType::U32; 16]).collect())
}

fn filled(value: &Payload) -> Payload {
    Payload::List(std::iter::once(value.clone()).chain((0..16).map(Payload::from)).collect())
}

fn first(value: Payload) -> Payload {
    value.at(0).cloned().unwrap_or_else(|| panic!("no first value in {value}"))
}

fn fail(error: impl std::fmt::Debug) -> TestCaseError {
    TestCaseError::fail(format!("{error:?}"))
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    /// An exact value is accepted as it is, becomes a component value, and comes back.
    #[test]
    fn payload_to_val_to_payload((ty, value) in typed_value(any_type())) {
        assert_same(&accepted(&value, &ty).map_err(fail)?, &value)?;
        let val = lower(&value, &ty, "value").map_err(fail)?;
        assert_same(&lift(&val, &ty).map_err(fail)?, &value)?;
    }

    /// What a script sees of a result means the same value where it is an argument, but for a `none` in an option.
    #[test]
    fn payload_to_form_to_payload((ty, value) in typed_value(any_type())) {
        let signature = Signature::new(vec![], vec![ty.clone()]);
        let named = named_form(&value, &signature).map_err(fail)?;
        assert_same(&accepted(&named, &ty).map_err(fail)?, &value)?;
        let wippy = wippy_form(&value, &signature).map_err(fail)?;
        let again = accepted(&wippy, &ty).map_err(fail)?;
        let form = wippy_form(&again, &signature).map_err(fail)?;
        assert_same(&form, &wippy)?;
        if !value.to_string().contains(r#""some":null"#) {
            assert_same(&again, &value)?;
        }
    }

    /// What is printed as JSON means the same value when it is typed.
    #[test]
    fn payload_to_json_to_payload((ty, value) in typed_value(any_type())) {
        let text = value.to_string();
        let parsed = Payload::parse_json(&text).map_err(fail)?;
        prop_assert_eq!(parsed.to_string(), text.clone());
        assert_same(&accepted(&parsed, &ty).map_err(fail)?, &value)?;
        let standard: serde_json::Value = serde_json::from_str(&text).map_err(fail)?;
        prop_assert_eq!(Payload::from_json(&standard).to_json(), standard);
    }

    /// What the engine writes as WAVE means the same value when it is typed.
    #[test]
    fn payload_to_wave_to_payload((ty, value) in typed_value(any_type())) {
        let val = lower(&value, &ty, "value").map_err(fail)?;
        let text = match &ty {
            WitType::String | WitType::Char => value.as_str().unwrap_or_default().to_owned(),
            _ => wasm_wave::to_string(&val).map_err(fail)?,
        };
        assert_same(&read_text(&text, &ty, &Path::Argument(1)).map_err(fail)?, &value)?;
    }

    /// The example in an error is a value that would have been right.
    #[test]
    fn examples_are_valid(ty in any_type()) {
        let example = example(&ty);
        prop_assert!(read_text(&example, &ty, &Path::Argument(1)).is_ok(), "`{}` for `{}`", example, ty);
    }

    /// A type as it is shown reads as itself.
    #[test]
    fn types_read_as_shown(params in prop::collection::vec(any_type(), 0..3), result in prop::option::of(any_type())) {
        let params = params.into_iter().enumerate().map(|(index, ty)| Param { name: format!("p{index}"), ty }).collect();
        let signature = Signature::new(params, result.into_iter().collect());
        let functions = wit_text::parse(&format!("f: {signature};")).map_err(fail)?;
        prop_assert_eq!(&functions["f"], &signature);
    }

    /// No value and no type make anything panic, and no error is without its path.
    #[test]
    fn any_value_for_any_type(ty in any_type(), (_, value) in typed_value(any_type()), text in ".{0,20}") {
        if let Err(error) = accepted(&value, &ty) {
            prop_assert!(error.to_string().starts_with("argument 1"), "{}", error);
        }
        if let Err(error) = read_text(&text, &ty, &Path::Argument(1)) {
            prop_assert!(error.to_string().starts_with("argument 1"), "{}", error);
        }
    }

    /// Core values hold what memory holds: choices share them with casts between their types.
    #[test]
    fn flat_values_survive((ty, value) in typed_value(any_type())) {
        assert_same(&testing::through_words(value.clone(), &ty).map_err(fail)?, &value)?;
    }
}

proptest! {
    // Every case compiles a guest, so they are fewer; `PROPTEST_CASES` scales both.
    #![proptest_config(Config { cases: Config::default().cases / 4, failure_persistence: None, ..Config::default() })]

    /// A component hands back what it gets; and our layout in memory is the engine's, read and written.
    #[test]
    fn values_survive_a_component((ty, value) in typed_value(any_type())) {
        let engine = Engine::default();
        let mut wat = WatTypes::default();
        let whole = in_memory(&ty);
        let wide = wat.reference(&whole);
        let pair = format!("(tuple {} u32)", wat.reference(&ty));
        let exports = [
            ("same", "id", format!("(param \"v\" {wide}) (result {pair})")),
            ("dump", "dump", format!("(param \"v\" {wide}) (result (list u8))")),
            ("load", "load", format!("(param \"image\" (list u8)) (param \"root\" u32) (result {wide})")),
        ];
        let exports: Vec<_> = exports.iter().map(|(name, core, ty)| (*name, *core, ty.as_str())).collect();
        let mut guest = Guest::new(&engine, &wat.definitions, "", &exports);
        let given = filled(&value);

        let plan = guest.plan("same");
        prop_assert_eq!(&plan.signature().params()[0].ty, &whole);
        let back = guest.call(&plan, "same", std::slice::from_ref(&given)).map_err(fail)?;
        assert_same(&first(back), &value)?;

        let (image, root) = testing::image(given.clone(), &whole, HEAP).map_err(fail)?;
        let read = guest.call(&guest.plan("load"), "load", &[Payload::from(image), Payload::from(root)]).map_err(fail)?;
        assert_same(&read, &given)?;

        let memory = guest.call(&guest.plan("dump"), "dump", std::slice::from_ref(&given)).map_err(fail)?;
        let memory = memory.as_bytes().unwrap_or_default().to_vec();
        let root = u32::from_le_bytes([memory[0], memory[1], memory[2], memory[3]]);
        assert_same(&testing::read(&memory, root, &whole).map_err(fail)?, &given)?;
    }

    /// Our core values are the engine's: their types, or the component would not validate, and their bits.
    #[test]
    fn core_values_are_the_engines((ty, value) in typed_value(flat_type())) {
        let flat = testing::flat_names(&ty);
        prop_assume!(flat.len() <= 16);
        let stores: String = flat.iter().enumerate().map(|(index, flat)| {
            let bits = match *flat {
                "i32" => "i64.extend_i32_u",
                "f32" => "i64.extend_i32_u (i32.reinterpret_f32",
                "f64" => "i64.reinterpret_f64",
                _ => "i64.add (i64.const 0)",
            };
            let close = if *flat == "f32" { ")" } else { "" };
            format!("(i64.store (i32.const {}) ({bits} (local.get {index}){close}))\n", 64 + 8 * index)
        }).collect();
        let core = format!(
            "(func (export \"flat\") (param {}) (result i32) {stores}
                (i32.store (i32.const 16) (i32.const 64)) (i32.store (i32.const 20) (i32.const {})) (i32.const 16))",
            flat.join(" "), flat.len()
        );
        let engine = Engine::default();
        let mut wat = WatTypes::default();
        let reference = wat.reference(&ty);
        let export = format!("(param \"v\" {reference}) (result (list u64))");
        let mut guest = Guest::new(&engine, &wat.definitions, &core, &[("flat", "flat", &export)]);
        let words = guest.call(&guest.plan("flat"), "flat", std::slice::from_ref(&value)).map_err(fail)?;
        let ours: Payload = testing::words(value, &ty).map_err(fail)?.into_iter().map(Payload::from).collect();
        prop_assert_eq!(words, ours);
    }

    /// A core module hands back what it gets.
    #[test]
    fn values_survive_a_core_module((ty, value) in typed_value(any_type())) {
        let mut guest = CoreGuest::new();
        let whole = in_memory(&ty);
        let plan = guest.plan("id", &format!("func(v: {whole}) -> {whole}"));
        let given = filled(&value);
        let back = guest.call(&plan, std::slice::from_ref(&given)).map_err(fail)?;
        assert_same(&back, &given)?;
    }
}

/// The generator reaches every kind of type, or the properties above would say less than they seem to.
#[test]
fn the_generator_reaches_every_kind_of_type() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut missing = vec![
        "bool",
        "s8",
        "u8",
        "s16",
        "u16",
        "s32",
        "u32",
        "s64",
        "u64",
        "f32",
        "f64",
        "char",
        "string",
        "list<",
        "list<u8>",
        "option<",
        "option<option<",
        "tuple<",
        "result<_,",
        "result<",
        "result",
        "record",
        "variant",
        "enum",
        "flags",
    ];
    for _ in 0..4000 {
        let ty = any_type().new_tree(&mut runner).unwrap().current();
        // A value can be made of each.
        value_of(&ty).new_tree(&mut runner).unwrap();
        let shown = ty.to_string();
        missing.retain(|kind| !shown.contains(kind));
    }
    assert_eq!(missing, Vec::<&str>::new());
}
