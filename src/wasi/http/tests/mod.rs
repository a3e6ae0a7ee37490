//! The client against servers of these tests, on loopback addresses and under a manual clock.

mod bodies;
mod connections;
mod failures;
mod secure;

use std::future::{Future, poll_fn};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_channel::oneshot;
use http::Request;
use parking_lot::Mutex;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, StreamError};

use super::client::{HttpClient, HttpConfig, Spawner};
use super::connect::{Network, Origin};
use super::connection::Job;
use super::incoming::{Answer, Answered, FutureResponse, IncomingBody, IncomingStream, Reader};
use super::options::RequestOptions;
use super::outgoing::{OutgoingBody, Pipe};
use crate::reactor::{Clock, Driver, Reactor, ReactorConfig};
use crate::security::SecurityContext;
use crate::wasi::network::{NetworkPolicy, Rule};
use crate::wasi::resolver::{Lookup, ResolveError, Resolver, SystemResolver};

/// How long a test waits for what must come before it says that it did not: no measure of anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// One turn of a test that waits for a condition.
const TURN: Duration = Duration::from_millis(2);

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Polls what the client hands out, on the thread of the test, which drives the reactor too.
#[derive(Clone)]
struct Crew {
    reactor: Arc<Reactor>,
    queue: Arc<Mutex<Vec<Arc<Unit>>>>,
}

struct Unit {
    future: Mutex<Option<BoxFuture>>,
    queued: AtomicBool,
    crew: Crew,
}

impl Wake for Unit {
    fn wake(self: Arc<Self>) {
        let crew = self.crew.clone();
        if !self.queued.swap(true, Ordering::SeqCst) {
            crew.queue.lock().push(self);
        }
        crew.reactor.unpark();
    }
}

impl Spawner for Crew {
    fn spawn(&self, future: BoxFuture) {
        let unit = Unit { future: Mutex::new(Some(future)), queued: AtomicBool::new(false), crew: self.clone() };
        Arc::new(unit).wake();
    }
}

impl Crew {
    /// Polls everybody who was woken.
    fn work(&self) {
        loop {
            let Some(unit) = self.queue.lock().pop() else { return };
            unit.queued.store(false, Ordering::SeqCst);
            let mut slot = unit.future.lock();
            let Some(future) = slot.as_mut() else { continue };
            let waker = Waker::from(unit.clone());
            if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                *slot = None;
            }
        }
    }

    /// Works until a condition holds.
    #[track_caller]
    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        loop {
            self.work();
            if holds() {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "it never came: {what}");
            self.reactor.park(Some(TURN));
        }
    }

    /// Works until a future is done.
    #[track_caller]
    fn run<R>(&self, future: impl Future<Output = R>) -> R {
        struct Unpark(Arc<Reactor>);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(self.reactor.clone())));
        let mut future = pin!(future);
        let mut result = None;
        self.until("the end of a future", || {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => result = Some(value),
                Poll::Pending => {}
            }
            result.is_some()
        });
        result.expect("it was waited for")
    }
}

/// A client, the time it follows, and who runs it.
struct World {
    clock: Clock,
    crew: Crew,
    client: HttpClient,
    network: Network,
}

impl World {
    fn new() -> World {
        World::with(HttpConfig::default())
    }

    fn with(config: HttpConfig) -> World {
        let clock = Clock::manual();
        let reactor = Reactor::new(clock.clone(), ReactorConfig::default()).unwrap();
        let crew = Crew { reactor: reactor.clone(), queue: Arc::default() };
        let client = HttpClient::new(reactor, Arc::new(crew.clone()), config);
        let network = Network { policy: Arc::default(), resolver: Arc::new(SystemResolver::default()) };
        World { clock, crew, client, network }
    }

    /// With this resolver for names.
    fn resolving(
        mut self,
        names: impl Fn(&str) -> Option<Result<Vec<IpAddr>, ResolveError>> + Send + Sync + 'static,
    ) -> World {
        self.network.resolver = Arc::new(Names(names));
        self
    }

    /// With these rules.
    fn ruled(mut self, allow: Option<&[&str]>, deny: &[&str]) -> World {
        let read = |rules: &[&str]| rules.iter().map(|rule| Rule::parse(rule).unwrap()).collect();
        self.network.policy = Arc::new(NetworkPolicy::new(allow.map(read), read(deny)));
        self
    }

    fn advance(&self, duration: Duration) {
        self.clock.advance(duration).unwrap();
    }

    /// Sends a request and gives what a guest would hold.
    fn send(&self, origin: Origin, request: Request<()>, upload: Arc<Pipe>) -> FutureResponse {
        let (respond, response) = oneshot::channel();
        let (parts, ()) = request.into_parts();
        let request = Request::from_parts(parts, OutgoingBody(upload.clone()));
        let timeouts = RequestOptions::default().timeouts(self.client.config());
        let network = self.network.clone();
        self.client.send(origin, Job { request, upload, respond, timeouts, network, charge: None });
        FutureResponse::Pending(response)
    }

    fn get(&self, origin: Origin) -> FutureResponse {
        self.send(origin, request("GET", "/"), Pipe::empty())
    }

    fn answered(&self, mut future: FutureResponse) -> Answered {
        self.crew.run(poll_fn(|cx| pin!(future.ready()).poll(cx)));
        match future {
            FutureResponse::Ready(answered) => *answered,
            _ => panic!("a future that is ready holds an answer"),
        }
    }

    #[track_caller]
    fn error(&self, future: FutureResponse) -> ErrorCode {
        match self.answered(future) {
            Err(error) => error,
            Ok(answer) => panic!("expected an error, got status {}", answer.head.status),
        }
    }

    /// The status and the whole body.
    #[track_caller]
    fn whole(&self, future: FutureResponse) -> (u16, Vec<u8>) {
        let Answer { head, body } = self.answered(future).expect("a response");
        (head.status.as_u16(), self.read(body).expect("a body"))
    }

    fn read(&self, body: Reader) -> Result<Vec<u8>, ErrorCode> {
        let mut stream = stream(body);
        let mut bytes = Vec::new();
        loop {
            match self.chunk(&mut stream) {
                Ok(chunk) => bytes.extend(chunk),
                Err(StreamError::Closed) => return Ok(bytes),
                Err(error) => return Err(code(error)),
            }
        }
    }

    /// The next bytes, waited for as a guest waits.
    fn chunk(&self, stream: &mut IncomingStream) -> Result<Bytes, StreamError> {
        loop {
            self.crew.run(poll_fn(|cx| pin!(stream.ready()).poll(cx)));
            let bytes = stream.read(usize::MAX)?;
            if !bytes.is_empty() {
                return Ok(bytes);
            }
        }
    }
}

fn stream(body: Reader) -> IncomingStream {
    IncomingStream(IncomingBody::new(body).reader)
}

/// The error code that a guest reads out of a failed stream.
fn code(error: StreamError) -> ErrorCode {
    match error {
        StreamError::LastOperationFailed(error) => error.downcast().expect("an error code"),
        other => panic!("expected a failure, got {other:?}"),
    }
}

fn request(method: &str, target: &str) -> Request<()> {
    Request::builder().method(method).uri(target).header("host", "test").body(()).unwrap()
}

fn origin(address: SocketAddr) -> Origin {
    Origin {
        entry: "app:guest".into(),
        tls: false,
        host: address.ip().to_string(),
        port: address.port(),
        security: SecurityContext::default(),
    }
}

/// A server that runs `serve` for each connection, in a thread of its own, with the number of the connection.
fn server(serve: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (serve, stream) = (serve.clone(), stream.unwrap());
            std::thread::spawn(move || serve(stream, number));
        }
    });
    address
}

/// The head of the next request; empty at the end of the connection.
fn read_head(stream: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap_or(0) > 0 {}
    head
}

/// A server that answers every request with these bytes.
fn answering(response: &'static str) -> SocketAddr {
    server(move |stream, _| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while !read_head(&mut reader).is_empty() {
            if (&stream).write_all(response.as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// A resolver of this test's making.
struct Names<F>(F);

impl<F: Fn(&str) -> Option<Result<Vec<IpAddr>, ResolveError>> + Send + Sync + 'static> Resolver for Names<F> {
    fn resolve(&self, name: &str) -> Lookup {
        match (self.0)(name) {
            Some(found) => Box::pin(std::future::ready(found)),
            None => Box::pin(std::future::pending()),
        }
    }
}

/// Reads to the end of a connection and tells that it came.
fn tell_end(mut stream: TcpStream, ended: &AtomicBool) {
    // A reset is an end too.
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
    ended.store(true, Ordering::SeqCst);
}

fn read_exactly(stream: &mut impl Read, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}
