//! Functions of an embedder as imports of core modules, by the canonical ABI: the forms in which tools for components import
//! them, too.

use std::collections::HashSet;
use std::sync::Arc;

use wasmtime::{Caller, ExternType, Linker, Module, Val};

use super::super::super::state::State;
use super::super::super::value::CoreImport;
use super::{Answer, HostFunction, HostFunctions, ListedHosts};
use crate::limits::{WaitReason, wait_for};

/// Links what `module` imports of the listed interfaces, which are the modules of its imports, and refusals of what it imports
/// of others.
///
/// # Errors
/// An import has another type than the function.
pub(in crate::wasm) fn add_to_core_linker(
    linker: &mut Linker<State>,
    module: &Module,
    functions: &HostFunctions,
    listed: &ListedHosts,
) -> wasmtime::Result<()> {
    let mut defined = HashSet::new();
    for import in module.imports() {
        let ExternType::Func(ty) = import.ty() else { continue };
        // A module may import a function twice.
        if !defined.insert((import.module(), import.name())) {
            continue;
        }
        if let Some(unlisted) = functions.unlisted(import.module(), import.name(), listed) {
            linker.func_new(import.module(), import.name(), ty, move |mut caller, _, _| {
                Err(unlisted.refusal(caller.data_mut().host_context().entry()))
            })?;
            continue;
        }
        let Some(function) = functions.get(import.module(), import.name(), listed) else { continue };
        let plan = CoreImport::new(&function.signature, &ty);
        let plan = Arc::new(plan.map_err(|expected| function.mismatch(&format!("{ty}, expected {expected}")))?);
        let function = Arc::clone(function);
        if function.waits || plan.asks_for_memory() {
            linker.func_new_async(import.module(), import.name(), ty, move |caller, params, results| {
                let (function, plan) = (Arc::clone(&function), Arc::clone(&plan));
                Box::new(async move { waiting(&function, &plan, caller, params, results).await })
            })?;
        } else {
            linker.func_new(import.module(), import.name(), ty, move |mut caller, params, results| {
                let context = caller.data_mut().host_context();
                let values = plan.read(params, &mut caller)?;
                match function.call(&context, values, plan.params()) {
                    Answer::Now(answer) => {
                        let value = answer.map_err(|error| function.failed(&context, error))?;
                        plan.answer(value, params, results, &mut caller)
                    }
                    Answer::Later(_) => Err(wasmtime::Error::msg("it waits")),
                }
            })?;
        }
    }
    Ok(())
}

async fn waiting(
    function: &HostFunction,
    plan: &CoreImport,
    mut caller: Caller<'_, State>,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let context = caller.data_mut().host_context();
    let values = plan.read(params, &mut caller)?;
    let answer = match function.call(&context, values, plan.params()) {
        Answer::Now(answer) => answer,
        Answer::Later(mut answer) => wait_for(WaitReason::Host, |cx| answer.as_mut().poll(cx)).await,
    };
    let value = answer.map_err(|error| function.failed(&context, error))?;
    plan.answer_in_memory(value, params, results, &mut caller).await
}
