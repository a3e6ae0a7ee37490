//! Functions of an embedder as imports of components.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, Val};

use super::super::super::state::State;
use super::super::super::value::{Signature, WitType, lift, lower, result_type};
use super::{Answer, HostContext, HostError, HostFunction, HostFunctions, ListedHosts, ROOT, Unlisted};
use crate::limits::{WaitReason, wait_for};
use crate::process::Payload;

/// Links what `component` imports of the listed interfaces, and refusals of what it imports of others. What nobody has is left
/// to the stubs.
///
/// # Errors
/// An import has another type than the function.
pub(in crate::wasm) fn add_to_linker(
    linker: &mut Linker<State>,
    component: &Component,
    functions: &HostFunctions,
    listed: &ListedHosts,
) -> wasmtime::Result<()> {
    let engine = component.engine();
    let ty = component.component_type();
    for (import, item) in ty.imports(engine) {
        match item.ty {
            ComponentItem::ComponentInstance(instance) => {
                for (name, item) in instance.exports(engine) {
                    let ComponentItem::ComponentFunc(ty) = item.ty else { continue };
                    if let Some(function) = functions.get(import, name, listed) {
                        define(&mut linker.instance(import)?, name, &ty, function)?;
                    } else if let Some(unlisted) = functions.unlisted(import, name, listed) {
                        refuse(&mut linker.instance(import)?, name, unlisted)?;
                    }
                }
            }
            ComponentItem::ComponentFunc(ty) => {
                if let Some(function) = functions.get(ROOT, import, listed) {
                    define(&mut linker.root(), import, &ty, function)?;
                } else if let Some(unlisted) = functions.unlisted(ROOT, import, listed) {
                    refuse(&mut linker.root(), import, unlisted)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A function as one guest imports it.
#[derive(Clone)]
struct Import {
    function: Arc<HostFunction>,
    params: Arc<[WitType]>,
    result: Option<Arc<WitType>>,
}

fn define(
    instance: &mut LinkerInstance<'_, State>,
    name: &str,
    ty: &ComponentFunc,
    function: &Arc<HostFunction>,
) -> wasmtime::Result<()> {
    let signature = Signature::of_component(ty);
    if !(function.fits)(&signature) || signature.callable(name).is_err() {
        return Err(function.mismatch(&signature));
    }
    let import = Import {
        function: Arc::clone(function),
        params: signature.params().iter().map(|param| param.ty.clone()).collect(),
        result: result_type(&signature).map(Arc::new),
    };
    if !function.waits {
        return instance.func_new(name, move |mut store: StoreContextMut<'_, State>, _, params, results| {
            let context = store.data_mut().host_context();
            match import.call(&context, params)? {
                Answer::Now(answer) => import.answer(&context, answer, results),
                Answer::Later(_) => Err(wasmtime::Error::msg("it waits")),
            }
        });
    }
    instance.func_new_async(name, move |mut store: StoreContextMut<'_, State>, _, params, results| {
        let import = import.clone();
        let context = store.data_mut().host_context();
        Box::new(async move {
            let answer = match import.call(&context, params)? {
                Answer::Now(answer) => answer,
                Answer::Later(mut answer) => wait_for(WaitReason::Host, |cx| answer.as_mut().poll(cx)).await,
            };
            import.answer(&context, answer, results)
        })
    })
}

fn refuse(instance: &mut LinkerInstance<'_, State>, name: &str, unlisted: Unlisted) -> wasmtime::Result<()> {
    instance.func_new(name, move |mut store: StoreContextMut<'_, State>, _, _, _| {
        Err(unlisted.refusal(store.data_mut().host_context().entry()))
    })
}

impl Import {
    fn call(&self, context: &HostContext, params: &[Val]) -> wasmtime::Result<Answer> {
        let values = params.iter().zip(&*self.params).map(|(value, ty)| lift(value, ty));
        Ok(self.function.call(context, values.collect::<Result<_, _>>()?, &self.params))
    }

    fn answer(
        &self,
        context: &HostContext,
        answer: Result<Payload, HostError>,
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        let value = answer.map_err(|error| self.function.failed(context, error))?;
        if let (Some(ty), [result]) = (&self.result, results) {
            *result = lower(&value, ty, "result").map_err(|error| self.function.failed(context, error.into()))?;
        }
        Ok(())
    }
}
