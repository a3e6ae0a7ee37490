//! Signatures of functions: shown in WIT notation, and the gate through which every argument passes.

use std::fmt;

use wasmtime::component::types::ComponentFunc;
use wasmtime::{FuncType, ValType};

use super::accept::{accept, is_exact};
use super::error::{MAX_SIGNATURE_SHOWN, Path, clipped};
use super::text::read_text;
use super::types::{Parts, separated};
use super::{ArgumentError, TypeTooLarge, ValueError, WitType};
use crate::process::Payload;

/// Names and types of the parameters and the results of a function.
///
/// Shows as WIT shows a function type: `func(name: string) -> string`.
///
/// ```
/// use wippy::wasm::value::{Param, Signature, WitType};
///
/// let name = Param { name: "name".to_owned(), ty: WitType::String };
/// let greet = Signature::new(vec![name], vec![WitType::String]);
/// assert_eq!(greet.to_string(), "func(name: string) -> string");
/// let error = greet.accept("greet", &[]).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "expected 1 argument, found 0; the signature is `greet: func(name: string) -> string`"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    params: Vec<Param>,
    results: Vec<WitType>,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name; `p0`, `p1`, … where none is known.
    pub name: String,
    /// The type of its values.
    pub ty: WitType,
}

/// Stands in a signature for what was too large to be read.
const TOO_LARGE: &str = "…";

/// A function cannot be called from outside its module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// A parameter or a result has values that belong to their instance.
    #[error("`{signature}` takes or returns `{ty}`, which cannot be passed; export a function without it")]
    Refused {
        /// The function and its whole signature in WIT notation.
        signature: String,
        /// The part of its types that is to blame.
        ty: &'static str,
    },
    /// The types have too many parts.
    #[error("`{method}`: {error}")]
    TooLarge {
        /// The function.
        method: String,
        /// The bound.
        error: TypeTooLarge,
    },
}

impl Signature {
    /// A signature of these parts.
    pub fn new(params: Vec<Param>, results: Vec<WitType>) -> Self {
        Self { params, results }
    }

    /// The signature of a component's function. Types beyond [`MAX_TYPE_PARTS`](super::MAX_TYPE_PARTS) are shown as `…`;
    /// such a function can be listed, not called.
    pub fn of_component(func: &ComponentFunc) -> Self {
        let mut parts = Parts::new();
        let mut read = |ty| WitType::read(&ty, &mut parts).unwrap_or(WitType::Refused(TOO_LARGE));
        let params = func.params().map(|(name, ty)| Param { name: name.to_owned(), ty: read(ty) }).collect();
        Self { params, results: func.results().map(read).collect() }
    }

    /// The signature of a core function without WIT text: numbers only.
    pub fn of_core(func: &FuncType) -> Self {
        let read = |ty: ValType| match ty {
            ValType::I32 => WitType::I32,
            ValType::I64 => WitType::I64,
            ValType::F32 => WitType::F32,
            ValType::F64 => WitType::F64,
            ValType::V128 => WitType::Refused("v128"),
            ValType::Ref(_) => WitType::Refused("reference"),
        };
        let param = |(index, ty)| Param { name: format!("p{index}"), ty: read(ty) };
        Self { params: func.params().enumerate().map(param).collect(), results: func.results().map(read).collect() }
    }

    /// The parameters in order.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// The types of the results in order; components have one at most.
    pub fn results(&self) -> &[WitType] {
        &self.results
    }

    /// Whether the function returns one WIT `result`, whose `err` is an error of the call.
    pub fn returns_result(&self) -> bool {
        matches!(self.results.as_slice(), [WitType::Result { .. }])
    }

    /// Whether every value of the function can cross the border of a process.
    ///
    /// # Errors
    /// [`SignatureError::Refused`] names the type that cannot, [`SignatureError::TooLarge`] the bound.
    pub fn callable(&self, method: &str) -> Result<(), SignatureError> {
        let mut types = self.params.iter().map(|param| &param.ty).chain(&self.results);
        match types.find_map(WitType::refused) {
            None => Ok(()),
            Some(TOO_LARGE) => Err(SignatureError::TooLarge { method: method.to_owned(), error: TypeTooLarge }),
            Some(ty) => Err(SignatureError::Refused { signature: self.shown(method), ty }),
        }
    }

    /// `arguments` in the exact shapes of the parameters of `method`.
    ///
    /// # Errors
    /// A wrong count, or the first argument that does not fit; both name the whole signature.
    pub fn accept(&self, method: &str, arguments: &[Payload]) -> Result<Vec<Payload>, ArgumentError> {
        self.each(method, arguments, accept)
    }

    /// Whether `arguments` fit, see [`Signature::accept`]; nothing is made of those that are in exact shape already.
    ///
    /// # Errors
    /// As [`Signature::accept`].
    pub fn check(&self, method: &str, arguments: &[Payload]) -> Result<(), ArgumentError> {
        let is_exact = arguments.len() == self.params.len()
            && arguments.iter().zip(&self.params).all(|(value, param)| is_exact(value, &param.ty));
        match is_exact {
            true => Ok(()),
            false => self.accept(method, arguments).map(drop),
        }
    }

    /// Arguments typed on a command line: text as it is for `string`, JSON or WAVE for every other type.
    ///
    /// # Errors
    /// A wrong count, or the first text that is no value of its type; both name the whole signature.
    pub fn read_arguments(&self, method: &str, texts: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        self.each(method, texts, |text, ty, at| read_text(text, ty, at))
    }

    fn each<T>(
        &self,
        method: &str,
        given: &[T],
        read: impl Fn(&T, &WitType, &Path<'_>) -> Result<Payload, ValueError>,
    ) -> Result<Vec<Payload>, ArgumentError> {
        if given.len() != self.params.len() {
            let (expected, found) = (self.params.len(), given.len());
            return Err(ArgumentError::Count { expected, found, signature: self.shown(method) });
        }
        let pairs = given.iter().zip(&self.params).enumerate();
        pairs
            .map(|(index, (value, param))| read(value, &param.ty, &Path::Argument(index + 1)))
            .collect::<Result<_, _>>()
            .map_err(|error| ArgumentError::Value { error: Box::new(error), signature: self.shown(method) })
    }

    /// The function as errors show it.
    pub(crate) fn shown(&self, method: &str) -> String {
        clipped(&format!("{method}: {self}"), MAX_SIGNATURE_SHOWN)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("func(")?;
        separated(f, &self.params)?;
        f.write_str(")")?;
        match self.results.as_slice() {
            [] => Ok(()),
            [result] => write!(f, " -> {result}"),
            several => {
                f.write_str(" -> (")?;
                separated(f, several)?;
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.ty)
    }
}
