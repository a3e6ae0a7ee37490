//! The peer: the same guests as tasks of tokio, each with a bounded `mpsc` channel for its messages.
//!
//! It serves as much of `wippy:process` as these guests call: no rules, no links, no names, no bounds in bytes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::mpsc;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker, ResourceTable, ResourceType};
use wasmtime::{Config, Engine, Store, StoreContextMut};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_io::poll::DynPollable;
use wippy::runtime::TICK;

use self::bindings::wippy::process::processes::{Identity, SpawnOptions};
use self::bindings::wippy::process::types::{Ended, Error, Event, Exit, ExitKind, Message, Node, Payload};
use crate::WORKERS;
use crate::common::epochs::Epochs;

mod bindings {
    wasmtime::component::bindgen!({
        path: "src/wasm/host/wit",
        world: "wippy:process/imports",
        imports: { "wippy:process/mailbox.receive": async },
        with: { "wasi:io/poll": wasmtime_wasi::p2::bindings::io::poll },
    });
}

/// As many messages as our mailboxes hold.
const CAPACITY: usize = wippy::process::MAILBOX_MESSAGES;

/// A tokio runtime, an engine, and who can be written to.
pub(crate) struct Peer {
    tokio: tokio::runtime::Runtime,
    epochs: Epochs,
    town: Arc<Town>,
}

struct Town {
    pre: OnceLock<InstancePre<World>>,
    tokio: tokio::runtime::Handle,
    next: AtomicU64,
    mailboxes: Mutex<HashMap<String, mpsc::Sender<Message>>>,
}

/// What a guest's store carries.
struct World {
    wasi: WasiCtx,
    table: ResourceTable,
    pid: String,
    entry: String,
    town: Arc<Town>,
    inbox: mpsc::Receiver<Message>,
    events: mpsc::UnboundedReceiver<Event>,
    /// For those that it monitors.
    told: mpsc::UnboundedSender<Event>,
}

impl WasiView for World {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

type Spawn = (String, Vec<Payload>, Option<SpawnOptions>);
type Letter = (String, String, Vec<Payload>);

impl Peer {
    pub(crate) fn new() -> Peer {
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .concurrency_support(false)
            .max_wasm_stack(1 << 20)
            .async_stack_size((1 << 20) + (256 << 10));
        let engine = Engine::new(&config).expect("an engine");
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).build().expect("a runtime");
        let town = Arc::new(Town {
            pre: OnceLock::new(),
            tokio: tokio.handle().clone(),
            next: AtomicU64::new(1),
            mailboxes: Mutex::default(),
        });
        let pre = link(&engine).expect("imports that are served");
        assert!(town.pre.set(pre).is_ok(), "it is set once");
        Peer { tokio, epochs: Epochs::new([&engine], TICK), town }
    }

    /// Does something while the epoch moves; at other times it stands still, so that the other side has the machine.
    pub(crate) fn awake<R>(&self, work: impl FnOnce() -> R) -> R {
        self.epochs.awake(work)
    }

    /// Runs a guest that starts others to its end.
    pub(crate) fn run(&self, function: &'static str, numbers: (u32, u32)) {
        let (_, mut store) = world(&self.town, function);
        let pre = self.town.pre.get().expect("it is linked").clone();
        let guest = self.town.tokio.spawn(async move {
            let instance = pre.instantiate_async(&mut store).await.expect("an instance");
            let call = instance
                .get_typed_func::<(u32, u32), (Result<String, String>,)>(&mut store, function)
                .expect("the function's type");
            call.call_async(&mut store, numbers).await.expect("a result").0.expect("a good end");
            leave(&store);
        });
        self.tokio.block_on(guest).expect("a task that does not panic");
    }
}

fn world(town: &Arc<Town>, function: &str) -> (String, Store<World>) {
    // Relaxed: only the number itself is shared.
    let pid = format!("{{app:processes|{:#07x}}}", town.next.fetch_add(1, Ordering::Relaxed));
    let (sender, inbox) = mpsc::channel(CAPACITY);
    town.mailboxes.lock().expect("no panic").insert(pid.clone(), sender);
    let (told, events) = mpsc::unbounded_channel();
    let world = World {
        wasi: WasiCtxBuilder::new().build(),
        table: ResourceTable::new(),
        pid: pid.clone(),
        entry: format!("app:{function}"),
        town: town.clone(),
        inbox,
        events,
        told,
    };
    let mut store = Store::new(town.pre.get().expect("it is linked").component().engine(), world);
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    (pid, store)
}

fn leave(store: &Store<World>) {
    let World { pid, town, .. } = store.data();
    town.mailboxes.lock().expect("no panic").remove(pid);
}

/// Starts a `ring-node` or a `sink`.
fn spawn(own: &World, (entry, mut arguments, _): Spawn, told: Option<mpsc::UnboundedSender<Event>>) -> String {
    let function = entry.trim_start_matches("app:").to_owned();
    let (pid, mut store) = world(&own.town, &function);
    let pre = own.town.pre.get().expect("it is linked").clone();
    let argument = arguments.swap_remove(0).swap_remove(0);
    let name = pid.clone();
    own.town.tokio.spawn(async move {
        let instance = pre.instantiate_async(&mut store).await.expect("an instance");
        let read = match argument {
            Node::Text(next) => {
                let call = instance.get_typed_func::<(String,), (u32,)>(&mut store, &function).expect("its type");
                u64::from(call.call_async(&mut store, (next,)).await.expect("a result").0)
            }
            Node::Integer(count) => {
                let call = instance.get_typed_func::<(u32,), (u64,)>(&mut store, &function).expect("its type");
                let count = u32::try_from(count).expect("a count");
                call.call_async(&mut store, (count,)).await.expect("a result").0
            }
            _ => unreachable!("a pid or a count"),
        };
        leave(&store);
        if let Some(told) = told {
            let exit = Exit {
                kind: ExitKind::Returned,
                value: Some(vec![Node::Unsigned(read)]),
                code: None,
                message: format!("returned {read}"),
            };
            // Nobody listens any more when the run is over.
            let _ = told.send(Event::Exit(Ended { pid: name, exit }));
        }
    });
    pid
}

fn link(engine: &Engine) -> wasmtime::Result<InstancePre<World>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/guests/society.wasm");
    let component = Component::from_file(engine, file)?;
    let mut linker = Linker::<World>::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    let mut processes = linker.instance("wippy:process/processes@0.1.0")?;
    processes.func_wrap("self", |store: StoreContextMut<'_, World>, (): ()| {
        let World { pid, entry, .. } = store.data();
        Ok((Identity { pid: pid.clone(), entry: entry.clone(), parent: None },))
    })?;
    processes.func_wrap("spawn", |store: StoreContextMut<'_, World>, start: Spawn| {
        Ok((Ok::<_, Error>(spawn(store.data(), start, None)),))
    })?;
    processes.func_wrap("spawn-monitored", |store: StoreContextMut<'_, World>, start: Spawn| {
        Ok((Ok::<_, Error>(spawn(store.data(), start, Some(store.data().told.clone()))),))
    })?;
    let addressed = |store: &StoreContextMut<'_, World>, (to, topic, payloads): Letter| {
        let World { pid, town, .. } = store.data();
        let mailbox = town.mailboxes.lock().expect("no panic").get(&to).cloned().expect("somebody who lives");
        (mailbox, Message { from: Some(pid.clone()), topic, payloads })
    };
    processes.func_wrap("send", move |store: StoreContextMut<'_, World>, letter: Letter| {
        let (mailbox, message) = addressed(&store, letter);
        mailbox.try_send(message).expect("room");
        Ok((Ok::<(), Error>(()),))
    })?;
    processes.func_wrap_async("send-wait", move |store: StoreContextMut<'_, World>, letter: Letter| {
        let (mailbox, message) = addressed(&store, letter);
        Box::new(async move {
            mailbox.send(message).await.expect("somebody who reads");
            Ok((Ok::<(), Error>(()),))
        })
    })?;
    let mut mailbox = linker.instance("wippy:process/mailbox@0.1.0")?;
    // The interface uses it; these guests do not.
    mailbox.resource("pollable", ResourceType::host::<DynPollable>(), |_, _| Ok(()))?;
    mailbox.func_wrap_async("receive", |mut store: StoreContextMut<'_, World>, (_,): (Option<u64>,)| {
        Box::new(async move { Ok((store.data_mut().inbox.recv().await,)) })
    })?;
    mailbox.func_wrap_async("next-event", |mut store: StoreContextMut<'_, World>, (_,): (Option<u64>,)| {
        Box::new(async move { Ok((store.data_mut().events.recv().await,)) })
    })?;
    leave_out_the_rest(&mut linker, &component)?;
    linker.instantiate_pre(&component)
}

/// What these guests import and do not call.
fn leave_out_the_rest(linker: &mut Linker<World>, component: &Component) -> wasmtime::Result<()> {
    const SERVED: [&str; 7] = ["self", "spawn", "spawn-monitored", "send", "send-wait", "receive", "next-event"];
    let engine = component.engine();
    for (interface, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
        if !interface.starts_with("wippy:process/") {
            continue;
        }
        let mut linked = linker.instance(interface)?;
        for (name, item) in instance.exports(engine) {
            if matches!(item.ty, ComponentItem::ComponentFunc(_)) && !SERVED.contains(&name) {
                linked.func_new(name, |_, _, _, _| Err(wasmtime::Error::msg("it is not served here")))?;
            }
        }
    }
    Ok(())
}
