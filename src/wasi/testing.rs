//! What this room's tests share: a store, a one-task executor, guests in text form.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use wasmtime::component::{Component, ComponentNamedList, Lift, Linker};
use wasmtime::{Config, Engine, Module, Store};

use super::{
    ProfileSet, WasiConfig, WasiState, WasiView, add_preview1, add_to_linker, stub_missing, stub_missing_core,
};
use crate::reactor::{Clock, Reactor, ReactorConfig};

/// The store's data of a test guest.
pub(super) struct Data(WasiState);

impl WasiView for Data {
    fn wasi(&mut self) -> &mut WasiState {
        &mut self.0
    }
}

/// One engine for all tests of this room.
pub(super) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(&Config::new()).unwrap())
}

/// A reactor whose time stands still.
pub(super) fn manual_reactor() -> (Clock, Arc<Reactor>) {
    let clock = Clock::manual();
    (clock.clone(), Reactor::new(clock, ReactorConfig::default()).unwrap())
}

pub(super) fn store(config: WasiConfig) -> Store<Data> {
    store_on(config, manual_reactor().1)
}

pub(super) fn store_on(config: WasiConfig, reactor: Arc<Reactor>) -> Store<Data> {
    Store::new(engine(), Data(WasiState::new(config, reactor)))
}

/// Everything linked as the room above would do it.
pub(super) fn component_linker(component: &Component, listed: ProfileSet) -> Linker<Data> {
    let mut linker = Linker::new(engine());
    add_to_linker(&mut linker, listed).unwrap();
    stub_missing(&mut linker, component, listed, &[]).unwrap();
    linker
}

/// Calls the export `run` of a component with the configuration's profiles.
pub(super) async fn run_component<R>(store: &mut Store<Data>, wat: &str) -> wasmtime::Result<R>
where
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    let component = Component::new(engine(), wat)?;
    let listed = store.data_mut().wasi().config().profiles;
    let instance = component_linker(&component, listed).instantiate_async(&mut *store, &component).await?;
    instance.get_typed_func::<(), R>(&mut *store, "run")?.call_async(store, ()).await
}

/// Calls the export `run` of a core module with preview 1.
pub(super) async fn run_module<R: wasmtime::WasmResults + Sync>(
    store: &mut Store<Data>,
    wat: &str,
) -> wasmtime::Result<R> {
    let module = Module::new(engine(), wat)?;
    let mut linker = wasmtime::Linker::new(engine());
    add_preview1(&mut linker)?;
    stub_missing_core(&mut linker, &module)?;
    let instance = linker.instantiate_async(&mut *store, &module).await?;
    instance.get_typed_func::<(), R>(&mut *store, "run")?.call_async(store, ()).await
}

/// A component whose core module imports what `imports` lowers and whose export `run` is made of `core`.
///
/// `imports` are component imports and core instances; `with` are the arguments of the core module's instantiation. The
/// module gets its memory from an own module, so that lowered functions can use it too.
pub(super) fn component(imports: &str, lowered: &str, with: &str, core: &str, lift: &str) -> String {
    format!(
        r#"(component
            {imports}
            (core module $memory
                (memory (export "memory") 2)
                (global $next (mut i32) (i32.const 65536))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and
                        (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
                        (i32.sub (i32.const 0) (local.get 2))))
                    (global.set $next (i32.add (local.get $at) (local.get 3)))
                    (local.get $at)))
            (core instance $mem (instantiate $memory))
            (alias core export $mem "memory" (core memory $memory))
            (alias core export $mem "realloc" (core func $realloc))
            {lowered}
            (core module $main
                (import "mem" "memory" (memory 2))
                {core})
            (core instance $main (instantiate $main (with "mem" (instance $mem)) {with}))
            {lift})"#
    )
}

struct Unpark {
    woken: AtomicBool,
    thread: Thread,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        // Release: pairs with the Acquire of the executor that takes the flag.
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// A future with a waker that knows whether it was woken.
pub(super) struct Task<'a, R> {
    future: Pin<Box<dyn Future<Output = R> + 'a>>,
    unpark: Arc<Unpark>,
    /// How often it was polled: one more than the times it was put aside.
    pub(super) polls: u32,
}

impl<'a, R> Task<'a, R> {
    pub(super) fn new(future: impl Future<Output = R> + 'a) -> Task<'a, R> {
        let unpark = Arc::new(Unpark { woken: AtomicBool::new(true), thread: std::thread::current() });
        Task { future: Box::pin(future), unpark, polls: 0 }
    }

    /// Polls as long as it is woken; `Pending` when it waits for somebody else.
    pub(super) fn run_until_stalled(&mut self) -> Poll<R> {
        let waker = Waker::from(self.unpark.clone());
        while self.unpark.woken.swap(false, Ordering::Acquire) {
            self.polls += 1;
            if let Poll::Ready(result) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    }

    /// Waits for wakes of other threads until it is done.
    pub(super) fn finish(mut self) -> R {
        loop {
            if let Poll::Ready(result) = self.run_until_stalled() {
                return result;
            }
            std::thread::park();
        }
    }
}

pub(super) fn block_on<R>(future: impl Future<Output = R>) -> R {
    Task::new(pin!(future)).finish()
}
