//! Calls into a guest, on a stack of its own or on that of the thread.

use wasmtime::component::{self, ComponentNamedList, Lift, Lower};
use wasmtime::{Func, StoreContextMut, TypedFunc, Val, WasmParams, WasmResults};

/// The stack that a guest runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// One of its own: the guest may be suspended, and goes on at the next poll.
    Own,
    /// That of the thread: nothing suspends the guest, so the call is ready at its first poll. None of the functions that
    /// are linked to its instance may be asynchronous.
    Thread,
}

/// A store, and the stack that its guest is to run on.
pub(super) type OnStack<'a, T> = (StoreContextMut<'a, T>, Stack);

pub(super) async fn untyped<T: Send>(
    func: Func,
    store: &mut StoreContextMut<'_, T>,
    params: &[Val],
    results: &mut [Val],
    stack: Stack,
) -> wasmtime::Result<()> {
    match stack {
        Stack::Own => func.call_async(store, params, results).await,
        Stack::Thread => func.call(store, params, results),
    }
}

pub(super) async fn typed<T: Send, P, R>(
    func: &TypedFunc<P, R>,
    store: &mut StoreContextMut<'_, T>,
    params: P,
    stack: Stack,
) -> wasmtime::Result<R>
where
    P: WasmParams + Sync,
    R: WasmResults + Sync,
{
    match stack {
        Stack::Own => func.call_async(store, params).await,
        Stack::Thread => func.call(store, params),
    }
}

/// [`untyped`] for a function of a component.
pub(super) async fn untyped_of_component<T: Send>(
    func: &component::Func,
    store: &mut StoreContextMut<'_, T>,
    params: &[component::Val],
    results: &mut [component::Val],
    stack: Stack,
) -> wasmtime::Result<()> {
    match stack {
        Stack::Own => func.call_async(store, params, results).await,
        Stack::Thread => func.call(store, params, results),
    }
}

/// [`typed`] for a function of a component.
pub(super) async fn typed_of_component<T: Send, P, R>(
    func: &component::Func,
    store: &mut StoreContextMut<'_, T>,
    params: P,
    stack: Stack,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    let func = func.typed::<P, R>(&*store)?;
    match stack {
        Stack::Own => func.call_async(store, params).await,
        Stack::Thread => func.call(store, params),
    }
}
