//! Standard streams as the resources of `wasi:io/streams`.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

use super::{Input, Output, StreamFailure, TRANSFER_BYTES_MAX};
use crate::limits::{Usage, WaitReason, wait_for};

impl From<StreamFailure> for StreamError {
    fn from(failure: StreamFailure) -> StreamError {
        match failure {
            StreamFailure::Closed => StreamError::Closed,
            failure @ StreamFailure::Failed(_) => StreamError::LastOperationFailed(wasmtime::Error::new(failure)),
        }
    }
}

/// A handle on the standard input.
pub(in crate::wasi) struct StdinStream {
    pub(in crate::wasi) input: Arc<dyn Input>,
    pub(in crate::wasi) usage: Arc<Usage>,
}

#[async_trait]
impl Pollable for StdinStream {
    async fn ready(&mut self) {
        wait_for(WaitReason::Stdin, |cx| self.input.poll_ready(cx)).await;
    }
}

#[async_trait]
impl InputStream for StdinStream {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let bytes = self.input.read(size.min(TRANSFER_BYTES_MAX))?;
        self.usage.add_in(bytes.len());
        Ok(bytes)
    }
}

/// A handle on the standard output or error.
///
/// A flush asks for nothing: bytes are on their way from the moment they are taken, in order across both streams of a
/// terminal, and a process ends only when they are out.
pub(in crate::wasi) struct StdoutStream {
    pub(in crate::wasi) output: Arc<dyn Output>,
    pub(in crate::wasi) usage: Arc<Usage>,
    /// What the last check allows to be written: a guest that writes more without asking is at fault.
    pub(in crate::wasi) permitted: usize,
}

#[async_trait]
impl Pollable for StdoutStream {
    async fn ready(&mut self) {
        wait_for(WaitReason::Output, |cx| self.output.poll_ready(cx)).await;
    }
}

#[async_trait]
impl OutputStream for StdoutStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > self.permitted {
            return Err(StreamError::trap("the guest wrote more bytes than `check-write` allowed"));
        }
        self.permitted -= bytes.len();
        self.usage.add_out(bytes.len()).map_err(|limit| StreamError::Trap(limit.into()))?;
        self.output.write(&bytes)?;
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.output.room()?;
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.permitted = self.output.room()?.min(TRANSFER_BYTES_MAX);
        Ok(self.permitted)
    }
}
