//! The peer: wasmtime, wasmtime-wasi and wasmtime-wasi-http on tokio.
//!
//! The engine has our settings where they are not the point: epochs every millisecond at which guests yield, the same stacks,
//! on-demand instances, no component-model async. Of wasmtime-wasi everything has its defaults. Requests are sent as
//! wasmtime-wasi-http's own handler (feature `default-send-request`) sends them, over one new connection each; it is
//! written out here without TLS, because the feature would have TLS built a second time, for tests.

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use wasmtime::component::ResourceTable;
use wasmtime::component::{Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Linker, Lower};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::bindings::LinkOptions;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};
use wippy::runtime::TICK;

use super::epochs::Epochs;
use crate::WORKERS;

/// What the default handler allows for each part of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);

/// A tokio runtime and an engine.
pub(crate) struct Peer {
    pub(crate) tokio: tokio::runtime::Runtime,
    engine: Engine,
    epochs: Epochs,
}

/// A component that is linked, and which of its functions is called.
#[derive(Clone)]
pub(crate) struct Guest {
    pre: InstancePre<World>,
    function: ComponentExportIndex,
}

/// What a guest's store carries.
struct World {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: OneConnectionEach,
    table: ResourceTable,
}

impl WasiView for World {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for World {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

impl Peer {
    pub(crate) fn new() -> Peer {
        Peer::with(|_| ())
    }

    /// A peer whose engine has other settings as well.
    pub(crate) fn with(settings: impl FnOnce(&mut Config)) -> Peer {
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .concurrency_support(false)
            .max_wasm_stack(1 << 20)
            .async_stack_size((1 << 20) + (256 << 10))
            .wasm_backtrace_max_frames(std::num::NonZero::new(32));
        settings(&mut config);
        let engine = Engine::new(&config).expect("an engine");
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .enable_all()
            .build()
            .expect("a runtime");
        let epochs = Epochs::new([&engine], TICK);
        Peer { tokio, engine, epochs }
    }

    /// Does something while the epoch moves; at other times it stands still, so that the other side has the machine.
    pub(crate) fn awake<R>(&self, work: impl FnOnce() -> R) -> R {
        self.epochs.awake(work)
    }

    pub(crate) fn load(&self, guest: &str, function: &str) -> Guest {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/guests/{guest}.wasm"));
        let component = Component::from_file(&self.engine, file).expect("a component");
        let mut linker = Linker::<World>::new(&self.engine);
        let mut options = LinkOptions::default();
        // A guest asks for it, and it is behind a gate.
        options.network_error_code(true);
        wasmtime_wasi::p2::add_to_linker_with_options_async(&mut linker, &options).expect("a linker");
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).expect("a linker");
        let pre = linker.instantiate_pre(&component).expect("imports that are served");
        let function = component.get_export_index(None, function).expect("the function");
        Guest { pre, function }
    }

    /// Runs a guest as a task of its own; `world` says what it may see.
    pub(crate) fn spawn<P, R>(
        &self,
        guest: &Guest,
        world: impl FnOnce(&mut WasiCtxBuilder),
        parameters: P,
    ) -> tokio::task::JoinHandle<R>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: Send + Sync + 'static,
        (R,): ComponentNamedList + Lift,
    {
        let Guest { pre, function } = guest.clone();
        let mut wasi = WasiCtxBuilder::new();
        world(&mut wasi);
        self.tokio.spawn(async move {
            let (http, hooks, table) = (WasiHttpCtx::new(), OneConnectionEach, ResourceTable::new());
            let mut store = Store::new(pre.engine(), World { wasi: wasi.build(), http, hooks, table });
            store.set_epoch_deadline(1);
            store.epoch_deadline_async_yield_and_update(1);
            let instance = pre.instantiate_async(&mut store).await.expect("an instance");
            let function = instance.get_typed_func::<P, (R,)>(&mut store, function).expect("the function's type");
            function.call_async(&mut store, parameters).await.expect("a result").0
        })
    }

    /// Waits for a guest.
    pub(crate) fn wait<R>(&self, guest: tokio::task::JoinHandle<R>) -> R {
        self.tokio.block_on(guest).expect("a task that does not panic")
    }
}

/// Sends each request over a connection of its own, as the default handler does.
struct OneConnectionEach;

/// What is left to do for a connection once the response is there.
type Rest = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, Rest), Error>;

impl WasiHttpHooks for OneConnectionEach {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Rest,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(send(request, options))
    }
}

async fn send(mut request: http::Request<WasiBody>, options: Option<RequestOptions>) -> Sent {
    let limit = |of: fn(&RequestOptions) -> Option<Duration>| options.as_ref().and_then(of).unwrap_or(REQUEST_TIMEOUT);
    let authority = request.uri().authority().ok_or(Error::HttpRequestUriInvalid)?.to_string();
    let stream = timeout(limit(|options| options.connect_timeout), TcpStream::connect(authority)).await;
    let stream = stream.map_err(|_| Error::ConnectionTimeout)?.map_err(Error::Connect)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = http::Uri::builder().path_and_query(path).build().expect("it was part of one");
    // Nobody else moves the connection's bytes until the response is there.
    let mut connection = Some(Box::pin(connection));
    let mut sending = pin!(timeout(limit(|options| options.first_byte_timeout), sender.send_request(request)));
    let response = poll_fn(|cx| {
        if let Poll::Ready(response) = sending.as_mut().poll(cx) {
            return Poll::Ready(response);
        }
        match connection.as_mut().map(|moving| moving.as_mut().poll(cx)) {
            Some(Poll::Ready(_)) => connection = None,
            Some(Poll::Pending) | None => return Poll::Pending,
        }
        sending.as_mut().poll(cx)
    });
    let response = response.await.map_err(|_| Error::ConnectionReadTimeout)??;
    let rest = async move {
        match connection {
            Some(connection) => Ok(connection.await?),
            None => Ok(()),
        }
    };
    Ok((response.map(|body| body.map_err(Error::from).boxed_unsync()), Box::new(rest)))
}
