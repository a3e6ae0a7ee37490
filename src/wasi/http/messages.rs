//! The other messages: responses that a guest receives, and those of servers, which load here and have nothing to serve.

use std::convert::Infallible;
use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::HttpResult;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, Method, Scheme, StatusCode};
use wasmtime_wasi_io::poll::{DynPollable, subscribe};
use wasmtime_wasi_io::streams::DynInputStream;

use super::cast;
use super::fields::Fields;
use super::incoming::{Answer, FutureResponse, FutureTrailers, IncomingBody, IncomingStream};
use super::outgoing::Pipe;
use super::request::GuestBody;
use crate::wasi::state::WasiState;

type Fallible<T> = std::result::Result<T, ()>;

/// A response that has arrived; its body until the guest takes it. Dropping it drops the body: the rest is not read.
struct IncomingResponse {
    status: StatusCode,
    headers: Fields,
    body: Option<IncomingBody>,
}

impl types::HostFutureIncomingResponse for WasiState {
    fn subscribe(&mut self, future: Resource<types::FutureIncomingResponse>) -> Result<Resource<DynPollable>> {
        subscribe(&mut self.table, cast::<_, FutureResponse>(&future))
    }

    fn get(
        &mut self,
        future: Resource<types::FutureIncomingResponse>,
    ) -> Result<Option<Fallible<std::result::Result<Resource<types::IncomingResponse>, ErrorCode>>>> {
        let future: &mut FutureResponse = self.table.get_mut(&cast(&future))?;
        future.look();
        let answered = match std::mem::replace(future, FutureResponse::Taken) {
            FutureResponse::Ready(answered) => *answered,
            FutureResponse::Taken => return Ok(Some(Err(()))),
            pending @ FutureResponse::Pending(_) => {
                *future = pending;
                return Ok(None);
            }
        };
        Ok(Some(Ok(match answered {
            Ok(Answer { head, body }) => {
                let response = IncomingResponse {
                    status: head.status.as_u16(),
                    headers: Fields::received(head.headers).charged(self.usage())?,
                    body: Some(IncomingBody::new(body)),
                };
                Ok(cast(&self.table.push(response)?))
            }
            Err(error) => Err(error),
        })))
    }

    fn drop(&mut self, future: Resource<types::FutureIncomingResponse>) -> Result<()> {
        self.table.delete::<FutureResponse>(cast(&future))?;
        Ok(())
    }
}

impl WasiState {
    fn incoming_response(&mut self, response: &Resource<types::IncomingResponse>) -> Result<&mut IncomingResponse> {
        Ok(self.table.get_mut(&cast(response))?)
    }
}

impl types::HostIncomingResponse for WasiState {
    fn status(&mut self, response: Resource<types::IncomingResponse>) -> Result<StatusCode> {
        Ok(self.incoming_response(&response)?.status)
    }

    fn headers(&mut self, response: Resource<types::IncomingResponse>) -> Result<Resource<FieldMap>> {
        let headers = self.incoming_response(&response)?.headers.clone();
        Ok(cast(&self.table.push(headers)?))
    }

    fn consume(
        &mut self,
        response: Resource<types::IncomingResponse>,
    ) -> Result<Fallible<Resource<types::IncomingBody>>> {
        let Some(body) = self.incoming_response(&response)?.body.take() else { return Ok(Err(())) };
        Ok(Ok(cast(&self.table.push(body)?)))
    }

    fn drop(&mut self, response: Resource<types::IncomingResponse>) -> Result<()> {
        self.table.delete::<IncomingResponse>(cast(&response))?;
        Ok(())
    }
}

impl types::HostIncomingBody for WasiState {
    fn stream(&mut self, body: Resource<types::IncomingBody>) -> Result<Fallible<Resource<DynInputStream>>> {
        let ours = cast::<_, IncomingBody>(&body);
        let body = self.table.get_mut(&ours)?;
        if std::mem::replace(&mut body.streamed, true) {
            return Ok(Err(()));
        }
        let stream: DynInputStream = Box::new(IncomingStream(Arc::clone(&body.reader)));
        Ok(Ok(self.table.push_child(stream, &ours)?))
    }

    fn finish(&mut self, body: Resource<types::IncomingBody>) -> Result<Resource<types::FutureTrailers>> {
        let body: IncomingBody = self.table.delete(cast(&body))?;
        Ok(cast(&self.table.push(FutureTrailers::Reading(body.reader))?))
    }

    fn drop(&mut self, body: Resource<types::IncomingBody>) -> Result<()> {
        self.table.delete::<IncomingBody>(cast(&body))?;
        Ok(())
    }
}

impl types::HostFutureTrailers for WasiState {
    fn subscribe(&mut self, trailers: Resource<types::FutureTrailers>) -> Result<Resource<DynPollable>> {
        subscribe(&mut self.table, cast::<_, FutureTrailers>(&trailers))
    }

    fn get(
        &mut self,
        trailers: Resource<types::FutureTrailers>,
    ) -> Result<Option<Fallible<std::result::Result<Option<Resource<FieldMap>>, ErrorCode>>>> {
        let future: &mut FutureTrailers = self.table.get_mut(&cast(&trailers))?;
        future.look();
        let read = match std::mem::replace(future, FutureTrailers::Taken) {
            FutureTrailers::Ready(read) => read,
            FutureTrailers::Taken => return Ok(Some(Err(()))),
            reading @ FutureTrailers::Reading(_) => {
                *future = reading;
                return Ok(None);
            }
        };
        Ok(Some(Ok(match read {
            Ok(Some(trailers)) => {
                let trailers = Fields::received(trailers).charged(self.usage())?;
                Ok(Some(cast(&self.table.push(trailers)?)))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        })))
    }

    fn drop(&mut self, trailers: Resource<types::FutureTrailers>) -> Result<()> {
        self.table.delete::<FutureTrailers>(cast(&trailers))?;
        Ok(())
    }
}

/// A response that a guest builds. It can be built, but nobody asks for it.
struct OutgoingResponse {
    status: http::StatusCode,
    headers: Fields,
    /// The guest has had the body.
    has_body: bool,
}

impl WasiState {
    fn outgoing_response(&mut self, response: &Resource<types::OutgoingResponse>) -> Result<&mut OutgoingResponse> {
        Ok(self.table.get_mut(&cast(response))?)
    }
}

impl types::HostOutgoingResponse for WasiState {
    fn new(&mut self, headers: Resource<FieldMap>) -> Result<Resource<types::OutgoingResponse>> {
        let headers: Fields = self.table.delete(cast(&headers))?;
        let response = OutgoingResponse { status: http::StatusCode::OK, headers: headers.frozen(), has_body: false };
        Ok(cast(&self.table.push(response)?))
    }

    fn status_code(&mut self, response: Resource<types::OutgoingResponse>) -> Result<StatusCode> {
        Ok(self.outgoing_response(&response)?.status.as_u16())
    }

    fn set_status_code(
        &mut self,
        response: Resource<types::OutgoingResponse>,
        status: StatusCode,
    ) -> Result<Fallible<()>> {
        let Ok(status) = http::StatusCode::from_u16(status) else { return Ok(Err(())) };
        self.outgoing_response(&response)?.status = status;
        Ok(Ok(()))
    }

    fn headers(&mut self, response: Resource<types::OutgoingResponse>) -> Result<Resource<FieldMap>> {
        let headers = self.outgoing_response(&response)?.headers.clone();
        Ok(cast(&self.table.push(headers)?))
    }

    fn body(&mut self, response: Resource<types::OutgoingResponse>) -> Result<Fallible<Resource<types::OutgoingBody>>> {
        let response = self.outgoing_response(&response)?;
        let (false, Ok(announced)) = (response.has_body, response.headers.content_length()) else {
            return Ok(Err(()));
        };
        response.has_body = true;
        let body = GuestBody { pipe: Pipe::new(announced), written: false };
        Ok(Ok(cast(&self.table.push(body)?)))
    }

    fn drop(&mut self, response: Resource<types::OutgoingResponse>) -> Result<()> {
        self.table.delete::<OutgoingResponse>(cast(&response))?;
        Ok(())
    }
}

/// A request to a guest: none is ever made, so no handle leads here.
struct IncomingRequest(Infallible);

/// Where a guest would answer it.
struct ResponseOutparam(Infallible);

impl WasiState {
    fn incoming_request(&mut self, request: &Resource<types::IncomingRequest>) -> Result<Infallible> {
        Ok(self.table.get::<IncomingRequest>(&cast(request))?.0)
    }

    fn response_outparam(&mut self, param: &Resource<types::ResponseOutparam>) -> Result<Infallible> {
        Ok(self.table.get::<ResponseOutparam>(&cast(param))?.0)
    }
}

impl types::HostIncomingRequest for WasiState {
    fn method(&mut self, request: Resource<types::IncomingRequest>) -> Result<Method> {
        match self.incoming_request(&request)? {}
    }

    fn path_with_query(&mut self, request: Resource<types::IncomingRequest>) -> Result<Option<String>> {
        match self.incoming_request(&request)? {}
    }

    fn scheme(&mut self, request: Resource<types::IncomingRequest>) -> Result<Option<Scheme>> {
        match self.incoming_request(&request)? {}
    }

    fn authority(&mut self, request: Resource<types::IncomingRequest>) -> Result<Option<String>> {
        match self.incoming_request(&request)? {}
    }

    fn headers(&mut self, request: Resource<types::IncomingRequest>) -> Result<Resource<FieldMap>> {
        match self.incoming_request(&request)? {}
    }

    fn consume(
        &mut self,
        request: Resource<types::IncomingRequest>,
    ) -> Result<Fallible<Resource<types::IncomingBody>>> {
        match self.incoming_request(&request)? {}
    }

    fn drop(&mut self, request: Resource<types::IncomingRequest>) -> Result<()> {
        match self.incoming_request(&request)? {}
    }
}

impl types::HostResponseOutparam for WasiState {
    fn send_informational(
        &mut self,
        param: Resource<types::ResponseOutparam>,
        _status: u16,
        _headers: Resource<FieldMap>,
    ) -> HttpResult<()> {
        match self.response_outparam(&param).map_err(wasmtime_wasi_http::p2::HttpError::trap)? {}
    }

    fn set(
        &mut self,
        param: Resource<types::ResponseOutparam>,
        _response: std::result::Result<Resource<types::OutgoingResponse>, ErrorCode>,
    ) -> Result<()> {
        match self.response_outparam(&param)? {}
    }

    fn drop(&mut self, param: Resource<types::ResponseOutparam>) -> Result<()> {
        match self.response_outparam(&param)? {}
    }
}
