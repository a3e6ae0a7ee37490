//! Fast paths: calls of common signatures without [`Val`](wasmtime::component::Val), which takes 40 bytes for every byte
//! of a `list<u8>`.
//!
//! A path is a shape of parameters and a shape of a result. Every pair is one more instance of the engine's generic call,
//! so the shapes are few: those that carry text and bytes, and one or two numbers of one type.

use bytes::Bytes;
use wasmtime::component::{ComponentNamedList, Func, Lift, Lower};

use super::accept::{accept, single_key};
use super::error::Path;
use super::invoke::{OnStack, typed_of_component};
use super::{Signature, WitType};
use crate::process::Payload;

/// The pair of shapes of a signature that has a fast path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FastPath {
    /// Text and bytes.
    Text(Params, Output),
    /// One or two numbers of one type to a number of the same type.
    Numbers(Number, Count),
}

/// Parameters with a fast path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Params {
    None,
    Text,
    Bytes,
    TextText,
    TextBytes,
}

/// Results with a fast path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    None,
    Text,
    Bytes,
    U32,
    U64,
    TextOrText,
    BytesOrText,
    NoneOrText,
}

/// Numbers with a fast path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    S32,
    U32,
    S64,
    U64,
    F64,
}

/// How many numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    One,
    Two,
}

impl FastPath {
    /// The fast path of a signature, if it has one.
    pub(super) fn of(signature: &Signature) -> Option<FastPath> {
        let params: Vec<_> = signature.params().iter().map(|param| &param.ty).collect();
        if let Some(number) = params.first().and_then(|ty| Number::of(ty))
            && params.iter().all(|ty| *ty == params[0])
            && signature.results() == [params[0].clone()]
        {
            return match params.len() {
                1 => Some(FastPath::Numbers(number, Count::One)),
                2 => Some(FastPath::Numbers(number, Count::Two)),
                _ => None,
            };
        }
        let params = match params.as_slice() {
            [] => Params::None,
            [WitType::String] => Params::Text,
            [bytes] if bytes.is_bytes() => Params::Bytes,
            [WitType::String, WitType::String] => Params::TextText,
            [WitType::String, bytes] if bytes.is_bytes() => Params::TextBytes,
            _ => return None,
        };
        let output = match signature.results() {
            [] => Output::None,
            [WitType::String] => Output::Text,
            [bytes] if bytes.is_bytes() => Output::Bytes,
            [WitType::U32] => Output::U32,
            [WitType::U64] => Output::U64,
            [WitType::Result { ok, err: Some(err) }] if **err == WitType::String => match ok.as_deref() {
                None => Output::NoneOrText,
                Some(WitType::String) => Output::TextOrText,
                Some(bytes) if bytes.is_bytes() => Output::BytesOrText,
                Some(_) => return None,
            },
            _ => return None,
        };
        Some(FastPath::Text(params, output))
    }

    /// Whether the arguments need no conversion; those in exact shape never do.
    pub(super) fn takes(self, arguments: &[Payload]) -> bool {
        use Payload::{Bytes, String};
        match self {
            // Numbers are converted on the way.
            FastPath::Numbers(..) => true,
            FastPath::Text(params, _) => matches!(
                (params, arguments),
                (Params::None, [])
                    | (Params::Text, [String(_)])
                    | (Params::Bytes, [String(_) | Bytes(_)])
                    | (Params::TextText, [String(_), String(_)])
                    | (Params::TextBytes, [String(_), String(_) | Bytes(_)])
            ),
        }
    }

    /// Calls `func`; `None`, with nothing done, where the path does not take the arguments: the general way then refuses
    /// them.
    pub(super) async fn call<T: Send>(
        self,
        func: &Func,
        store: OnStack<'_, T>,
        arguments: &[Payload],
    ) -> Option<wasmtime::Result<Payload>> {
        match (self, arguments) {
            (FastPath::Text(Params::None, output), []) => Some(output.call(func, store, ()).await),
            (FastPath::Text(Params::Text, output), [Payload::String(text)]) => {
                Some(output.call(func, store, (text.as_str(),)).await)
            }
            (FastPath::Text(Params::Bytes, output), [bytes]) => {
                Some(output.call(func, store, (bytes.as_bytes()?,)).await)
            }
            (FastPath::Text(Params::TextText, output), [Payload::String(first), Payload::String(second)]) => {
                Some(output.call(func, store, (first.as_str(), second.as_str())).await)
            }
            (FastPath::Text(Params::TextBytes, output), [Payload::String(text), bytes]) => {
                Some(output.call(func, store, (text.as_str(), bytes.as_bytes()?)).await)
            }
            // Numbers have been tried before.
            _ => None,
        }
    }
}

impl Output {
    async fn call<T: Send, P>(self, func: &Func, store: OnStack<'_, T>, params: P) -> wasmtime::Result<Payload>
    where
        P: ComponentNamedList + Lower + Send + Sync,
    {
        Ok(match self {
            Output::None => {
                typed::<T, P, ()>(func, store, params).await?;
                Payload::Nil
            }
            Output::Text => Payload::String(typed::<T, P, (String,)>(func, store, params).await?.0),
            Output::Bytes => Payload::Bytes(Bytes::from(typed::<T, P, (Vec<u8>,)>(func, store, params).await?.0)),
            Output::U32 => Payload::from(typed::<T, P, (u32,)>(func, store, params).await?.0),
            Output::U64 => Payload::from(typed::<T, P, (u64,)>(func, store, params).await?.0),
            Output::TextOrText => either(typed::<T, P, (Result<String, String>,)>(func, store, params).await?.0),
            Output::BytesOrText => either(typed::<T, P, (Result<Vec<u8>, String>,)>(func, store, params).await?.0),
            Output::NoneOrText => either(typed::<T, P, (Result<(), String>,)>(func, store, params).await?.0),
        })
    }
}

fn either(result: Result<impl Into<Payload>, String>) -> Payload {
    match result {
        Ok(value) => single_key("ok", value.into()),
        Err(error) => single_key("err", Payload::String(error)),
    }
}

impl Number {
    fn of(ty: &WitType) -> Option<Number> {
        match ty {
            WitType::S32 => Some(Number::S32),
            WitType::U32 => Some(Number::U32),
            WitType::S64 => Some(Number::S64),
            WitType::U64 => Some(Number::U64),
            WitType::F64 => Some(Number::F64),
            _ => None,
        }
    }

    /// [`FastPath::call`] for numbers.
    pub(super) async fn call<T: Send>(
        self,
        count: Count,
        func: &Func,
        store: OnStack<'_, T>,
        arguments: &[Payload],
    ) -> Option<wasmtime::Result<Payload>> {
        match (count, arguments) {
            (Count::One, [first]) => self.call_with_one(func, store, first).await,
            (Count::Two, [first, second]) => self.call_with_two(func, store, first, second).await,
            _ => None,
        }
    }

    async fn call_with_one<T: Send>(
        self,
        func: &Func,
        store: OnStack<'_, T>,
        first: &Payload,
    ) -> Option<wasmtime::Result<Payload>> {
        Some(match self {
            Number::S32 => number::<T, _, i32>(func, store, (s32(first)?,)).await,
            Number::U32 => number::<T, _, u32>(func, store, (u32_of(first)?,)).await,
            Number::S64 => number::<T, _, i64>(func, store, (s64(first)?,)).await,
            Number::U64 => number::<T, _, u64>(func, store, (u64_of(first)?,)).await,
            Number::F64 => number::<T, _, f64>(func, store, (f64_of(first)?,)).await,
        })
    }

    async fn call_with_two<T: Send>(
        self,
        func: &Func,
        store: OnStack<'_, T>,
        first: &Payload,
        second: &Payload,
    ) -> Option<wasmtime::Result<Payload>> {
        Some(match self {
            Number::S32 => number::<T, _, i32>(func, store, (s32(first)?, s32(second)?)).await,
            Number::U32 => number::<T, _, u32>(func, store, (u32_of(first)?, u32_of(second)?)).await,
            Number::S64 => number::<T, _, i64>(func, store, (s64(first)?, s64(second)?)).await,
            Number::U64 => number::<T, _, u64>(func, store, (u64_of(first)?, u64_of(second)?)).await,
            Number::F64 => number::<T, _, f64>(func, store, (f64_of(first)?, f64_of(second)?)).await,
        })
    }
}

/// `value` in exact shape, if it fits.
fn exact(value: &Payload, ty: WitType) -> Option<Payload> {
    accept(value, &ty, &Path::Argument(1)).ok()
}

fn s32(value: &Payload) -> Option<i32> {
    exact(value, WitType::S32)?.as_i64().map(|number| number as i32)
}

fn u32_of(value: &Payload) -> Option<u32> {
    exact(value, WitType::U32)?.as_u64().map(|number| number as u32)
}

fn s64(value: &Payload) -> Option<i64> {
    exact(value, WitType::S64)?.as_i64()
}

fn u64_of(value: &Payload) -> Option<u64> {
    exact(value, WitType::U64)?.as_u64()
}

fn f64_of(value: &Payload) -> Option<f64> {
    exact(value, WitType::F64)?.as_f64()
}

async fn number<T: Send, P, R>(func: &Func, store: OnStack<'_, T>, params: P) -> wasmtime::Result<Payload>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: Lift + Into<Payload> + Send + Sync + 'static,
    (R,): ComponentNamedList + Lift,
{
    Ok(typed::<T, P, (R,)>(func, store, params).await?.0.into())
}

async fn typed<T: Send, P, R>(func: &Func, (mut store, stack): OnStack<'_, T>, params: P) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    typed_of_component(func, &mut store, params, stack).await
}
