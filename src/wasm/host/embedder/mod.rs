//! Functions of an embedder that guests import: what they are, and how they get into linkers.
//!
//! A function is typed by its Rust signature. The import of each guest is compared with it when the guest is linked, so a call
//! has nothing to check but what Rust can't know of a value.

mod component;
mod context;
mod core;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use indexmap::IndexMap;

pub(in crate::wasm) use component::add_to_linker;
pub use context::{HostContext, HostError};
pub(in crate::wasm) use core::add_to_core_linker;

use super::super::failure::Ended;
use super::super::value::{Signature, WitParams, WitReturn, WitType, fits, signature_of};
use crate::process::{Exit, Failure, FailureKind, Payload};
use crate::registry::EntryId;
use crate::suggest::near_miss;
use crate::wasi::{Profile, UnlistedImport};

/// The name of the interface whose functions a guest imports without one.
const ROOT: &str = "$root";

/// What a function leads to: at once, or later.
enum Answer {
    Now(Result<Payload, HostError>),
    Later(Pin<Box<dyn Future<Output = Result<Payload, HostError>> + Send>>),
}

type Body = dyn Fn(&HostContext, Vec<Payload>, &[WitType]) -> Answer + Send + Sync;

/// One function.
pub(super) struct HostFunction {
    /// `interface#name`, for messages.
    shown: String,
    signature: Signature,
    fits: fn(&Signature) -> bool,
    waits: bool,
    body: Box<Body>,
}

/// The functions of an embedder, by interface and name.
#[derive(Clone, Default)]
pub(crate) struct HostFunctions {
    interfaces: IndexMap<String, IndexMap<String, Arc<HostFunction>>>,
    refused: Option<HostFunctionError>,
}

/// A function of an embedder can't be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostFunctionError {
    /// There are two of the same name.
    #[error("there are two host functions `{interface}#{name}`")]
    Twice {
        /// The interface.
        interface: String,
        /// The function.
        name: String,
    },
    /// The runtime provides the interface itself.
    #[error("`{interface}` is provided by the runtime: give the interface of `{name}` a name of your own")]
    Taken {
        /// The interface.
        interface: String,
        /// The function.
        name: String,
    },
}

/// The interfaces of an embedder that an entry lists, by their numbers, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::wasm) struct ListedHosts(Vec<usize>);

/// How an import stands.
pub(in crate::wasm) enum Provided {
    Yes,
    /// The entry does not list its interface, which has this name.
    Unlisted(String),
    No,
}

impl HostFunctions {
    /// Adds one that answers at once.
    pub(crate) fn add<P: WitParams, R: WitReturn>(
        &mut self,
        interface: &str,
        name: &str,
        function: impl Fn(&HostContext, P) -> Result<R, HostError> + Send + Sync + 'static,
    ) {
        self.insert::<P, R>(interface, name, false, move |context, values, types| {
            let answer = P::from_payloads(values, types).map_err(HostError::from);
            Answer::Now(answer.and_then(|params| function(context, params)).map(R::into_return))
        });
    }

    /// Adds one that may wait.
    pub(crate) fn add_async<P: WitParams, R: WitReturn, F>(
        &mut self,
        interface: &str,
        name: &str,
        function: impl Fn(HostContext, P) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<R, HostError>> + Send + 'static,
    {
        self.insert::<P, R>(interface, name, true, move |context, values, types| {
            match P::from_payloads(values, types) {
                Ok(params) => {
                    let answer = function(context.clone(), params);
                    Answer::Later(Box::pin(async { answer.await.map(R::into_return) }))
                }
                Err(error) => Answer::Now(Err(error.into())),
            }
        });
    }

    fn insert<P: WitParams, R: WitReturn>(
        &mut self,
        interface: &str,
        name: &str,
        waits: bool,
        body: impl Fn(&HostContext, Vec<Payload>, &[WitType]) -> Answer + Send + Sync + 'static,
    ) {
        let (of_interface, named) = (interface.to_owned(), name.to_owned());
        if Profile::parse(interface).is_ok() {
            let error = HostFunctionError::Taken { interface: of_interface, name: named };
            self.refused.get_or_insert(error);
            return;
        }
        let signature = signature_of::<P, R>();
        let shown = format!("{interface}#{name}");
        let function = HostFunction { shown, signature, fits: fits::<P, R>, waits, body: Box::new(body) };
        let functions = self.interfaces.entry(of_interface.clone()).or_default();
        if functions.insert(named.clone(), Arc::new(function)).is_some() {
            self.refused.get_or_insert(HostFunctionError::Twice { interface: of_interface, name: named });
        }
    }

    /// What is wrong with them.
    pub(crate) fn check(&self) -> Result<(), HostFunctionError> {
        self.refused.clone().map_or(Ok(()), Err)
    }

    /// Lists the interface that an item under `imports` names, with its version or without; false when it names none.
    pub(in crate::wasm) fn list(&self, item: &str, listed: &mut ListedHosts) -> bool {
        let item = item.trim();
        let mut found = false;
        for (number, interface) in self.interfaces.keys().enumerate() {
            if interface == item || versionless(interface) == item || interface == versionless(item) {
                found = true;
                if let Err(at) = listed.0.binary_search(&number) {
                    listed.0.insert(at, number);
                }
            }
        }
        found
    }

    /// The interface that was probably meant.
    pub(in crate::wasm) fn near(&self, item: &str) -> Option<&str> {
        near_miss(item, self.interfaces.keys().map(String::as_str))
    }

    /// How a function stands that a guest imports.
    pub(in crate::wasm) fn provides(&self, interface: &str, name: &str, listed: &ListedHosts) -> Provided {
        let mut known = self.of(interface).filter(|(_, _, functions)| functions.contains_key(name)).peekable();
        let Some((_, first, _)) = known.peek() else { return Provided::No };
        let first = (*first).to_owned();
        match known.any(|(number, ..)| listed.0.binary_search(&number).is_ok()) {
            true => Provided::Yes,
            false => Provided::Unlisted(first),
        }
    }

    /// The listed function that a guest imports.
    fn get(&self, interface: &str, name: &str, listed: &ListedHosts) -> Option<&Arc<HostFunction>> {
        let mut listed = self.of(interface).filter(|(number, ..)| listed.0.binary_search(number).is_ok());
        listed.find_map(|(_, _, functions)| functions.get(name))
    }

    /// The error of a call of something that the entry does not list, though it is there; none for everything else.
    fn unlisted(&self, interface: &str, name: &str, listed: &ListedHosts) -> Option<Unlisted> {
        match self.provides(interface, name, listed) {
            Provided::Unlisted(known) => {
                Some(Unlisted { interface: interface.into(), function: name.into(), line: format!("- {known}") })
            }
            Provided::Yes | Provided::No => None,
        }
    }

    /// The interfaces that an import means: that of its name, and that of its name without a version.
    fn of(&self, import: &str) -> impl Iterator<Item = (usize, &str, &IndexMap<String, Arc<HostFunction>>)> {
        let interfaces = self.interfaces.iter().enumerate();
        interfaces
            .filter(move |(_, (interface, _))| *interface == import || **interface == *versionless(import))
            .map(|(number, (interface, functions))| (number, interface.as_str(), functions))
    }
}

/// A call that is refused because the entry does not list its interface.
#[derive(Clone)]
struct Unlisted {
    interface: String,
    function: String,
    line: String,
}

impl Unlisted {
    fn refusal(&self, entry: &EntryId) -> wasmtime::Error {
        let Self { interface, function, line } = self.clone();
        UnlistedImport { interface, function, entry: entry.to_string(), line_to_add: Some(line) }.into()
    }
}

impl fmt::Debug for HostFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions = self.interfaces.values().flat_map(IndexMap::values);
        f.debug_list().entries(functions.map(|function| format!("{}: {}", function.shown, function.signature))).finish()
    }
}

impl HostFunction {
    fn call(&self, context: &HostContext, values: Vec<Payload>, types: &[WitType]) -> Answer {
        (self.body)(context, values, types)
    }

    /// The error that ends the process whose call failed.
    fn failed(&self, context: &HostContext, error: HostError) -> wasmtime::Error {
        let message = format!("`{}`: `{}` failed: {error}", context.entry(), self.shown);
        wasmtime::Error::new(Ended(Exit::Failed(Failure::new(FailureKind::Host, message))))
    }

    /// Why a guest can't be linked with it.
    fn mismatch(&self, found: &dyn fmt::Display) -> wasmtime::Error {
        let Self { shown, signature, .. } = self;
        wasmtime::Error::msg(format!("`{shown}` is `{signature}` here, and the guest imports it as `{found}`"))
    }
}

fn versionless(interface: &str) -> &str {
    interface.split_once('@').map_or(interface, |(name, _)| name)
}
