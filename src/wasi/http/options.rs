//! The time limits of a request: the resource `request-options`.

use std::time::Duration;

use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::bindings::http::types::{self, Duration as Nanos};

use super::cast;
use super::client::HttpConfig;
use super::connection::Timeouts;
use crate::wasi::state::WasiState;

type Answer = std::result::Result<(), ()>;

/// What a guest asks for; `None` is the client's default. A limit of zero is over at once.
#[derive(Clone, Copy, Default)]
pub(super) struct RequestOptions {
    connect: Option<Nanos>,
    first_byte: Option<Nanos>,
    between_bytes: Option<Nanos>,
}

impl RequestOptions {
    pub(super) fn timeouts(self, config: &HttpConfig) -> Timeouts {
        let or = |nanos: Option<Nanos>, default| nanos.map_or(default, Duration::from_nanos);
        Timeouts {
            connect: or(self.connect, config.connect_timeout),
            first_byte: or(self.first_byte, config.first_byte_timeout),
            between_bytes: or(self.between_bytes, config.between_bytes_timeout),
        }
    }
}

impl WasiState {
    fn request_options(&mut self, options: &Resource<types::RequestOptions>) -> Result<&mut RequestOptions> {
        Ok(self.table.get_mut(&cast(options))?)
    }
}

impl types::HostRequestOptions for WasiState {
    fn new(&mut self) -> Result<Resource<types::RequestOptions>> {
        Ok(cast(&self.table.push(RequestOptions::default())?))
    }

    fn connect_timeout(&mut self, options: Resource<types::RequestOptions>) -> Result<Option<Nanos>> {
        Ok(self.request_options(&options)?.connect)
    }

    fn set_connect_timeout(
        &mut self,
        options: Resource<types::RequestOptions>,
        nanos: Option<Nanos>,
    ) -> Result<Answer> {
        self.request_options(&options)?.connect = nanos;
        Ok(Ok(()))
    }

    fn first_byte_timeout(&mut self, options: Resource<types::RequestOptions>) -> Result<Option<Nanos>> {
        Ok(self.request_options(&options)?.first_byte)
    }

    fn set_first_byte_timeout(
        &mut self,
        options: Resource<types::RequestOptions>,
        nanos: Option<Nanos>,
    ) -> Result<Answer> {
        self.request_options(&options)?.first_byte = nanos;
        Ok(Ok(()))
    }

    fn between_bytes_timeout(&mut self, options: Resource<types::RequestOptions>) -> Result<Option<Nanos>> {
        Ok(self.request_options(&options)?.between_bytes)
    }

    fn set_between_bytes_timeout(
        &mut self,
        options: Resource<types::RequestOptions>,
        nanos: Option<Nanos>,
    ) -> Result<Answer> {
        self.request_options(&options)?.between_bytes = nanos;
        Ok(Ok(()))
    }

    fn drop(&mut self, options: Resource<types::RequestOptions>) -> Result<()> {
        self.table.delete::<RequestOptions>(cast(&options))?;
        Ok(())
    }
}
