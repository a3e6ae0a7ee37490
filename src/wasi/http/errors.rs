//! What went wrong below, as the error codes of `wasi:http`.

use std::error::Error;
use std::io;

use wasmtime_wasi_http::p2::bindings::http::types::{DnsErrorPayload, ErrorCode, TlsAlertReceivedPayload};

use super::outgoing::Aborted;
use crate::wasi::resolver::ResolveError;

/// The first cause of this type.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An `io::Error` skips the error it carries when it is asked for its source.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    None
}

/// What a request or a response body ended with.
pub(super) fn of_hyper(error: &hyper::Error) -> ErrorCode {
    if let Some(Aborted) = cause(error) {
        return ErrorCode::HttpRequestBodySize(None);
    }
    if let Some(tls) = cause::<rustls::Error>(error) {
        return of_tls(tls);
    }
    if error.is_parse_too_large() {
        return ErrorCode::HttpResponseHeaderSectionSize(None);
    }
    if error.is_parse() {
        return ErrorCode::HttpProtocolError;
    }
    match cause::<io::Error>(error) {
        Some(error) if error.kind() == io::ErrorKind::UnexpectedEof => ErrorCode::HttpResponseIncomplete,
        // How hyper says that chunks are not as they should be.
        Some(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
            ErrorCode::HttpProtocolError
        }
        Some(error) => of_io(error),
        None => ErrorCode::ConnectionTerminated,
    }
}

/// What a connection attempt or a connection ended with.
pub(super) fn of_io(error: &io::Error) -> ErrorCode {
    if let Some(tls) = cause::<rustls::Error>(error) {
        return of_tls(tls);
    }
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => ErrorCode::ConnectionRefused,
        Kind::TimedOut => ErrorCode::ConnectionTimeout,
        Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::UnexpectedEof
        | Kind::NotConnected => ErrorCode::ConnectionTerminated,
        Kind::HostUnreachable => ErrorCode::DestinationUnavailable,
        Kind::NetworkUnreachable | Kind::AddrNotAvailable => ErrorCode::DestinationIpUnroutable,
        Kind::PermissionDenied => ErrorCode::DestinationIpProhibited,
        _ => match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::MFILE.raw_os_error() => ErrorCode::ConnectionLimitReached,
            Some(code) if code == rustix::io::Errno::NFILE.raw_os_error() => ErrorCode::ConnectionLimitReached,
            _ => ErrorCode::InternalError(Some(error.to_string())),
        },
    }
}

fn of_tls(error: &rustls::Error) -> ErrorCode {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => ErrorCode::TlsCertificateError,
        rustls::Error::AlertReceived(alert) => ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
            alert_id: Some((*alert).into()),
            alert_message: Some(format!("{alert:?}")),
        }),
        _ => ErrorCode::TlsProtocolError,
    }
}

/// What a name lookup ended with.
pub(super) fn of_lookup(error: &ResolveError) -> ErrorCode {
    // The system does not tell the code of the server's answer: these are the names of the codes that it comes from.
    let rcode = match error {
        ResolveError::NotFound => "NXDOMAIN",
        ResolveError::Temporary => "SERVFAIL",
        ResolveError::Permanent => "FAIL",
    };
    ErrorCode::DnsError(DnsErrorPayload { rcode: Some(rcode.into()), info_code: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_have_their_codes() {
        let code = |kind: io::ErrorKind| of_io(&kind.into());
        assert!(matches!(code(io::ErrorKind::ConnectionRefused), ErrorCode::ConnectionRefused));
        assert!(matches!(code(io::ErrorKind::ConnectionReset), ErrorCode::ConnectionTerminated));
        assert!(matches!(code(io::ErrorKind::TimedOut), ErrorCode::ConnectionTimeout));
        assert!(matches!(code(io::ErrorKind::NetworkUnreachable), ErrorCode::DestinationIpUnroutable));
        let full = io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
        assert!(matches!(of_io(&full), ErrorCode::ConnectionLimitReached));
        assert!(matches!(of_io(&io::Error::other("odd")), ErrorCode::InternalError(Some(text)) if text == "odd"));
    }

    #[test]
    fn errors_of_tls_are_found_below_those_of_the_system() {
        let carried = |error: rustls::Error| of_io(&io::Error::new(io::ErrorKind::InvalidData, error));
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert!(matches!(carried(untrusted), ErrorCode::TlsCertificateError));
        assert!(matches!(carried(rustls::Error::DecryptError), ErrorCode::TlsProtocolError));
        let alert = carried(rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure));
        let ErrorCode::TlsAlertReceived(alert) = alert else { panic!("expected an alert") };
        assert_eq!((alert.alert_id, alert.alert_message.as_deref()), (Some(40), Some("HandshakeFailure")));
    }

    #[test]
    fn errors_of_lookups_have_their_codes() {
        let unknown = of_lookup(&ResolveError::NotFound);
        assert!(matches!(unknown, ErrorCode::DnsError(error) if error.rcode.as_deref() == Some("NXDOMAIN")));
    }
}
