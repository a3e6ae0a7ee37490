//! Random values of random types: from a script into a guest that hands back what it gets, and back, in both forms.

use std::fmt::Write as _;

use indexmap::IndexMap;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError};
use sha2::{Digest as _, Sha256};

use super::Runtime;
use crate::process::{Exit, FormError, Payload, SpawnError};
use crate::wasm::value::tests::arbitrary::{any_type, assert_same, value_of};
use crate::wasm::value::tests::guest::{WatTypes, component};
use crate::wasm::value::{Signature, WitType, named_form, wippy_form};

/// Sends a value to an entry, and answers what comes back when it is the same for a script. The guest gets it with so many
/// numbers behind it that all of them go through memory, and hands back the place.
const SCRIPT: &str = r#"
return {
  main = function(entry, value)
    local given = { value, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }
    local answer, problem = process.exec(entry, "app:processes", given)
    if problem then error(problem) end
    if answer[2] ~= 0 or not same(answer[1], value) then error("another value came back") end
    return answer[1]
  end,
}
"#;

/// An application around a guest with the function `eN` for the type `N`, as the entries `wippyN` and `namedN`.
fn runtime(types: &[WitType]) -> (Runtime, tempfile::TempDir) {
    let mut wat = WatTypes::default();
    let functions: Vec<_> = (0..)
        .zip(types)
        .map(|(number, ty): (u32, _)| {
            let ty = wat.reference(ty);
            let numbers = " u32".repeat(16);
            (format!("e{number}"), format!("(param \"v\" (tuple {ty}{numbers})) (result (tuple {ty} u32))"))
        })
        .collect();
    let exports: Vec<_> = functions.iter().map(|(name, ty)| (name.as_str(), "id", ty.as_str())).collect();
    let binary = wat::parse_str(component(&wat.definitions, "", &exports)).unwrap();
    let hash = format!("sha256:{:x}", Sha256::digest(&binary));
    let mut index = "version: '1.0'\nnamespace: app\nentries:\n- { name: processes, kind: process.host }\n\
                     - { name: wasm, kind: fs.directory, directory: . }\n\
                     - { name: same, kind: library.lua, source: file://same.lua }\n\
                     - { name: script, kind: process.lua, source: file://script.lua, method: main, imports: { same: 'app:same' } }\n"
        .to_owned();
    for number in 0..types.len() {
        for form in ["wippy", "named"] {
            let binary = format!("fs: wasm, path: /echo.wasm, hash: '{hash}', method: e{number}");
            let _ = writeln!(index, "- {{ name: {form}{number}, kind: process.wasm, {binary}, values: {form} }}");
        }
    }
    let app = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 4] = [
        ("_index.yaml", index.as_bytes()),
        ("same.lua", include_bytes!("../../fixtures/same.lua")),
        ("script.lua", SCRIPT.as_bytes()),
        ("echo.wasm", &binary),
    ];
    for (name, content) in files {
        std::fs::write(app.path().join(name), content).unwrap();
    }
    (Runtime::builder().load(app.path()).cache(false).build().unwrap(), app)
}

/// What is left of a value in a table: no nil as a field or at the end of a list, and no difference between an empty list
/// and an empty map, or between bytes and the text that they are.
fn as_table(value: &Payload) -> Payload {
    match value {
        Payload::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Payload::from(text),
            Err(_) => value.clone(),
        },
        Payload::List(items) => {
            let length = items.iter().rposition(|item| !item.is_nil()).map_or(0, |last| last + 1);
            items[..length].iter().map(as_table).collect()
        }
        Payload::Map(entries) => {
            let entries = entries.iter().filter(|(_, value)| !value.is_nil());
            let entries: IndexMap<_, _> = entries.map(|(name, value)| (name.clone(), as_table(value))).collect();
            if entries.is_empty() { Payload::List(Vec::new()) } else { Payload::Map(entries) }
        }
        other => other.clone(),
    }
}

/// Whether there is a number beyond those of Lua in it.
fn is_beyond(value: &Payload) -> bool {
    match value {
        Payload::UInt(_) => true,
        Payload::List(items) => items.iter().any(is_beyond),
        Payload::Map(entries) => entries.values().any(is_beyond),
        _ => false,
    }
}

/// The same in fields of maps whose order a table does not keep.
fn sorted(value: Payload) -> Payload {
    match value {
        Payload::List(items) => items.into_iter().map(sorted).collect(),
        Payload::Map(mut entries) => {
            entries.sort_keys();
            Payload::Map(entries.into_iter().map(|(name, value)| (name, sorted(value))).collect())
        }
        other => other,
    }
}

type Form = for<'a> fn(&'a Payload, &Signature) -> Result<std::borrow::Cow<'a, Payload>, FormError>;

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(12) })]

    #[test]
    fn values_survive_a_script_and_a_component(
        types in prop::collection::vec(
            any_type().prop_flat_map(|ty| (prop::collection::vec(value_of(&ty), 3), Just(ty))),
            8,
        ),
    ) {
        let (values, types): (Vec<_>, Vec<_>) = types.into_iter().unzip();
        let (runtime, _app) = runtime(&types);
        let forms: [(&str, Form); 2] = [("wippy", wippy_form), ("named", named_form)];
        let mut expected = Vec::new();
        for (number, (values, ty)) in values.iter().zip(&types).enumerate() {
            let signature = Signature::new(vec![], vec![ty.clone()]);
            for (value, (name, form)) in values.iter().flat_map(|value| forms.iter().map(move |form| (value, form))) {
                let given = form(value, &signature).unwrap().into_owned();
                let process = runtime.spawn("app:script", [format!("app:{name}{number}").into(), given.clone()]);
                match process {
                    Ok(process) => expected.push((process, given, format!("{value} of {ty} as {name}"))),
                    Err(SpawnError::Arguments { .. }) if is_beyond(&given) => {}
                    Err(error) => return Err(TestCaseError::fail(format!("{given} of {ty}: {error}"))),
                }
            }
        }
        for (process, given, what) in expected {
            match process.wait() {
                Exit::Returned(found) => assert_same(&sorted(found), &sorted(as_table(&given)))?,
                exit => return Err(TestCaseError::fail(format!("{what}: {exit}"))),
            }
        }
    }
}
