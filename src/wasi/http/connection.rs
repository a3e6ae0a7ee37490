//! One connection as one task: connect, then a request at a time, idle in between, until either side has enough.
//!
//! The task owns socket, TLS session and hyper's state, so that nothing of them is on a guest's stack and ending the task
//! closes the connection. A guest ends it by dropping its side: the future response, the body it reads, or the body it
//! writes.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::oneshot;
use http::Request;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

use super::client::Open;
use super::connect::{Network, Origin, connect};
use super::errors;
use super::incoming::{Answer, Answered, Reader};
use super::outgoing::{OUTGOING_BODY_BYTES_MAX, OutgoingBody, Pipe};
use super::socket::Probe;
use super::tls::Stream;
use crate::limits::Charge;

/// How many bytes of a response's head are accepted, and how many of its body are read ahead.
pub(super) const RESPONSE_BUFFER_BYTES_MAX: usize = 128 * 1024;

/// What a process is charged with for a request that is under way, in bytes: what may wait of its body, and of the response.
pub(super) const EXCHANGE_BYTES: usize = OUTGOING_BODY_BYTES_MAX + RESPONSE_BUFFER_BYTES_MAX;

/// The time limits of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub(super) connect: Duration,
    pub(super) first_byte: Duration,
    pub(super) between_bytes: Duration,
}

/// A request on its way to a connection.
pub(super) struct Job {
    pub(super) request: Request<OutgoingBody>,
    /// The guest's side of the body in `request`.
    pub(super) upload: Arc<Pipe>,
    /// Where the answer goes; cancelled when nobody wants it any more.
    pub(super) respond: oneshot::Sender<Answered>,
    pub(super) timeouts: Timeouts,
    pub(super) network: Network,
    /// For what the exchange may hold of both messages; kept until it is over.
    pub(super) charge: Option<Charge>,
}

impl Job {
    pub(super) fn answer(self, answered: Answered) {
        // Nobody may want it any more.
        let _ = self.respond.send(answered);
    }
}

/// Runs a new connection to its end, beginning with `job`.
pub(super) async fn run(open: Open, origin: Origin, mut job: Job) {
    let Some(connected) = establish(&open, &origin, &mut job).await else { return };
    let (mut link, mut job) = match connected {
        Ok(link) => (link, job),
        Err(error) => return job.answer(Err(error)),
    };
    loop {
        match link.exchange(&open, job).await {
            After::Reusable => {}
            After::Closed => return,
            After::NotServed(job) => return open.client.send(origin, *job),
        }
        let Some(next) = link.idle(&open, &origin).await else { return };
        job = next;
    }
}

/// Connects within the time of `job`; `None` when nobody wants its answer any more.
async fn establish(open: &Open, origin: &Origin, job: &mut Job) -> Option<Result<Link, ErrorCode>> {
    let (reactor, config) = (open.client.reactor(), open.client.config());
    let mut limit = reactor.sleep(job.timeouts.connect);
    let network = job.network.clone();
    let mut connecting = pin!(async {
        let stream = connect(reactor, config, origin, &network).await?;
        let probe = stream.probe();
        let handshake = http1::Builder::new().max_buf_size(RESPONSE_BUFFER_BYTES_MAX).handshake(stream).await;
        let (sender, connection) = handshake.map_err(|error| errors::of_hyper(&error))?;
        Ok(Link { sender, connection: Some(connection), probe, used: false })
    });
    poll_fn(|cx| {
        if job.respond.poll_canceled(cx).is_ready() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
            return Poll::Ready(Some(connected));
        }
        Pin::new(&mut limit).poll(cx).map(|()| Some(Err(ErrorCode::ConnectionTimeout)))
    })
    .await
}

/// A connection that speaks HTTP.
struct Link {
    sender: http1::SendRequest<OutgoingBody>,
    /// `None` once it has ended.
    connection: Option<http1::Connection<Stream, OutgoingBody>>,
    probe: Probe,
    /// It has served a request before.
    used: bool,
}

/// What became of a connection after a request.
enum After {
    Reusable,
    Closed,
    /// The server closed it instead of answering, and another connection can serve the request.
    NotServed(Box<Job>),
}

/// How the wait for the head of a response ended.
enum Head {
    Response(Box<http::Response<Incoming>>),
    Failed(ErrorCode, Option<Box<Request<OutgoingBody>>>),
    /// Nobody wants it any more.
    Unwanted,
}

/// The request once more, when serving it twice is the same as once: no body, and a method that says so.
fn repeatable(request: &Request<OutgoingBody>) -> Option<Request<OutgoingBody>> {
    if !(request.method().is_idempotent() && request.body().is_end_stream()) {
        return None;
    }
    let mut copy = Request::new(OutgoingBody(Pipe::empty()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

impl Link {
    /// Moves bytes both ways.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            // Whoever waits for something of it is told by its drop, and by its error before.
            self.connection = None;
        }
    }

    /// One request and its response, up to the point where the connection could serve the next.
    async fn exchange(&mut self, open: &Open, job: Job) -> After {
        let Job { request, upload, mut respond, timeouts, network, charge } = job;
        let reused = std::mem::replace(&mut self.used, true);
        if reused && !self.probe.is_open() {
            return After::NotServed(Box::new(Job { request, upload, respond, timeouts, network, charge }));
        }
        let copy = if reused { repeatable(&request) } else { None };
        let response = match self.head(open, request, &upload, &mut respond, timeouts).await {
            Head::Response(response) => *response,
            Head::Unwanted => return After::Closed,
            Head::Failed(error, back) => {
                // A server may close a connection at the moment when it gets its next request.
                let copy = copy.filter(|_| matches!(error, ErrorCode::ConnectionTerminated));
                match back.map(|request| *request).or(copy).filter(|_| reused) {
                    Some(request) => {
                        return After::NotServed(Box::new(Job { request, upload, respond, timeouts, network, charge }));
                    }
                    None => {
                        let _ = respond.send(Err(error));
                        return After::Closed;
                    }
                }
            }
        };
        let (head, body) = response.into_parts();
        let (ended, mut end) = oneshot::channel();
        let body = Reader::new(body, ended, open.client.reactor().clone(), timeouts.between_bytes);
        if respond.send(Ok(Answer { head, body })).is_err() {
            return After::Closed;
        }
        let after = self.rest(open, &upload, &mut end).await;
        drop(charge);
        after
    }

    async fn head(
        &mut self,
        open: &Open,
        request: Request<OutgoingBody>,
        upload: &Pipe,
        respond: &mut oneshot::Sender<Answered>,
        timeouts: Timeouts,
    ) -> Head {
        let mut response = pin!(self.sender.try_send_request(request));
        let mut limit = open.client.reactor().sleep(timeouts.first_byte);
        poll_fn(|cx| {
            if respond.poll_canceled(cx).is_ready() {
                return Poll::Ready(Head::Unwanted);
            }
            self.drive(cx);
            if let Poll::Ready(response) = response.as_mut().poll(cx) {
                return Poll::Ready(match response {
                    Ok(response) => Head::Response(Box::new(response)),
                    Err(mut error) => {
                        let request = error.take_message().map(Box::new);
                        Head::Failed(errors::of_hyper(error.error()), request)
                    }
                });
            }
            if upload.poll_aborted(cx).is_ready() {
                return Poll::Ready(Head::Failed(ErrorCode::HttpRequestBodySize(None), None));
            }
            Pin::new(&mut limit).poll(cx).map(|()| Head::Failed(ErrorCode::ConnectionReadTimeout, None))
        })
        .await
    }

    /// The bodies, until both have ended or the guest wants no more of them.
    async fn rest(&mut self, open: &Open, upload: &Pipe, end: &mut oneshot::Receiver<()>) -> After {
        // Set once the guest is done with both bodies: a server that does not take the last bytes has this long.
        let mut limit = None;
        let mut read = None;
        poll_fn(|cx| {
            // Before the connection is driven: it must see that nobody reads, and may find the rest of the body there.
            if read.is_none()
                && let Poll::Ready(ended) = Pin::new(&mut *end).poll(cx)
            {
                read = Some(ended.is_ok());
            }
            self.drive(cx);
            if self.connection.is_none() {
                return Poll::Ready(After::Closed);
            }
            if let Poll::Ready(ready) = self.sender.poll_ready(cx) {
                return Poll::Ready(if ready.is_ok() { After::Reusable } else { After::Closed });
            }
            if read == Some(false) || upload.poll_aborted(cx).is_ready() {
                return Poll::Ready(After::Closed);
            }
            if read.is_some() && upload.is_ended() {
                let idle_time = open.client.config().idle_time;
                let limit = limit.get_or_insert_with(|| open.client.reactor().sleep(idle_time));
                return Pin::new(limit).poll(cx).map(|()| After::Closed);
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for the next job. `None` when the server, the pool or time has ended the connection.
    async fn idle(&mut self, open: &Open, origin: &Origin) -> Option<Job> {
        let mut offer = open.offer(origin)?;
        let mut limit = open.client.reactor().sleep(open.client.config().idle_time);
        let job = poll_fn(|cx| {
            if let Poll::Ready(job) = Pin::new(&mut offer.job).poll(cx) {
                return Poll::Ready(job.ok());
            }
            self.drive(cx);
            if self.connection.is_none() {
                return Poll::Ready(None);
            }
            Pin::new(&mut limit).poll(cx).map(|()| None)
        })
        .await;
        if job.is_none() {
            open.withdraw(origin, offer);
        }
        job
    }
}
