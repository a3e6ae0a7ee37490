//! How a function of a component is called, decided once when its entry is loaded.

use wasmtime::AsContextMut;
use wasmtime::component::types::ComponentFunc;
use wasmtime::component::{Func, Val};

use super::convert::{exact_to_val, val_to_payload};
use super::error::Path;
use super::invoke::{self, OnStack, Stack};
use super::typed::FastPath;
use super::{ArgumentError, Signature, SignatureError};
use crate::process::Payload;

/// How a function of a component is called: its signature, and the fast path its types allow.
///
/// Made once when an entry is loaded, used by every process of it.
#[derive(Clone, Debug)]
pub struct ComponentPlan {
    method: String,
    signature: Signature,
    /// None where values go through [`Val`].
    fast: Option<FastPath>,
}

impl ComponentPlan {
    /// The plan for the function `method` of this type.
    ///
    /// # Errors
    /// The signature has types whose values cannot be passed, or too many of them.
    pub fn new(method: &str, func: &ComponentFunc) -> Result<Self, SignatureError> {
        let signature = Signature::of_component(func);
        signature.callable(method)?;
        let fast = FastPath::of(&signature);
        Ok(Self { method: method.to_owned(), signature, fast })
    }

    /// Names and types of parameters and result.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Whether the function returns a WIT `result`, whose `err` is an error of the call.
    pub fn returns_result(&self) -> bool {
        self.signature.returns_result()
    }

    /// Whether these arguments fit, without an instance.
    ///
    /// # Errors
    /// See [`Signature::accept`].
    pub fn check(&self, arguments: &[Payload]) -> Result<(), ArgumentError> {
        self.signature.check(&self.method, arguments)
    }

    /// Arguments typed on a command line.
    ///
    /// # Errors
    /// See [`Signature::read_arguments`].
    pub fn read_arguments(&self, texts: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        self.signature.read_arguments(&self.method, texts)
    }

    /// Calls, on this stack, `func`, which must be a function of this plan's type, in the store it belongs to. The engine runs its
    /// post-return function.
    ///
    /// The store's hostcall fuel bounds what the result may take on this side, in bytes: the bytes themselves for strings
    /// and `list<u8>` that are the whole result or its `ok` or `err` (the fast paths), 40 per value and 24 per string more
    /// anywhere else. The engine's default is 128 MiB.
    ///
    /// # Errors
    /// An [`ArgumentError`] where the arguments do not fit, a [`ValueError`](super::ValueError) where the type of `func`
    /// is another one, else what the engine reports: traps, errors of host functions, fuel.
    pub async fn call(
        &self,
        stack: Stack,
        func: &Func,
        mut store: impl AsContextMut<Data: Send>,
        arguments: &[Payload],
    ) -> wasmtime::Result<Payload> {
        let mut store = store.as_context_mut();
        if let Some(FastPath::Numbers(number, count)) = self.fast
            && let Some(done) = number.call(count, func, (store.as_context_mut(), stack), arguments).await
        {
            return done;
        }
        // Apart, so that calls of numbers do not carry what this takes.
        Box::pin(self.call_values(func, (store, stack), arguments)).await
    }

    /// Calls `func` with values of any kind.
    async fn call_values<T: Send>(
        &self,
        func: &Func,
        (mut store, stack): OnStack<'_, T>,
        arguments: &[Payload],
    ) -> wasmtime::Result<Payload> {
        if let Some(fast) = self.fast {
            // A list of numbers for `list<u8>` must not cost the result its fast path.
            let exact = match fast.takes(arguments) {
                true => None,
                false => Some(self.signature.accept(&self.method, arguments)?),
            };
            let arguments = exact.as_deref().unwrap_or(arguments);
            if let Some(done) = fast.call(func, (store.as_context_mut(), stack), arguments).await {
                return done;
            }
        }
        let arguments = self.signature.accept(&self.method, arguments)?;
        let mut params = Vec::with_capacity(arguments.len());
        for (index, (value, param)) in arguments.into_iter().zip(self.signature.params()).enumerate() {
            params.push(exact_to_val(value, &param.ty, &Path::Argument(index + 1))?);
        }
        let mut results = vec![Val::Bool(false); self.signature.results().len()];
        invoke::untyped_of_component(func, &mut store, &params, &mut results, stack).await?;
        match (self.signature.results(), results.as_slice()) {
            ([ty], [value]) => Ok(val_to_payload(value, ty, &Path::Root("result"))?),
            _ => Ok(Payload::Nil),
        }
    }
}

#[cfg(test)]
impl ComponentPlan {
    /// The same plan with all values through [`Val`].
    pub(super) fn without_fast_path(&self) -> Self {
        Self { fast: None, ..self.clone() }
    }

    pub(super) fn has_fast_path(&self) -> bool {
        self.fast.is_some()
    }
}
