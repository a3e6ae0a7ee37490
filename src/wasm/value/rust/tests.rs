use super::*;

fn round<T: WitValue + Clone + PartialEq + std::fmt::Debug>(value: T) {
    let ty = T::wit_type();
    let payload = value.clone().into_payload();
    let accepted = accept(&payload, &ty, &Path::Root("value")).expect("its own type takes it");
    assert_eq!(accepted, payload, "it is in the exact shape");
    assert_eq!(T::from_payload(accepted, &ty).expect("its own type"), value);
}

crate::wit_record! {
    #[derive(Clone, Debug, PartialEq)]
    struct Place { first_line: String, number: Option<u8> }
}

#[test]
fn values_come_back_as_they_were() {
    round(true);
    round((i8::MIN, i16::MIN, i32::MIN, i64::MIN));
    round((u8::MAX, u16::MAX, u32::MAX, u64::MAX));
    round((1.5_f32, -0.25_f64, 'x', "text".to_owned()));
    round((vec![1_u8, 255], Bytes::from_static(b"ab"), vec!["a".to_owned()], Vec::<u32>::new()));
    round((None::<u32>, Some(7_u32), Some(None::<u32>), Some(Some(1_u32)), None::<Option<u32>>));
    round::<Result<u32, String>>(Ok(1));
    round::<Result<(), String>>(Err("no".into()));
    round::<Result<Vec<u8>, ()>>(Err(()));
    round(vec![Place { first_line: "a".into(), number: Some(3) }]);
}

#[test]
fn numbers_of_a_core_module_have_the_width_and_no_sign() {
    assert!(u32::fits(&WitType::I32) && i32::fits(&WitType::I32) && !u64::fits(&WitType::I32));
    assert_eq!(u32::from_payload(Payload::Int(-1), &WitType::I32).expect("bits"), u32::MAX);
    assert_eq!(u64::from_payload(Payload::Int(-1), &WitType::I64).expect("bits"), u64::MAX);
    assert!(u32::from_payload(Payload::Int(-1), &WitType::U32).is_err());
}

#[test]
fn what_is_of_another_type_is_told() {
    let error = u8::from_payload(Payload::Int(256), &WitType::U8).unwrap_err();
    assert_eq!(error.to_string(), "value: 256 does not fit u8");
    let error = <(u8, u8)>::from_payload(Payload::List(vec![]), &<(u8, u8)>::wit_type()).unwrap_err();
    assert_eq!(error.to_string(), "value: expected `tuple<u8, u8>`, found a list of 0");
    assert!(!Place::fits(&WitType::Record(vec![])));
}

#[test]
fn a_payload_takes_everything() {
    assert!(<Vec<Payload>>::fits(&WitType::List(Box::new(WitType::Char))));
    let shown = signature_of::<(Payload, u32), ()>().to_string();
    assert_eq!(shown, "func(p0: any, p1: u32)");
}
