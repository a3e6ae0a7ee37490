//! TLS over a socket of the reactor, and the certificate authorities that are trusted.

use std::io::{self, Read as _, Write as _};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use hyper::rt::ReadBufCursor;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::socket::{Probe, Socket};
use crate::reactor::{BlockingPool, assert_may_block};

/// How many bytes are taken out of a TLS record at once: a record holds no more.
const READ_BYTES: usize = 16 * 1024;

/// The certificate authorities that servers are checked against. Clones share what was loaded.
///
/// The default are those of the system, or of the file that the environment variable `SSL_CERT_FILE` (and the folders that
/// `SSL_CERT_DIR`) name. They are read once, when the first request needs them.
#[derive(Clone, Default)]
pub struct TlsRoots(Arc<Roots>);

#[derive(Default)]
struct Roots {
    /// Certificates instead of those of the system, each in DER.
    given: Option<Vec<Vec<u8>>>,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl TlsRoots {
    /// Only these authorities, each a certificate in DER.
    #[must_use]
    pub fn only(certificates: impl IntoIterator<Item = Vec<u8>>) -> TlsRoots {
        TlsRoots(Arc::new(Roots { given: Some(certificates.into_iter().collect()), config: OnceLock::new() }))
    }

    /// The configuration of all connections, made on the blocking pool when it is not there yet: that reads files.
    pub(super) async fn config(&self, pool: &BlockingPool) -> Result<Arc<ClientConfig>, String> {
        if let Some(config) = self.0.config.get() {
            return config.clone();
        }
        let roots = self.0.clone();
        // Requests that come meanwhile wait on their own threads of the pool; the files are read once.
        match pool.run(move || roots.config.get_or_init(|| roots.load()).clone()).await {
            Ok(config) => config,
            Err(error) => Err(error.to_string()),
        }
    }
}

impl std::fmt::Debug for TlsRoots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsRoots").field("given", &self.0.given.as_ref().map(Vec::len)).finish_non_exhaustive()
    }
}

impl Roots {
    fn load(&self) -> Result<Arc<ClientConfig>, String> {
        assert_may_block();
        let mut store = RootCertStore::empty();
        match &self.given {
            Some(given) => {
                for certificate in given {
                    let certificate = CertificateDer::from(certificate.clone());
                    store.add(certificate).map_err(|error| format!("a given certificate authority: {error}"))?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                for error in &found.errors {
                    tracing::warn!(%error, "a certificate authority of the system could not be read");
                }
                // A system has some that are out of date or of an old form: those are left out, as others do.
                let (added, ignored) = store.add_parsable_certificates(found.certs);
                tracing::debug!(added, ignored, "certificate authorities of the system");
                if added == 0 {
                    return Err(
                        "no certificate authority was found, install them or name a file in `SSL_CERT_FILE`".into()
                    );
                }
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// An encrypted connection.
pub(super) struct Tls {
    socket: Socket,
    session: ClientConnection,
    /// Where decrypted bytes wait for who asked for them.
    buffer: Box<[u8]>,
}

impl Tls {
    /// Shakes hands over `socket` and checks that the other side is `server`.
    pub(super) async fn connect(socket: Socket, config: Arc<ClientConfig>, server: &str) -> io::Result<Tls> {
        let server = ServerName::try_from(server.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let session = ClientConnection::new(config, server).map_err(invalid)?;
        let mut tls = Tls { socket, session, buffer: vec![0; READ_BYTES].into() };
        std::future::poll_fn(|cx| tls.poll_handshake(cx)).await?;
        Ok(tls)
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_send(cx))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Writes all records that wait.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            if pending_or(self.session.write_tls(&mut self.socket.blocking(cx)))?.is_none() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads and decrypts what is there; zero at the end of the connection.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(count) = pending_or(self.session.read_tls(&mut self.socket.blocking(cx)))? else {
            return Poll::Pending;
        };
        if let Err(error) = self.session.process_new_packets() {
            // The other side should learn why; if it can't be told at once, it sees the end.
            let _ = self.poll_send(cx);
            return Poll::Ready(Err(invalid(error)));
        }
        Poll::Ready(Ok(count))
    }
}

/// A TLS error as hyper carries it; [`super::errors`] finds it again.
fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// `None` for `WouldBlock`.
fn pending_or<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

impl hyper::rt::Read for Tls {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let tls = self.get_mut();
        loop {
            let wanted = buf.remaining().min(tls.buffer.len());
            if let Some(count) = pending_or(tls.session.reader().read(&mut tls.buffer[..wanted]))? {
                buf.put_slice(&tls.buffer[..count]);
                return Poll::Ready(Ok(()));
            }
            // At the end of the connection the reader says whether it was an orderly one.
            let received = tls.poll_receive(cx)?;
            // Answers of the protocol itself, a key update for example. Not waited for: the next write sends the rest.
            let _ = tls.poll_send(cx)?;
            ready!(received);
        }
    }
}

impl hyper::rt::Write for Tls {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let tls = self.get_mut();
        loop {
            let taken = tls.session.writer().write(buf)?;
            if taken > 0 || buf.is_empty() {
                let _ = tls.poll_send(cx)?;
                return Poll::Ready(Ok(taken));
            }
            // The session's buffer is full.
            ready!(tls.poll_send(cx))?;
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tls = self.get_mut();
        tls.session.send_close_notify();
        ready!(tls.poll_send(cx))?;
        Poll::Ready(tls.socket.shutdown())
    }
}

/// A connection, encrypted or not.
pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<Tls>),
}

impl Stream {
    pub(super) fn probe(&self) -> Probe {
        match self {
            Stream::Plain(socket) => socket.probe(),
            Stream::Tls(tls) => tls.socket.probe(),
        }
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buf),
        }
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(&mut **tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, Stream::Plain(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
        }
    }
}
