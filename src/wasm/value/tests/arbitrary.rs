//! Random types, and random values of a type in exact shape.

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::super::accept::single_key;
use super::{Case, Field, Payload, WitType};

/// Names of fields, cases and flags; some are words that WAVE keeps for itself.
fn name(index: usize) -> String {
    ["id", "none", "some", "ok", "err", "true", "inf", "a-b-c"]
        .get(index)
        .map_or(format!("n{index}"), |&n| n.to_owned())
}

/// A random type of all that a component can say, nested up to four deep.
pub(crate) fn any_type() -> BoxedStrategy<WitType> {
    nested(prop_oneof![scalar(), Just(WitType::String)].boxed(), true)
}

/// A random type whose values have nothing in memory.
pub(super) fn flat_type() -> BoxedStrategy<WitType> {
    nested(scalar(), false)
}

fn scalar() -> BoxedStrategy<WitType> {
    use WitType::*;
    let numbers = prop::sample::select(vec![Bool, S8, U8, S16, U16, S32, U32, S64, U64, F32, F64, Char]);
    let names = |max| (1..=max).prop_map(|count| (0..count).map(name).collect::<Vec<_>>());
    prop_oneof![8 => numbers, 1 => names(300).prop_map(Enum), 1 => names(32usize).prop_map(Flags)].boxed()
}

fn nested(leaf: BoxedStrategy<WitType>, with_lists: bool) -> BoxedStrategy<WitType> {
    leaf.prop_recursive(3, 16, 4, move |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let maybe = prop::option::of(boxed.clone());
        let several = |max| prop::collection::vec(inner.clone(), 1..=max);
        let list = if with_lists { boxed.clone().prop_map(WitType::List).boxed() } else { inner.clone().boxed() };
        prop_oneof![
            list,
            boxed.prop_map(WitType::Option),
            several(4).prop_map(WitType::Tuple),
            (maybe.clone(), maybe).prop_map(|(ok, err)| WitType::Result { ok, err }),
            several(4).prop_map(|types| {
                let fields = types.into_iter().enumerate().map(|(index, ty)| Field { name: name(index), ty });
                WitType::Record(fields.collect())
            }),
            prop::collection::vec(prop::option::of(inner.clone()), 1..=5).prop_map(|types| {
                let cases = types.into_iter().enumerate().map(|(index, ty)| Case { name: name(index), ty });
                WitType::Variant(cases.collect())
            }),
        ]
    })
    .boxed()
}

/// A random value of a type in exact shape.
pub(crate) fn value_of(ty: &WitType) -> BoxedStrategy<Payload> {
    let payload_of = |ty: &Option<Box<WitType>>| match ty {
        Some(ty) => value_of(ty),
        None => Just(Payload::Nil).boxed(),
    };
    match ty {
        WitType::Bool => any::<bool>().prop_map(Payload::from).boxed(),
        WitType::S8 => any::<i8>().prop_map(Payload::from).boxed(),
        WitType::U8 => any::<u8>().prop_map(Payload::from).boxed(),
        WitType::S16 => any::<i16>().prop_map(Payload::from).boxed(),
        WitType::U16 => any::<u16>().prop_map(Payload::from).boxed(),
        WitType::S32 | WitType::I32 => any::<i32>().prop_map(Payload::from).boxed(),
        WitType::U32 => any::<u32>().prop_map(Payload::from).boxed(),
        WitType::S64 | WitType::I64 => any::<i64>().prop_map(Payload::from).boxed(),
        WitType::U64 => any::<u64>().prop_map(Payload::from).boxed(),
        WitType::F32 => prop_oneof![any::<f32>(), Just(f32::NAN), Just(f32::NEG_INFINITY), Just(-0.0)]
            .prop_map(Payload::from)
            .boxed(),
        WitType::F64 => {
            prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(-0.0)].prop_map(Payload::from).boxed()
        }
        WitType::Char => any::<char>().prop_map(Payload::from).boxed(),
        WitType::String => any::<String>().prop_map(Payload::from).boxed(),
        WitType::List(element) if **element == WitType::U8 => any::<Vec<u8>>().prop_map(Payload::from).boxed(),
        WitType::List(element) => prop::collection::vec(value_of(element), 0..4).prop_map(Payload::List).boxed(),
        WitType::Option(some) => {
            let wraps = matches!(**some, WitType::Option(_));
            let value = value_of(some).prop_map(move |value| if wraps { single_key("some", value) } else { value });
            prop_oneof![Just(Payload::Nil), value].boxed()
        }
        WitType::Tuple(types) => types.iter().map(value_of).collect::<Vec<_>>().prop_map(Payload::List).boxed(),
        WitType::Result { ok, err } => prop_oneof![
            payload_of(ok).prop_map(|value| single_key("ok", value)),
            payload_of(err).prop_map(|value| single_key("err", value)),
        ]
        .boxed(),
        WitType::Record(fields) => {
            let names: Vec<_> = fields.iter().map(|field| field.name.clone()).collect();
            let values = fields.iter().map(|field| value_of(&field.ty)).collect::<Vec<_>>();
            values.prop_map(move |values| names.iter().cloned().zip(values).collect()).boxed()
        }
        WitType::Variant(cases) => {
            let cases = cases.iter().map(|case| {
                let name = case.name.clone();
                match &case.ty {
                    Some(ty) => value_of(ty).prop_map(move |value| single_key(&name, value)).boxed(),
                    None => Just(Payload::String(name)).boxed(),
                }
            });
            proptest::strategy::Union::new(cases).boxed()
        }
        WitType::Enum(names) => prop::sample::select(names.clone()).prop_map(Payload::String).boxed(),
        WitType::Flags(names) => subsequence(names.clone(), 0..=names.len())
            .prop_map(|names| names.into_iter().map(Payload::String).collect())
            .boxed(),
        WitType::Refused(name) => panic!("no value of `{name}` can be made"),
    }
}

/// A random type with a value of it.
pub(super) fn typed_value(ty: BoxedStrategy<WitType>) -> impl Strategy<Value = (WitType, Payload)> {
    ty.prop_flat_map(|ty| value_of(&ty).prop_map(move |value| (ty.clone(), value)))
}

/// Equality that counts NaN as equal to itself and tells zeros apart.
pub(crate) fn assert_same(found: &Payload, expected: &Payload) -> Result<(), TestCaseError> {
    prop_assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    Ok(())
}
