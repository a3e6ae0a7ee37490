//! The peer: wasmtime on tokio, with the settings of our engines.

use std::path::Path;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use wasmtime::{Config, Engine, InstancePre, Linker, Module, Store};

use crate::WORKERS;
use crate::epochs::Epochs;

/// A tokio runtime, an engine whose epochs have a period, and the guest.
pub(crate) struct Peer {
    tokio: tokio::runtime::Runtime,
    pre: InstancePre<()>,
    epochs: Epochs,
}

impl Peer {
    pub(crate) fn new(tick: Duration) -> Peer {
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .concurrency_support(false)
            .memory_init_cow(false)
            .max_wasm_stack(1 << 20)
            .async_stack_size((1 << 20) + (256 << 10))
            .wasm_backtrace_max_frames(std::num::NonZero::new(32));
        let engine = Engine::new(&config).expect("an engine");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/guests/spinner.wasm");
        let module = Module::from_file(&engine, file).expect("a module");
        let pre = Linker::new(&engine).instantiate_pre(&module).expect("no imports");
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).build().expect("a runtime");
        Peer { tokio, pre, epochs: Epochs::new(&engine, tick) }
    }

    /// Does something while the epoch moves.
    pub(crate) fn awake<R>(&self, work: impl FnOnce() -> R) -> R {
        self.epochs.awake(work)
    }

    /// A guest that never ends.
    pub(crate) fn spin(&self) -> JoinHandle<()> {
        let pre = self.pre.clone();
        self.tokio.spawn(async move {
            let mut store = store(&pre);
            let instance = pre.instantiate_async(&mut store).await.expect("an instance");
            let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").expect("the function's type");
            spin.call_async(&mut store, ()).await.expect("no trap");
        })
    }

    /// A guest that counts so far; `told` is called with what it counted when everything of it is gone.
    pub(crate) fn count(&self, counts_to: i64, told: impl FnOnce(i64) + Send + 'static) {
        let pre = self.pre.clone();
        drop(self.tokio.spawn(async move {
            let mut store = store(&pre);
            let instance = pre.instantiate_async(&mut store).await.expect("an instance");
            let count = instance.get_typed_func::<i64, i64>(&mut store, "spin-for").expect("the function's type");
            let counted = count.call_async(&mut store, counts_to).await.expect("no trap");
            drop(store);
            told(counted);
        }));
    }

    /// Waits for the end of a guest.
    pub(crate) fn wait(&self, guest: JoinHandle<()>) -> Result<(), JoinError> {
        self.tokio.block_on(guest)
    }
}

/// A store whose guest yields at each epoch.
fn store(pre: &InstancePre<()>) -> Store<()> {
    let mut store = Store::new(pre.module().engine(), ());
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    store
}
