//! `wasi:http`: requests of guests, over hyper on the reactor's sockets and rustls.
//!
//! The generated bindings come from the crate `wasmtime-wasi-http`; of that crate nothing else runs. Its traits name its
//! own types for resources, so a handle is re-read as one of ours where it arrives ([`cast`]).
//!
//! **Must not know** schedulers: a connection is a future handed to a [`Spawner`]. Nor names, proxies or redirects: a
//! request goes where its authority says, `HTTP_PROXY` and its like are not read, and a redirect is the guest's affair.
//!
//! **Entries**: [`HttpClient::new`] once per host, [`add_to_linker`] for entries that list `wasi:http`.
//!
//! **Invariants**
//! - TLS, HTTP and lookups run in the task of a connection, never on a guest's stack.
//! - A guest's side and its connection share a one-shot channel and two bounded bodies; dropping the guest's side ends the
//!   request and closes a connection that can't be used again.
//! - Processes of different entries never share a connection.

mod client;
mod connect;
mod connection;
mod errors;
mod fields;
mod incoming;
mod messages;
mod options;
mod outgoing;
mod request;
mod socket;
#[cfg(test)]
mod tests;
mod tls;

use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi_http::p2::bindings::LinkOptions;
use wasmtime_wasi_http::p2::bindings::http::{outgoing_handler, types};
use wasmtime_wasi_http::p2::{HeaderError, HttpError};

pub use client::{
    CONNECTIONS_MAX, HttpClient, HttpConfig, HttpStats, IDLE_MAX, IDLE_PER_ORIGIN_MAX, IDLE_TIME, REQUEST_TIMEOUT,
    Spawner,
};
pub use tls::TlsRoots;

use super::state::{WasiState, WasiView};

/// Links `wasi:http/types` and `wasi:http/outgoing-handler`.
pub(super) fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let options = LinkOptions::default();
    types::add_to_linker::<T, HasSelf<WasiState>>(linker, &(&options).into(), T::wasi)?;
    outgoing_handler::add_to_linker::<T, HasSelf<WasiState>>(linker, T::wasi)
}

/// A handle of the bindings as one of ours, or the other way round: only the number counts, and the table checks the type.
fn cast<A: 'static, B: 'static>(resource: &Resource<A>) -> Resource<B> {
    if resource.owned() { Resource::new_own(resource.rep()) } else { Resource::new_borrow(resource.rep()) }
}

impl types::Host for WasiState {
    fn convert_error_code(&mut self, error: HttpError) -> Result<types::ErrorCode> {
        error.downcast()
    }

    fn convert_header_error(&mut self, error: HeaderError) -> Result<types::HeaderError> {
        error.downcast()
    }

    fn http_error_code(&mut self, error: Resource<types::IoError>) -> Result<Option<types::ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref::<types::ErrorCode>().cloned())
    }
}
