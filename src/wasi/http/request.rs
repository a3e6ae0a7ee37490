//! The request that a guest builds and sends: the resources `outgoing-request` and `outgoing-body`, and `handle`.

use std::sync::Arc;

use futures_channel::oneshot;
use http::uri::{Authority, PathAndQuery, Uri};
use http::{HeaderValue, Request, header};
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::HttpResult;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, Method, Scheme};
use wasmtime_wasi_io::streams::DynOutputStream;

use super::cast;
use super::connect::{Network, Origin};
use super::connection::{EXCHANGE_BYTES, Job};
use super::fields::Fields;
use super::incoming::FutureResponse;
use super::options::RequestOptions;
use super::outgoing::{OutgoingBody, OutgoingStream, Pipe};
use crate::limits::LimitExceeded;
use crate::wasi::config::WasiConfig;
use crate::wasi::network::host_name;
use crate::wasi::sockets::literal;
use crate::wasi::state::WasiState;

/// A request under construction.
pub(super) struct OutgoingRequest {
    method: Method,
    scheme: Option<Scheme>,
    authority: Option<Authority>,
    path_with_query: Option<String>,
    headers: Fields,
    /// There once the guest asked for it.
    body: Option<Arc<Pipe>>,
}

/// The body of a request or response that a guest writes. Dropped without `finish`, the message is broken.
pub(super) struct GuestBody {
    pub(super) pipe: Arc<Pipe>,
    /// The guest has had the stream.
    pub(super) written: bool,
}

impl Drop for GuestBody {
    fn drop(&mut self) {
        self.pipe.abort();
    }
}

/// A method in hyper's form. `CONNECT` asks for a tunnel, which nothing here offers.
fn read_method(method: &Method) -> std::result::Result<http::Method, ErrorCode> {
    Ok(match method {
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Delete => http::Method::DELETE,
        Method::Options => http::Method::OPTIONS,
        Method::Trace => http::Method::TRACE,
        Method::Patch => http::Method::PATCH,
        Method::Connect => return Err(ErrorCode::HttpRequestMethodInvalid),
        Method::Other(name) => match http::Method::from_bytes(name.as_bytes()) {
            Ok(http::Method::CONNECT) | Err(_) => return Err(ErrorCode::HttpRequestMethodInvalid),
            Ok(method) => method,
        },
    })
}

/// The target as it stands in the request's first line: never a whole URL, which would name another server.
fn read_path(path: &str) -> std::result::Result<PathAndQuery, ()> {
    if !(path.is_empty() || path.starts_with(['/', '?'])) {
        return Err(());
    }
    // An empty path is the root's, also before a query.
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    PathAndQuery::try_from(path).map_err(|_| ())
}

impl OutgoingRequest {
    fn origin(&self, config: &WasiConfig) -> std::result::Result<(Origin, HeaderValue), ErrorCode> {
        let tls = match &self.scheme {
            None | Some(Scheme::Https) => true,
            Some(Scheme::Http) => false,
            Some(Scheme::Other(_)) => return Err(ErrorCode::HttpProtocolError),
        };
        let authority = self.authority.as_ref().ok_or(ErrorCode::HttpRequestUriInvalid)?;
        // `host:` is a host without port; anything else behind a colon is a port or a mistake.
        let after_user = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
        let bare = after_user.strip_suffix(':').unwrap_or(after_user);
        let (host, port) = match authority.port() {
            None if bare.len() == authority.host().len() => (bare, if tls { 443 } else { 80 }),
            None => return Err(ErrorCode::HttpRequestUriInvalid),
            Some(port) => (authority.host(), port.as_str().parse().map_err(|_| ErrorCode::HttpRequestUriInvalid)?),
        };
        if port == 0 {
            return Err(ErrorCode::HttpRequestUriInvalid);
        }
        let unbracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // One form for the rules, the lookup, the certificate and the pool.
        let name = match literal(unbracketed) {
            Some(address) => address.to_string(),
            None => host_name(host).ok_or(ErrorCode::HttpRequestUriInvalid)?.into(),
        };
        // A name and a password before the host are not for the server's eyes in this field.
        let host_field = HeaderValue::from_str(bare).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        let (entry, security) = (Arc::clone(&config.entry), config.security.clone());
        Ok((Origin { entry, tls, host: name, port, security }, host_field))
    }

    fn build(self, host: HeaderValue) -> std::result::Result<(Request<OutgoingBody>, Arc<Pipe>), ErrorCode> {
        let announced = self.headers.content_length().map_err(|()| ErrorCode::HttpRequestBodySize(None))?;
        let pipe = match self.body {
            Some(pipe) => pipe,
            None if announced.is_some_and(|length| length != 0) => {
                return Err(ErrorCode::HttpRequestBodySize(Some(0)));
            }
            None => Pipe::empty(),
        };
        let target = read_path(self.path_with_query.as_deref().unwrap_or_default());
        let mut request = Request::new(OutgoingBody(pipe.clone()));
        *request.method_mut() = read_method(&self.method)?;
        *request.uri_mut() = Uri::from(target.map_err(|()| ErrorCode::HttpRequestUriInvalid)?);
        *request.headers_mut() = self.headers.into_map();
        // The map holds at most a little fewer than its own bound, and fails instead of growing beyond.
        request
            .headers_mut()
            .try_insert(header::HOST, host)
            .map_err(|_| ErrorCode::HttpRequestHeaderSectionSize(None))?;
        Ok((request, pipe))
    }
}

impl outgoing_handler::Host for WasiState {
    fn handle(
        &mut self,
        request: Resource<types::OutgoingRequest>,
        options: Option<Resource<types::RequestOptions>>,
    ) -> HttpResult<Resource<types::FutureIncomingResponse>> {
        let options = match options {
            Some(options) => self.table.delete::<RequestOptions>(cast(&options))?,
            None => RequestOptions::default(),
        };
        let request: OutgoingRequest = self.table.delete(cast(&request))?;
        let Some(client) = self.config.http.clone() else {
            let message = "this process was given no HTTP client";
            return Err(ErrorCode::ConfigurationError.into()).inspect_err(|_| {
                tracing::warn!(entry = %self.config.entry, "{message}");
            });
        };
        let (origin, host) = request.origin(&self.config)?;
        let network = Network { policy: self.config.network.clone(), resolver: self.config.resolver.clone() };
        origin.is_permitted(&network.policy)?;
        let (request, upload) = request.build(host)?;
        if !origin.may_be_asked_for(request.uri().path_and_query().map_or("/", PathAndQuery::as_str)) {
            return Err(ErrorCode::HttpRequestDenied.into());
        }
        let no_memory = |limit: LimitExceeded| ErrorCode::InternalError(Some(limit.to_string()));
        let charge = Some(self.usage().charge(EXCHANGE_BYTES).map_err(no_memory)?);
        let (respond, response) = oneshot::channel();
        // First the handle: when the table is full, nothing was sent.
        let future = self.table.push(FutureResponse::Pending(response))?;
        let timeouts = options.timeouts(client.config());
        client.send(origin, Job { request, upload, respond, timeouts, network, charge });
        Ok(cast(&future))
    }
}

impl WasiState {
    fn outgoing_request(&mut self, request: &Resource<types::OutgoingRequest>) -> Result<&mut OutgoingRequest> {
        Ok(self.table.get_mut(&cast(request))?)
    }
}

type Answer = std::result::Result<(), ()>;

impl types::HostOutgoingRequest for WasiState {
    fn new(&mut self, headers: Resource<FieldMap>) -> Result<Resource<types::OutgoingRequest>> {
        let headers: Fields = self.table.delete(cast(&headers))?;
        let request = OutgoingRequest {
            method: Method::Get,
            scheme: None,
            authority: None,
            path_with_query: None,
            headers: headers.frozen(),
            body: None,
        };
        Ok(cast(&self.table.push(request)?))
    }

    fn body(
        &mut self,
        request: Resource<types::OutgoingRequest>,
    ) -> Result<std::result::Result<Resource<types::OutgoingBody>, ()>> {
        let request = self.outgoing_request(&request)?;
        let (None, Ok(announced)) = (&request.body, request.headers.content_length()) else { return Ok(Err(())) };
        let pipe = Pipe::new(announced);
        request.body = Some(pipe.clone());
        Ok(Ok(cast(&self.table.push(GuestBody { pipe, written: false })?)))
    }

    fn method(&mut self, request: Resource<types::OutgoingRequest>) -> Result<Method> {
        Ok(self.outgoing_request(&request)?.method.clone())
    }

    fn set_method(&mut self, request: Resource<types::OutgoingRequest>, method: Method) -> Result<Answer> {
        if let Method::Other(name) = &method
            && http::Method::from_bytes(name.as_bytes()).is_err()
        {
            return Ok(Err(()));
        }
        self.outgoing_request(&request)?.method = method;
        Ok(Ok(()))
    }

    fn path_with_query(&mut self, request: Resource<types::OutgoingRequest>) -> Result<Option<String>> {
        Ok(self.outgoing_request(&request)?.path_with_query.clone())
    }

    fn set_path_with_query(
        &mut self,
        request: Resource<types::OutgoingRequest>,
        path: Option<String>,
    ) -> Result<Answer> {
        if path.as_deref().is_some_and(|path| read_path(path).is_err()) {
            return Ok(Err(()));
        }
        self.outgoing_request(&request)?.path_with_query = path;
        Ok(Ok(()))
    }

    fn scheme(&mut self, request: Resource<types::OutgoingRequest>) -> Result<Option<Scheme>> {
        Ok(self.outgoing_request(&request)?.scheme.clone())
    }

    fn set_scheme(&mut self, request: Resource<types::OutgoingRequest>, scheme: Option<Scheme>) -> Result<Answer> {
        if let Some(Scheme::Other(name)) = &scheme
            && http::uri::Scheme::try_from(name.as_str()).is_err()
        {
            return Ok(Err(()));
        }
        self.outgoing_request(&request)?.scheme = scheme;
        Ok(Ok(()))
    }

    fn authority(&mut self, request: Resource<types::OutgoingRequest>) -> Result<Option<String>> {
        Ok(self.outgoing_request(&request)?.authority.as_ref().map(ToString::to_string))
    }

    fn set_authority(
        &mut self,
        request: Resource<types::OutgoingRequest>,
        authority: Option<String>,
    ) -> Result<Answer> {
        let Ok(authority) = authority.map(Authority::try_from).transpose() else { return Ok(Err(())) };
        self.outgoing_request(&request)?.authority = authority;
        Ok(Ok(()))
    }

    fn headers(&mut self, request: Resource<types::OutgoingRequest>) -> Result<Resource<FieldMap>> {
        let headers = self.outgoing_request(&request)?.headers.clone();
        Ok(cast(&self.table.push(headers)?))
    }

    fn drop(&mut self, request: Resource<types::OutgoingRequest>) -> Result<()> {
        self.table.delete::<OutgoingRequest>(cast(&request))?;
        Ok(())
    }
}

impl types::HostOutgoingBody for WasiState {
    fn write(
        &mut self,
        body: Resource<types::OutgoingBody>,
    ) -> Result<std::result::Result<Resource<DynOutputStream>, ()>> {
        let ours = cast::<_, GuestBody>(&body);
        let body = self.table.get_mut(&ours)?;
        if std::mem::replace(&mut body.written, true) {
            return Ok(Err(()));
        }
        let stream: DynOutputStream = Box::new(OutgoingStream { pipe: body.pipe.clone(), permitted: 0 });
        Ok(Ok(self.table.push_child(stream, &ours)?))
    }

    fn finish(&mut self, body: Resource<types::OutgoingBody>, trailers: Option<Resource<FieldMap>>) -> HttpResult<()> {
        let trailers = match trailers {
            Some(trailers) => Some(self.table.delete::<Fields>(cast(&trailers))?.into_map()),
            None => None,
        };
        let body = self.table.delete::<GuestBody>(cast(&body))?;
        Ok(body.pipe.finish(trailers)?)
    }

    fn drop(&mut self, body: Resource<types::OutgoingBody>) -> Result<()> {
        self.table.delete::<GuestBody>(cast(&body))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(scheme: Option<Scheme>, authority: &str) -> std::result::Result<(String, u16, bool, String), ErrorCode> {
        let request = OutgoingRequest {
            method: Method::Get,
            scheme,
            authority: Some(authority.parse().expect("an authority")),
            path_with_query: None,
            headers: Fields::received(http::HeaderMap::new()),
            body: None,
        };
        let (origin, host) = request.origin(&WasiConfig { entry: "app:guest".into(), ..WasiConfig::default() })?;
        Ok((origin.host, origin.port, origin.tls, host.to_str().expect("text").to_owned()))
    }

    #[test]
    fn an_authority_is_a_host_and_a_port() {
        let http = || Some(Scheme::Http);
        let expect = |host: &str, port, tls, field: &str| (host.to_owned(), port, tls, field.to_owned());
        assert_eq!(origin(http(), "Example.com").unwrap(), expect("example.com", 80, false, "Example.com"));
        assert_eq!(origin(None, "example.com").unwrap(), expect("example.com", 443, true, "example.com"));
        assert_eq!(origin(http(), "a:8080").unwrap(), expect("a", 8080, false, "a:8080"));
        assert_eq!(origin(http(), "[::1]:81").unwrap(), expect("::1", 81, false, "[::1]:81"));
        assert_eq!(origin(http(), "[::1]").unwrap(), expect("::1", 80, false, "[::1]"));
        assert_eq!(origin(http(), "user:pass@a:82").unwrap(), expect("a", 82, false, "a:82"));
        assert_eq!(origin(http(), "127.1").unwrap(), expect("127.0.0.1", 80, false, "127.1"));
        assert_eq!(origin(http(), "[::ffff:10.0.0.1]").unwrap().0, "10.0.0.1");
        for wrong in ["a:0", "a:65536", "a:99999"] {
            assert!(matches!(origin(http(), wrong), Err(ErrorCode::HttpRequestUriInvalid)), "{wrong}");
        }
        let other = origin(Some(Scheme::Other("ftp".into())), "a");
        assert!(matches!(other, Err(ErrorCode::HttpProtocolError)));
    }

    #[test]
    fn a_path_never_names_another_server() {
        for path in ["http://other/", "other", "*", "@other/", " /"] {
            assert!(read_path(path).is_err(), "{path:?}");
        }
        for (path, target) in [("", "/"), ("/", "/"), ("/a?b=c", "/a?b=c"), ("?b", "/?b")] {
            assert_eq!(read_path(path).unwrap().as_str(), target);
        }
        assert!(read_path("/a b\r\nHost: c").is_err());
    }

    #[test]
    fn no_method_opens_a_tunnel() {
        assert!(read_method(&Method::Connect).is_err());
        assert!(read_method(&Method::Other("CONNECT".into())).is_err());
        assert_eq!(read_method(&Method::Other("QUERY".into())).unwrap().as_str(), "QUERY");
    }
}
