//! The body that a guest sends: a bounded pipe from its output stream to the connection.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{OutputStream, StreamError, StreamResult};

use crate::limits::{WaitReason, wait_for};
use crate::wasi::stdio::TRANSFER_BYTES_MAX;

/// How many bytes of one body wait between a guest and its connection: two full transfers, so that one can be filled while
/// the other leaves.
pub(super) const OUTGOING_BODY_BYTES_MAX: usize = 2 * TRANSFER_BYTES_MAX;

/// What a chunk costs beside its bytes: a guest that writes single bytes must not hold more than one that writes large
/// chunks.
const CHUNK_BYTES: usize = 64;

/// Who listens on the other side of the pipe.
pub(super) struct Pipe(Mutex<State>);

#[derive(Default)]
struct State {
    chunks: VecDeque<Bytes>,
    /// Bytes of `chunks`, with the cost of each.
    queued: usize,
    /// What the guest announced as `content-length`, and has written of it so far.
    announced: Option<u64>,
    written: u64,
    end: End,
    /// The connection takes nothing any more.
    closed: bool,
    /// The connection, waiting for a chunk or the end.
    reader: Option<Waker>,
    /// The connection, waiting for the guest to give up.
    watcher: Option<Waker>,
    /// The guest, waiting for room.
    writer: Option<Waker>,
}

#[derive(Default)]
enum End {
    /// The guest may write more.
    #[default]
    Open,
    /// All is written; perhaps with trailers that have not been taken.
    Finished(Option<HeaderMap>),
    /// The guest has given up, the request is broken.
    Aborted,
}

/// The request's body was given up: what hyper is told, and tells back.
#[derive(Debug, thiserror::Error)]
#[error("the guest dropped the body of its request before its end")]
pub(super) struct Aborted;

impl Pipe {
    /// A pipe for a body of `announced` bytes, if that is known.
    pub(super) fn new(announced: Option<u64>) -> Arc<Pipe> {
        Arc::new(Pipe(Mutex::new(State { announced, ..State::default() })))
    }

    /// A body without bytes.
    pub(super) fn empty() -> Arc<Pipe> {
        Arc::new(Pipe(Mutex::new(State { end: End::Finished(None), ..State::default() })))
    }

    /// Changes the end of the body once, and tells the connection.
    fn end(&self, end: End) {
        let mut state = self.0.lock();
        if matches!(state.end, End::Open) {
            state.end = end;
        }
        let woken = [state.reader.take(), state.watcher.take()];
        drop(state);
        woken.into_iter().flatten().for_each(Waker::wake);
    }

    /// The guest has written everything.
    ///
    /// # Errors
    /// It has written less or more than it announced; the request is broken then.
    pub(super) fn finish(&self, trailers: Option<HeaderMap>) -> Result<(), ErrorCode> {
        let (announced, written) = {
            let state = self.0.lock();
            (state.announced, state.written)
        };
        if announced.is_some_and(|announced| announced != written) {
            self.end(End::Aborted);
            return Err(ErrorCode::HttpRequestBodySize(Some(written)));
        }
        self.end(End::Finished(trailers));
        Ok(())
    }

    /// The guest will not write the rest. No effect after [`Pipe::finish`].
    pub(super) fn abort(&self) {
        self.end(End::Aborted);
    }

    /// Ready when the guest has given up.
    pub(super) fn poll_aborted(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        match state.end {
            End::Aborted => Poll::Ready(()),
            End::Finished(_) => Poll::Pending,
            End::Open => {
                state.watcher = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// True when the guest writes nothing more.
    pub(super) fn is_ended(&self) -> bool {
        !matches!(self.0.lock().end, End::Open)
    }

    fn room(&self) -> StreamResult<usize> {
        let state = self.0.lock();
        // Who has taken all that was announced goes, perhaps before the guest has made sure that it is on its way.
        let is_taken = state.announced == Some(state.written);
        if state.closed && !is_taken || !matches!(state.end, End::Open) {
            return Err(StreamError::Closed);
        }
        Ok(OUTGOING_BODY_BYTES_MAX.saturating_sub(state.queued).min(TRANSFER_BYTES_MAX))
    }

    fn write(&self, bytes: Bytes) -> StreamResult<()> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(StreamError::Closed);
        }
        state.written += bytes.len() as u64;
        if let Some(announced) = state.announced
            && state.written > announced
        {
            let error = ErrorCode::HttpRequestBodySize(Some(state.written));
            drop(state);
            self.abort();
            return Err(StreamError::LastOperationFailed(wasmtime::Error::new(error)));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        state.queued += bytes.len() + CHUNK_BYTES;
        state.chunks.push_back(bytes);
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.closed || state.queued < OUTGOING_BODY_BYTES_MAX || !matches!(state.end, End::Open) {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The pipe as hyper reads it.
pub(super) struct OutgoingBody(pub(super) Arc<Pipe>);

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let mut state = self.0.0.lock();
        if let End::Aborted = state.end {
            return Poll::Ready(Some(Err(Aborted)));
        }
        if let Some(chunk) = state.chunks.pop_front() {
            state.queued -= chunk.len() + CHUNK_BYTES;
            let writer = state.writer.take();
            drop(state);
            writer.into_iter().for_each(Waker::wake);
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if let End::Finished(trailers) = &mut state.end {
            return Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.0.lock();
        state.chunks.is_empty() && matches!(state.end, End::Finished(None))
    }

    fn size_hint(&self) -> SizeHint {
        self.0.0.lock().announced.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.closed = true;
        let chunks = std::mem::take(&mut state.chunks);
        state.queued = 0;
        let writer = state.writer.take();
        drop(state);
        drop(chunks);
        writer.into_iter().for_each(Waker::wake);
    }
}

/// The pipe as the guest's output stream.
pub(super) struct OutgoingStream {
    pub(super) pipe: Arc<Pipe>,
    /// What the last check allows to be written.
    pub(super) permitted: usize,
}

#[async_trait]
impl Pollable for OutgoingStream {
    async fn ready(&mut self) {
        wait_for(WaitReason::Http, |cx| self.pipe.poll_room(cx)).await;
    }
}

#[async_trait]
impl OutputStream for OutgoingStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > self.permitted {
            return Err(StreamError::trap("the guest wrote more bytes than `check-write` allowed"));
        }
        self.permitted -= bytes.len();
        self.pipe.write(bytes)
    }

    /// Asks for nothing: bytes are on their way from the moment they are taken.
    fn flush(&mut self) -> StreamResult<()> {
        self.pipe.room().map(|_| ())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.permitted = self.pipe.room()?;
        Ok(self.permitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll_frame(body: &mut OutgoingBody) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_a_bounded_number_of_bytes() {
        for chunk in [1, 100, TRANSFER_BYTES_MAX] {
            let pipe = Pipe::new(None);
            let mut stream = OutgoingStream { pipe: pipe.clone(), permitted: 0 };
            let (mut written, mut writes) = (0, 0);
            loop {
                let room = stream.check_write().unwrap();
                if room == 0 {
                    break;
                }
                let bytes = Bytes::from(vec![0; chunk.min(room)]);
                written += bytes.len();
                writes += 1;
                stream.write(bytes).unwrap();
            }
            assert!(written + writes * CHUNK_BYTES <= OUTGOING_BODY_BYTES_MAX + CHUNK_BYTES, "{written} in {writes}");
            assert!(pipe.poll_room(&mut Context::from_waker(Waker::noop())).is_pending());
            let mut body = OutgoingBody(pipe.clone());
            assert!(matches!(poll_frame(&mut body), Poll::Ready(Some(Ok(_)))));
            assert!(stream.check_write().unwrap() > 0, "one chunk taken makes room");
            drop(body);
            assert!(matches!(stream.check_write(), Err(StreamError::Closed)));
        }
    }

    #[test]
    fn a_body_has_the_announced_size_or_is_broken() {
        let write = |announced, written: usize| {
            let pipe = Pipe::new(Some(announced));
            let mut stream = OutgoingStream { pipe: pipe.clone(), permitted: 0 };
            stream.check_write().unwrap();
            let result = stream.write(Bytes::from(vec![0; written]));
            (pipe, result)
        };
        let (pipe, result) = write(5, 5);
        result.unwrap();
        pipe.finish(None).unwrap();
        let (pipe, result) = write(5, 4);
        result.unwrap();
        assert!(matches!(pipe.finish(None), Err(ErrorCode::HttpRequestBodySize(Some(4)))));
        assert!(matches!(poll_frame(&mut OutgoingBody(pipe)), Poll::Ready(Some(Err(Aborted)))));
        let (_, result) = write(5, 6);
        let Err(StreamError::LastOperationFailed(error)) = result else { panic!("expected a failure") };
        assert!(matches!(error.downcast_ref(), Some(ErrorCode::HttpRequestBodySize(Some(6)))));
    }

    #[test]
    fn a_body_that_was_taken_whole_is_no_broken_one() {
        for (announced, is_closed) in [(Some(5), false), (Some(6), true), (None, true)] {
            let pipe = Pipe::new(announced);
            let mut stream = OutgoingStream { pipe: pipe.clone(), permitted: 0 };
            stream.check_write().unwrap();
            stream.write(Bytes::from_static(b"12345")).unwrap();
            drop(OutgoingBody(pipe.clone()));
            assert_eq!(matches!(stream.flush(), Err(StreamError::Closed)), is_closed, "{announced:?}");
            assert_eq!(matches!(stream.check_write(), Err(StreamError::Closed)), is_closed, "{announced:?}");
            assert!(stream.write(Bytes::from_static(b"6")).is_err(), "{announced:?}");
        }
    }

    #[test]
    fn trailers_come_after_the_last_chunk() {
        let pipe = Pipe::new(None);
        pipe.write(Bytes::from_static(b"data")).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("sum", http::HeaderValue::from_static("1"));
        pipe.finish(Some(trailers)).unwrap();
        pipe.abort();
        let mut body = OutgoingBody(pipe);
        assert!(matches!(poll_frame(&mut body), Poll::Ready(Some(Ok(frame))) if frame.is_data()));
        assert!(!body.is_end_stream());
        assert!(matches!(poll_frame(&mut body), Poll::Ready(Some(Ok(frame))) if frame.is_trailers()));
        assert!(body.is_end_stream());
        assert!(matches!(poll_frame(&mut body), Poll::Ready(None)));
    }
}
