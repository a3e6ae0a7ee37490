//! Rust types as types of WIT: what typed calls and host functions of an embedder pass.
//!
//! A value goes through [`Payload`], so one Rust signature does for a component, a core module, a script and a native
//! program. Common signatures of components pass without the engine's dynamic values all the same: see `typed`.

use bytes::Bytes;

use super::accept::{accept, single_key};
use super::convert::wrap_some;
use super::error::Path;
use super::{Param, Signature, ValueError, WitType};
use crate::process::Payload;

/// A Rust type whose values a guest can be given, and give.
///
/// | Rust | WIT |
/// |---|---|
/// | `bool`, `char`, `String` | the same |
/// | `i8` … `i64`, `u8` … `u64`, `f32`, `f64` | `s8` … `s64`, `u8` … `u64`, `f32`, `f64`; of a core module's numbers those of the same width |
/// | `Vec<T>`, `Option<T>`, tuples | `list<T>`, `option<T>`, `tuple<…>` |
/// | `Vec<u8>`, [`Bytes`] | `list<u8>`; `Bytes` is not copied |
/// | `Result<T, E>` | `result<T, E>`, with `()` for a side without a value |
/// | a struct of [`wit_record!`](crate::wit_record) | `record` |
/// | [`Payload`] | every type: what does not fit is told when it is called |
///
/// ```
/// use wippy::wasm::value::{WitType, WitValue};
///
/// assert_eq!(<Vec<(String, Option<u32>)>>::wit_type().to_string(), "list<tuple<string, option<u32>>>");
/// assert_eq!(<Result<u64, String>>::wit_type().to_string(), "result<u64, string>");
/// assert!(u32::fits(&WitType::U32) && !u32::fits(&WitType::S32));
/// ```
pub trait WitValue: Sized + Send + 'static {
    /// The type in WIT.
    fn wit_type() -> WitType;

    /// Whether values of this type of a guest are of the Rust type.
    fn fits(ty: &WitType) -> bool {
        *ty == Self::wit_type()
    }

    /// The value for a guest.
    fn into_payload(self) -> Payload;

    /// The value of a guest, which has the type `ty`.
    ///
    /// # Errors
    /// It is of another type: of a script, for example, which has none.
    fn from_payload(value: Payload, ty: &WitType) -> Result<Self, ValueError>;

    /// Values of this type as a list; only bytes are another one.
    #[doc(hidden)]
    fn list_into_payload(items: Vec<Self>) -> Payload {
        items.into_iter().map(Self::into_payload).collect()
    }

    /// The other way.
    #[doc(hidden)]
    fn list_from_payload(value: Payload, ty: &WitType) -> Result<Vec<Self>, ValueError> {
        match (value, ty) {
            (Payload::List(items), WitType::List(element)) => {
                items.into_iter().map(|item| Self::from_payload(item, element)).collect()
            }
            (other, ty) => Err(unlike(&other, ty)),
        }
    }
}

/// What a function returns, or a side of a `result` holds: a [`WitValue`], or `()` for nothing.
pub trait WitReturn: Sized + Send + 'static {
    /// The type in WIT; none when there is no value.
    fn return_type() -> Option<WitType>;

    /// Whether this type of a guest is the Rust type.
    fn returns(ty: Option<&WitType>) -> bool;

    /// The value for a guest; nil for nothing.
    fn into_return(self) -> Payload;

    /// The value of a guest.
    ///
    /// # Errors
    /// See [`WitValue::from_payload`].
    fn from_return(value: Payload, ty: Option<&WitType>) -> Result<Self, ValueError>;
}

/// The parameters of a function: a tuple of up to twelve [`WitValue`]s.
///
/// ```
/// use wippy::wasm::value::WitParams;
///
/// let shown: Vec<_> = <(u32, String)>::wit_types().iter().map(ToString::to_string).collect();
/// assert_eq!(shown, ["u32", "string"]);
/// ```
pub trait WitParams: Sized + Send + 'static {
    /// Their types in WIT.
    fn wit_types() -> Vec<WitType>;

    /// Whether parameters of these types of a guest are the Rust types.
    fn fits(types: &[&WitType]) -> bool;

    /// The values for a guest.
    fn into_payloads(self) -> Vec<Payload>;

    /// The values of a guest, as many as there are types; a missing one counts as nil.
    ///
    /// # Errors
    /// See [`WitValue::from_payload`].
    fn from_payloads(values: Vec<Payload>, types: &[WitType]) -> Result<Self, ValueError>;
}

/// The signature that Rust types say, with the names that parameters have where none is known.
pub(crate) fn signature_of<P: WitParams, R: WitReturn>() -> Signature {
    let param = |(index, ty)| Param { name: format!("p{index}"), ty };
    Signature::new(P::wit_types().into_iter().enumerate().map(param).collect(), R::return_type().into_iter().collect())
}

/// Whether a guest's function has these Rust types.
pub(crate) fn fits<P: WitParams, R: WitReturn>(signature: &Signature) -> bool {
    let params: Vec<_> = signature.params().iter().map(|param| &param.ty).collect();
    P::fits(&params) && R::returns(result_type(signature).as_ref())
}

/// What a function returns, several results of a core module as a tuple.
pub(crate) fn result_type(signature: &Signature) -> Option<WitType> {
    match signature.results() {
        [] => None,
        [ty] => Some(ty.clone()),
        types => Some(WitType::Tuple(types.to_vec())),
    }
}

#[doc(hidden)]
pub fn unlike(value: &Payload, ty: &WitType) -> ValueError {
    Path::Root("value").kind_error(value, ty)
}

/// A value in the exact shape of a type: that of a script may be in another one.
fn exact(value: &Payload, ty: &WitType) -> Result<Payload, ValueError> {
    accept(value, ty, &Path::Root("value"))
}

macro_rules! whole_numbers {
    ($($rust:ty, $wit:ident $(, $core:ident)?;)*) => {$(
        impl WitValue for $rust {
            fn wit_type() -> WitType {
                WitType::$wit
            }

            fn fits(ty: &WitType) -> bool {
                matches!(ty, WitType::$wit $(| WitType::$core)?)
            }

            fn into_payload(self) -> Payload {
                self.into()
            }

            fn from_payload(value: Payload, ty: &WitType) -> Result<Self, ValueError> {
                match (&value, ty) {
                    // The number of a core module has no sign: its bits are what it is.
                    $((Payload::Int(number), WitType::$core) => Ok(*number as $rust),)?
                    (Payload::Int(number), _) if <$rust>::try_from(*number).is_ok() => Ok(*number as $rust),
                    _ => match exact(&value, &WitType::$wit)? {
                        Payload::Int(number) => Ok(number as $rust),
                        Payload::UInt(number) => Ok(number as $rust),
                        other => Err(unlike(&other, ty)),
                    },
                }
            }
        }
    )*};
}

whole_numbers! {
    i8, S8;
    i16, S16;
    u16, U16;
    i32, S32, I32;
    u32, U32, I32;
    i64, S64, I64;
    u64, U64, I64;
}

impl WitValue for u8 {
    fn wit_type() -> WitType {
        WitType::U8
    }

    fn into_payload(self) -> Payload {
        self.into()
    }

    fn from_payload(value: Payload, ty: &WitType) -> Result<Self, ValueError> {
        let exact = exact(&value, &WitType::U8)?;
        exact.as_u64().and_then(|number| u8::try_from(number).ok()).ok_or_else(|| unlike(&value, ty))
    }

    fn list_into_payload(items: Vec<u8>) -> Payload {
        items.into()
    }

    fn list_from_payload(value: Payload, ty: &WitType) -> Result<Vec<u8>, ValueError> {
        Bytes::from_payload(value, ty).map(Vec::from)
    }
}

impl WitValue for Bytes {
    fn wit_type() -> WitType {
        WitType::List(Box::new(WitType::U8))
    }

    fn into_payload(self) -> Payload {
        self.into()
    }

    fn from_payload(value: Payload, _: &WitType) -> Result<Self, ValueError> {
        match value {
            Payload::Bytes(bytes) => Ok(bytes),
            other => match exact(&other, &Self::wit_type())? {
                Payload::Bytes(bytes) => Ok(bytes),
                other => Err(unlike(&other, &Self::wit_type())),
            },
        }
    }
}

impl WitValue for bool {
    fn wit_type() -> WitType {
        WitType::Bool
    }

    fn into_payload(self) -> Payload {
        self.into()
    }

    fn from_payload(value: Payload, ty: &WitType) -> Result<Self, ValueError> {
        value.as_bool().ok_or_else(|| unlike(&value, ty))
    }
}

impl WitValue for char {
    fn wit_type() -> WitType {
        WitType::Char
    }

    fn into_payload(self) -> Payload {
        self.into()
    }

    fn from_payload(value: Payload, ty: &WitType) -> Result<Self, ValueError> {
        let exact = exact(&value, &WitType::Char)?;
        exact.as_str().and_then(|text| text.chars().next()).ok_or_else(|| unlike(&value, ty))
    }
}

impl WitValue for String {
    fn wit_type() -> WitType {
        WitType::String
    }

    fn into_payload(self) -> Payload {
        self.into()
    }

    fn from_payload(value: Payload, ty: &WitType) -> Result<Self, ValueError> {
        match value {
            Payload::String(text) => Ok(text),
            other => match exact(&other, &WitType::String)? {
                Payload::String(text) => Ok(text),
                other => Err(unlike(&other, ty)),
            },
        }
    }
}

macro_rules! floats {
    ($($rust:ty, $wit:ident;)*) => {$(
        impl WitValue for $rust {
            fn wit_type() -> WitType {
                WitType::$wit
            }

            fn into_payload(self) -> Payload {
                self.into()
            }

            fn from_payload(value: Payload, ty: &WitType) -> Result<Self, ValueError> {
                let exact = exact(&value, &WitType::$wit)?;
                exact.as_f64().map(|number| number as $rust).ok_or_else(|| unlike(&value, ty))
            }
        }
    )*};
}

floats! {
    f32, F32;
    f64, F64;
}

impl<T: WitValue> WitValue for Vec<T> {
    fn wit_type() -> WitType {
        WitType::List(Box::new(T::wit_type()))
    }

    fn fits(ty: &WitType) -> bool {
        matches!(ty, WitType::List(element) if T::fits(element))
    }

    fn into_payload(self) -> Payload {
        T::list_into_payload(self)
    }

    fn from_payload(value: Payload, ty: &WitType) -> Result<Self, ValueError> {
        T::list_from_payload(value, ty)
    }
}

impl<T: WitValue> WitValue for Option<T> {
    fn wit_type() -> WitType {
        WitType::Option(Box::new(T::wit_type()))
    }

    fn fits(ty: &WitType) -> bool {
        matches!(ty, WitType::Option(some) if T::fits(some))
    }

    fn into_payload(self) -> Payload {
        self.map_or(Payload::Nil, |value| wrap_some(value.into_payload(), &T::wit_type()))
    }

    fn from_payload(value: Payload, ty: &WitType) -> Result<Self, ValueError> {
        match (value, ty) {
            (Payload::Nil, _) => Ok(None),
            (Payload::Map(mut entries), WitType::Option(some)) if matches!(**some, WitType::Option(_)) => {
                T::from_payload(entries.swap_remove("some").unwrap_or_default(), some).map(Some)
            }
            (value, WitType::Option(some)) => T::from_payload(value, some).map(Some),
            (other, ty) => Err(unlike(&other, ty)),
        }
    }
}

impl<T: WitReturn, E: WitReturn> WitValue for Result<T, E> {
    fn wit_type() -> WitType {
        WitType::Result { ok: T::return_type().map(Box::new), err: E::return_type().map(Box::new) }
    }

    fn fits(ty: &WitType) -> bool {
        matches!(ty, WitType::Result { ok, err } if T::returns(ok.as_deref()) && E::returns(err.as_deref()))
    }

    fn into_payload(self) -> Payload {
        match self {
            Ok(value) => single_key("ok", value.into_return()),
            Err(error) => single_key("err", error.into_return()),
        }
    }

    fn from_payload(value: Payload, ty: &WitType) -> Result<Self, ValueError> {
        match (value, ty) {
            (Payload::Map(mut entries), WitType::Result { ok, err }) if entries.len() == 1 => {
                match (entries.swap_remove("ok"), entries.swap_remove("err")) {
                    (Some(value), _) => T::from_return(value, ok.as_deref()).map(Ok),
                    (None, Some(error)) => E::from_return(error, err.as_deref()).map(Err),
                    (None, None) => Err(unlike(&Payload::Map(entries), ty)),
                }
            }
            (other, ty) => Err(unlike(&other, ty)),
        }
    }
}

/// What a type is called that stands for all of them.
const ANY: &str = "any";

impl WitValue for Payload {
    fn wit_type() -> WitType {
        WitType::Refused(ANY)
    }

    fn fits(_: &WitType) -> bool {
        true
    }

    fn into_payload(self) -> Payload {
        self
    }

    fn from_payload(value: Payload, _: &WitType) -> Result<Self, ValueError> {
        Ok(value)
    }
}

impl WitReturn for () {
    fn return_type() -> Option<WitType> {
        None
    }

    fn returns(ty: Option<&WitType>) -> bool {
        ty.is_none()
    }

    fn into_return(self) -> Payload {
        Payload::Nil
    }

    fn from_return(_: Payload, _: Option<&WitType>) -> Result<Self, ValueError> {
        Ok(())
    }
}

impl<T: WitValue> WitReturn for T {
    fn return_type() -> Option<WitType> {
        Some(T::wit_type())
    }

    fn returns(ty: Option<&WitType>) -> bool {
        ty.is_some_and(T::fits)
    }

    fn into_return(self) -> Payload {
        T::into_payload(self)
    }

    fn from_return(value: Payload, ty: Option<&WitType>) -> Result<Self, ValueError> {
        match ty {
            Some(ty) => T::from_payload(value, ty),
            None => T::from_payload(value, &T::wit_type()),
        }
    }
}

impl WitParams for () {
    fn wit_types() -> Vec<WitType> {
        Vec::new()
    }

    fn fits(types: &[&WitType]) -> bool {
        types.is_empty()
    }

    fn into_payloads(self) -> Vec<Payload> {
        Vec::new()
    }

    fn from_payloads(_: Vec<Payload>, _: &[WitType]) -> Result<Self, ValueError> {
        Ok(())
    }
}

macro_rules! tuples {
    ($($($name:ident)*;)*) => {$(
        impl<$($name: WitValue),*> WitParams for ($($name,)*) {
            fn wit_types() -> Vec<WitType> {
                vec![$($name::wit_type()),*]
            }

            fn fits(types: &[&WitType]) -> bool {
                let mut types = types.iter();
                $(types.next().is_some_and(|ty| $name::fits(ty)) &&)* types.next().is_none()
            }

            fn into_payloads(self) -> Vec<Payload> {
                #[expect(non_snake_case, reason = "a value has the name of its type")]
                let ($($name,)*) = self;
                vec![$($name.into_payload()),*]
            }

            fn from_payloads(values: Vec<Payload>, types: &[WitType]) -> Result<Self, ValueError> {
                let (mut values, mut types) = (values.into_iter(), types.iter());
                Ok(($($name::from_payload(values.next().unwrap_or_default(), types.next().unwrap_or(&&$name::wit_type()))?,)*))
            }
        }

        impl<$($name: WitValue),*> WitValue for ($($name,)*) {
            fn wit_type() -> WitType {
                WitType::Tuple(Self::wit_types())
            }

            fn fits(ty: &WitType) -> bool {
                matches!(ty, WitType::Tuple(types) if <Self as WitParams>::fits(&types.iter().collect::<Vec<_>>()))
            }

            fn into_payload(self) -> Payload {
                Payload::List(self.into_payloads())
            }

            fn from_payload(value: Payload, ty: &WitType) -> Result<Self, ValueError> {
                match (value, ty) {
                    (Payload::List(items), WitType::Tuple(types)) if items.len() == types.len() => {
                        Self::from_payloads(items, types)
                    }
                    (other, ty) => Err(unlike(&other, ty)),
                }
            }
        }
    )*};
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
    A B C D E F G H I;
    A B C D E F G H I J;
    A B C D E F G H I J K;
    A B C D E F G H I J K L;
}

/// Makes a struct that is a `record` of WIT: its fields are [`WitValue`]s, with `-` where their
/// names have `_`.
///
/// ```
/// use wippy::wasm::value::WitValue;
///
/// wippy::wit_record! {
///     /// What was ordered.
///     #[derive(Debug, PartialEq)]
///     pub struct Order {
///         pub id: u32,
///         pub line_items: Vec<String>,
///     }
/// }
///
/// assert_eq!(Order::wit_type().to_string(), "record { id: u32, line-items: list<string> }");
/// let order = Order { id: 7, line_items: vec!["tea".into()] };
/// assert_eq!(order.into_payload().to_string(), r#"{"id":7,"line-items":["tea"]}"#);
/// ```
#[macro_export]
macro_rules! wit_record {
    ($(#[$attribute:meta])* $visibility:vis struct $name:ident {
        $($(#[$of_field:meta])* $field_visibility:vis $field:ident: $ty:ty),* $(,)?
    }) => {
        $(#[$attribute])*
        $visibility struct $name {
            $($(#[$of_field])* $field_visibility $field: $ty),*
        }

        impl $crate::wasm::value::WitValue for $name {
            fn wit_type() -> $crate::wasm::value::WitType {
                $crate::wasm::value::WitType::Record(vec![$($crate::wasm::value::Field {
                    name: stringify!($field).replace('_', "-"),
                    ty: <$ty as $crate::wasm::value::WitValue>::wit_type(),
                }),*])
            }

            fn fits(ty: &$crate::wasm::value::WitType) -> bool {
                let $crate::wasm::value::WitType::Record(fields) = ty else { return false };
                let mut fields = fields.iter();
                $(fields.next().is_some_and(|field| {
                    field.name == stringify!($field).replace('_', "-")
                        && <$ty as $crate::wasm::value::WitValue>::fits(&field.ty)
                }) &&)* fields.next().is_none()
            }

            fn into_payload(self) -> $crate::process::Payload {
                [$((
                    stringify!($field).replace('_', "-"),
                    <$ty as $crate::wasm::value::WitValue>::into_payload(self.$field),
                )),*].into_iter().collect()
            }

            fn from_payload(
                value: $crate::process::Payload,
                ty: &$crate::wasm::value::WitType,
            ) -> ::std::result::Result<Self, $crate::wasm::value::ValueError> {
                match (value, ty) {
                    ($crate::process::Payload::Map(entries), $crate::wasm::value::WitType::Record(fields))
                        if entries.len() == fields.len() =>
                    {
                        let mut parts = entries.into_values().zip(fields);
                        Ok(Self { $($field: match parts.next() {
                            Some((value, field)) => {
                                <$ty as $crate::wasm::value::WitValue>::from_payload(value, &field.ty)?
                            }
                            None => return Err($crate::wasm::value::unlike(&$crate::process::Payload::Nil, ty)),
                        }),* })
                    }
                    (other, ty) => Err($crate::wasm::value::unlike(&other, ty)),
                }
            }
        }
    };
}

#[cfg(test)]
mod tests;
