//! TLS against servers with certificates of this test's own authority.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::super::tls::TlsRoots;
use super::*;

/// A certificate authority.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server for these names that answers each request with the same body of `length` bytes.
fn secure_server(authority: &CertifiedIssuer<'_, KeyPair>, names: &[&str], length: usize) -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    server(move |mut stream, _| {
        let mut session = ServerConnection::new(config.clone()).unwrap();
        let mut reader = BufReader::new(rustls::Stream::new(&mut session, &mut stream));
        while !read_head(&mut reader).is_empty() {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            let sent = reader.get_mut().write_all(&[head.as_bytes(), &vec![b's'; length]].concat());
            if sent.is_err() {
                return;
            }
        }
    })
}

fn world(authority: &CertifiedIssuer<'_, KeyPair>) -> World {
    World::with(HttpConfig { roots: TlsRoots::only([authority.der().to_vec()]), ..HttpConfig::default() })
}

fn secure(address: SocketAddr, host: &str) -> Origin {
    Origin { tls: true, host: host.into(), ..origin(address) }
}

#[test]
fn a_server_of_a_trusted_authority_is_served_and_kept() {
    let authority = authority();
    for length in [0, 5, 3_000_000] {
        let address = secure_server(&authority, &["localhost", "127.0.0.1"], length);
        let world = world(&authority);
        for host in ["localhost", "127.0.0.1", "localhost"] {
            let (status, body) = world.whole(world.get(secure(address, host)));
            assert_eq!((status, body.len()), (200, length));
            assert!(body.iter().all(|byte| *byte == b's'));
            world.crew.until("it is kept", || world.client.stats().idle == world.client.stats().connections);
        }
        assert_eq!(world.client.stats().opened, 2);
    }
}

#[test]
fn a_server_that_is_not_who_it_should_be_is_refused() {
    let (ours, other) = (authority(), authority());
    let address = secure_server(&ours, &["localhost"], 0);
    let untrusted = world(&other);
    assert!(matches!(untrusted.error(untrusted.get(secure(address, "localhost"))), ErrorCode::TlsCertificateError));
    let world = world(&ours);
    assert!(matches!(world.error(world.get(secure(address, "127.0.0.1"))), ErrorCode::TlsCertificateError));
    assert_eq!(world.client.stats().connections, 0);
}

#[test]
fn a_server_that_does_not_speak_tls_is_an_error() {
    let authority = authority();
    let world = world(&authority);
    let address = server(|stream, _| {
        let _ = (&stream).write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        tell_end(stream, &AtomicBool::new(false));
    });
    assert!(matches!(world.error(world.get(secure(address, "localhost"))), ErrorCode::TlsProtocolError));
    let closing = server(|stream, _| drop(stream));
    let error = world.error(world.get(secure(closing, "localhost")));
    assert!(matches!(error, ErrorCode::TlsProtocolError | ErrorCode::ConnectionTerminated), "{error:?}");
}

#[test]
fn a_given_authority_that_is_none_is_told() {
    let world = World::with(HttpConfig { roots: TlsRoots::only([vec![1, 2, 3]]), ..HttpConfig::default() });
    let address = answering("");
    let error = world.error(world.get(secure(address, "localhost")));
    assert!(matches!(error, ErrorCode::InternalError(Some(text)) if text.contains("given certificate authority")));
}
