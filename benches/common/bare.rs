//! A guest on bare wasmtime: a store, an instance, a call, and all of it is dropped.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasmtime::component::{self, Component, ComponentExportIndex, ResourceTable};
use wasmtime::{Engine, InstancePre, Linker, Module, ModuleExport, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::guests::{Guest, Kind};
use super::settings::Settings;

/// Who polls a guest, and therefore what it does when it yields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runner {
    /// Nobody but itself: at a tick it goes on, and when it yields it is polled again.
    Loop,
    /// Tokio: at a tick, and when it yields, others have their turn.
    Tokio,
}

/// A guest that is linked on an engine of its own, and made afresh for each call.
#[derive(Clone)]
pub(crate) struct Bare {
    linked: Linked,
    runner: Runner,
    has_epochs: bool,
}

#[derive(Clone)]
enum Linked {
    Core(InstancePre<()>, ModuleExport),
    Component(component::InstancePre<()>, ComponentExportIndex),
    Command(component::InstancePre<World>, ComponentExportIndex),
}

/// What the store of a command carries.
struct World {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for World {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Bare {
    pub(crate) fn new(settings: &Settings, guest: &Guest, runner: Runner) -> Bare {
        let engine = Engine::new(&settings.config).expect("an engine");
        let linked = match guest.kind {
            Kind::Core => {
                let module = Module::from_binary(&engine, &guest.binary).expect("a module");
                let mut linker = Linker::new(&engine);
                link_yield(&mut linker, runner);
                let function = module.get_export_index(guest.function).expect("the function");
                Linked::Core(linker.instantiate_pre(&module).expect("imports that are served"), function)
            }
            Kind::Component => {
                let component = Component::from_binary(&engine, &guest.binary).expect("a component");
                let function = component.get_export_index(None, guest.function).expect("the function");
                let pre = component::Linker::new(&engine).instantiate_pre(&component);
                Linked::Component(pre.expect("no imports"), function)
            }
            Kind::Command => {
                let component = Component::from_binary(&engine, &guest.binary).expect("a component");
                let mut linker = component::Linker::new(&engine);
                wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("a linker");
                let exports = component.component_type();
                let (run, _) =
                    exports.exports(&engine).find(|(name, _)| name.starts_with("wasi:cli/run")).expect("run");
                let run = component.get_export_index(None, run).expect("it is among the exports");
                let function = component.get_export_index(Some(&run), guest.function).expect("the function");
                Linked::Command(linker.instantiate_pre(&component).expect("imports that are served"), function)
            }
        };
        Bare { linked, runner, has_epochs: settings.has_epochs }
    }

    pub(crate) fn engine(&self) -> &Engine {
        match &self.linked {
            Linked::Core(pre, _) => pre.module().engine(),
            Linked::Component(pre, _) => pre.engine(),
            Linked::Command(pre, _) => pre.engine(),
        }
    }

    fn store<T: 'static>(&self, data: T) -> Store<T> {
        let mut store = Store::new(self.engine(), data);
        if self.has_epochs {
            store.set_epoch_deadline(1);
            match self.runner {
                Runner::Loop => store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(1))),
                Runner::Tokio => store.epoch_deadline_async_yield_and_update(1),
            }
        }
        store
    }

    /// From a fresh store to the last of it, on a stack of its own.
    pub(crate) async fn call(&self, number: i64) -> i64 {
        match &self.linked {
            Linked::Core(pre, function) => {
                let mut store = self.store(());
                let instance = pre.instantiate_async(&mut store).await.expect("an instance");
                let function = instance.get_module_export(&mut store, function).and_then(wasmtime::Extern::into_func);
                let function = function.expect("the function").typed::<i64, i64>(&store).expect("its type");
                function.call_async(&mut store, number).await.expect("a result")
            }
            Linked::Component(pre, function) => {
                let mut store = self.store(());
                let instance = pre.instantiate_async(&mut store).await.expect("an instance");
                let function = instance.get_typed_func::<(i64,), (i64,)>(&mut store, function).expect("its type");
                function.call_async(&mut store, (number,)).await.expect("a result").0
            }
            Linked::Command(pre, function) => {
                let world = World { wasi: WasiCtxBuilder::new().build(), table: ResourceTable::new() };
                let mut store = self.store(world);
                let instance = pre.instantiate_async(&mut store).await.expect("an instance");
                let function = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut store, function);
                let (ended,) = function.expect("its type").call_async(&mut store, ()).await.expect("a result");
                ended.expect("a good end");
                number
            }
        }
    }

    /// The same on the stack of the caller, where that is possible: the hosts of a command are asynchronous, so it is polled
    /// to its end.
    pub(crate) fn call_sync(&self, number: i64) -> i64 {
        match &self.linked {
            Linked::Core(pre, function) => {
                let mut store = self.store(());
                let instance = pre.instantiate(&mut store).expect("an instance");
                let function = instance.get_module_export(&mut store, function).and_then(wasmtime::Extern::into_func);
                let function = function.expect("the function").typed::<i64, i64>(&store).expect("its type");
                function.call(&mut store, number).expect("a result")
            }
            Linked::Component(pre, function) => {
                let mut store = self.store(());
                let instance = pre.instantiate(&mut store).expect("an instance");
                let function = instance.get_typed_func::<(i64,), (i64,)>(&mut store, function).expect("its type");
                function.call(&mut store, (number,)).expect("a result").0
            }
            Linked::Command(..) => poll_to_end(self.call(number)),
        }
    }
}

/// Polls until it is ready, whatever it waits for.
pub(crate) fn poll_to_end<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

/// The one function of preview 1 that a guest of ours imports.
fn link_yield(linker: &mut Linker<()>, runner: Runner) {
    let linked = linker.func_wrap_async("wasi_snapshot_preview1", "sched_yield", move |_, (): ()| {
        Box::new(async move {
            match runner {
                Runner::Loop => yield_once().await,
                Runner::Tokio => tokio::task::yield_now().await,
            }
            0_i32
        })
    });
    linked.expect("a linker without functions");
}

/// Leaves whoever polls once.
async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|_| match std::mem::replace(&mut has_yielded, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}
