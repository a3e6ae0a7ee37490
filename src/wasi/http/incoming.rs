//! The response that a guest receives: its head when it is there, its body as a stream, its trailers at the end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use http::HeaderMap;
use hyper::body::{Body, Incoming};
use parking_lot::Mutex;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, StreamError, StreamResult};

use super::errors;
use crate::limits::{WaitReason, wait_for};
use crate::reactor::{Reactor, Sleep};
use crate::wasi::stdio::TRANSFER_BYTES_MAX;

/// What a connection answers to a request.
pub(super) type Answered = Result<Answer, ErrorCode>;

/// A response whose body is still on its way.
pub(super) struct Answer {
    pub(super) head: http::response::Parts,
    pub(super) body: Reader,
}

/// A response to come: the resource `future-incoming-response`. Dropping it ends the request.
pub(super) enum FutureResponse {
    Pending(oneshot::Receiver<Answered>),
    Ready(Box<Answered>),
    /// The guest has it.
    Taken,
}

/// What the connection was dropped with: its task was refused by a host that is full or shuts down, or panicked.
fn gone() -> Answered {
    Err(ErrorCode::InternalError(Some("the host could not keep the connection, it is full or shuts down".into())))
}

impl FutureResponse {
    /// The answer, if it is there.
    pub(super) fn look(&mut self) {
        if let FutureResponse::Pending(receiver) = self {
            match receiver.try_recv() {
                Ok(None) => {}
                Ok(Some(answered)) => *self = FutureResponse::Ready(Box::new(answered)),
                Err(oneshot::Canceled) => *self = FutureResponse::Ready(Box::new(gone())),
            }
        }
    }
}

#[async_trait]
impl Pollable for FutureResponse {
    async fn ready(&mut self) {
        if let FutureResponse::Pending(receiver) = self {
            let answered = wait_for(WaitReason::Http, |cx| Pin::new(&mut *receiver).poll(cx)).await;
            let answered = answered.unwrap_or_else(|oneshot::Canceled| gone());
            *self = FutureResponse::Ready(Box::new(answered));
        }
    }
}

/// Reads a body, chunk by chunk.
pub(super) struct Reader {
    /// Dropped before `ended`: the connection must see that nobody reads before it asks whether to go on.
    incoming: Option<Incoming>,
    /// Tells the connection that the body was read to its end; dropping it says that nobody will.
    ended: Option<oneshot::Sender<()>>,
    /// Received, and not yet taken by the guest.
    chunk: Bytes,
    trailers: Option<HeaderMap>,
    /// Why nothing more comes.
    failed: Option<ErrorCode>,
    /// The stream has told its guest so.
    told: bool,
    reactor: Arc<Reactor>,
    /// How long somebody waits for the next bytes.
    between_bytes: Duration,
    limit: Option<Sleep>,
}

impl Reader {
    pub(super) fn new(
        incoming: Incoming,
        ended: oneshot::Sender<()>,
        reactor: Arc<Reactor>,
        between_bytes: Duration,
    ) -> Reader {
        let mut reader = Reader {
            incoming: None,
            ended: Some(ended),
            chunk: Bytes::new(),
            trailers: None,
            failed: None,
            told: false,
            reactor,
            between_bytes,
            limit: None,
        };
        if incoming.is_end_stream() {
            reader.end();
        } else {
            reader.incoming = Some(incoming);
        }
        reader
    }

    /// The body was read whole: its connection can serve the next request.
    fn end(&mut self) {
        self.incoming = None;
        if let Some(ended) = self.ended.take() {
            // Nobody listens on a connection that ends with its body.
            let _ = ended.send(());
        }
    }

    fn fail(&mut self, error: ErrorCode) {
        self.incoming = None;
        self.ended = None;
        self.failed = Some(error);
    }

    /// Ready when there are bytes in `chunk`, or none will come.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.chunk.is_empty()
            && let Some(incoming) = &mut self.incoming
        {
            let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx) else {
                let limit = self.limit.get_or_insert_with(|| self.reactor.sleep(self.between_bytes));
                ready!(Pin::new(limit).poll(cx));
                self.fail(ErrorCode::ConnectionReadTimeout);
                return Poll::Ready(());
            };
            self.limit = None;
            match frame {
                None => self.end(),
                Some(Err(error)) => self.fail(errors::of_hyper(&error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.chunk = data,
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
        Poll::Ready(())
    }

    fn take(&mut self, max: usize) -> StreamResult<Bytes> {
        // Also for a guest that asks again and again without ever waiting.
        let ready = self.poll_chunk(&mut Context::from_waker(Waker::noop())).is_ready();
        if !self.chunk.is_empty() {
            return Ok(self.chunk.split_to(max.min(self.chunk.len())));
        }
        if !ready {
            return Ok(Bytes::new());
        }
        match &self.failed {
            // Told once; a stream that has failed is a closed one.
            Some(error) if !std::mem::replace(&mut self.told, true) => {
                Err(StreamError::LastOperationFailed(wasmtime::Error::new(error.clone())))
            }
            _ => Err(StreamError::Closed),
        }
    }

    /// Reads what is left of the body, and gives what came after it.
    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, ErrorCode>> {
        loop {
            self.chunk = Bytes::new();
            ready!(self.poll_chunk(cx));
            if self.incoming.is_none() {
                return Poll::Ready(self.failed.take().map_or_else(|| Ok(self.trailers.take()), Err));
            }
        }
    }
}

/// A body: the resource `incoming-body`. It and its stream share the reader; only one of them reads at a time.
pub(super) struct IncomingBody {
    pub(super) reader: Arc<Mutex<Reader>>,
    /// The guest has had the stream.
    pub(super) streamed: bool,
}

impl IncomingBody {
    pub(super) fn new(reader: Reader) -> IncomingBody {
        IncomingBody { reader: Arc::new(Mutex::new(reader)), streamed: false }
    }
}

/// A body as the guest's input stream.
pub(super) struct IncomingStream(pub(super) Arc<Mutex<Reader>>);

#[async_trait]
impl Pollable for IncomingStream {
    async fn ready(&mut self) {
        wait_for(WaitReason::Http, |cx| self.0.lock().poll_chunk(cx)).await;
    }
}

#[async_trait]
impl InputStream for IncomingStream {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.0.lock().take(size.min(TRANSFER_BYTES_MAX))
    }
}

/// Trailers to come: the resource `future-trailers`.
pub(super) enum FutureTrailers {
    Reading(Arc<Mutex<Reader>>),
    Ready(Result<Option<HeaderMap>, ErrorCode>),
    /// The guest has them.
    Taken,
}

impl FutureTrailers {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let FutureTrailers::Reading(reader) = self {
            let trailers = ready!(reader.lock().poll_trailers(cx));
            *self = FutureTrailers::Ready(trailers);
        }
        Poll::Ready(())
    }

    /// Looks without waiting.
    pub(super) fn look(&mut self) {
        let _ = self.poll(&mut Context::from_waker(Waker::noop()));
    }
}

#[async_trait]
impl Pollable for FutureTrailers {
    async fn ready(&mut self) {
        wait_for(WaitReason::Http, |cx| self.poll(cx)).await;
    }
}
