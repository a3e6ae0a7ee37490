//! The servers that guests talk to: this program once more, as a process of its own.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// Says that the program is to serve.
const ARGUMENT: &str = "--wippy-bench-servers";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\nHello, guests!";
const LAST_RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 14\r\n\r\nHello, guests!";

/// What guests make of either response.
pub(crate) const ANSWER: &str = "200 14 Hello, guests!";

/// The program that serves; it ends with this value.
pub(crate) struct Servers {
    child: Child,
    /// Sends back what it is sent.
    pub(crate) echo: u16,
    /// Answers each GET with [`ANSWER`], and closes the connection after one of `/close`.
    pub(crate) http: u16,
}

impl Servers {
    pub(crate) fn start() -> Servers {
        let program = std::env::current_exe().expect("this program's path");
        let mut child = Command::new(program)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let mut ports = String::new();
        let stdout = child.stdout.take().expect("piped above");
        BufReader::new(stdout).read_line(&mut ports).expect("a line with its ports");
        let (echo, http) = ports.trim().split_once(' ').expect("two ports");
        Servers { child, echo: echo.parse().expect("a port"), http: http.parse().expect("a port") }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Copy)]
enum Protocol {
    Echo,
    Http,
}

struct Connection {
    stream: TcpStream,
    protocol: Protocol,
    /// The beginning of a request.
    head: Vec<u8>,
}

impl Connection {
    /// Answers what has come. False when the connection is over.
    fn serve(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            };
            // Answers are shorter than what a socket always has room for, since nobody asks again before they are read.
            let goes_on = match self.protocol {
                Protocol::Echo => self.stream.write_all(&buffer[..count]).is_ok(),
                Protocol::Http => self.answer(&buffer[..count]),
            };
            if !goes_on {
                return false;
            }
        }
    }

    fn answer(&mut self, bytes: &[u8]) -> bool {
        self.head.extend_from_slice(bytes);
        if !self.head.ends_with(b"\r\n\r\n") {
            return true;
        }
        let is_last = self.head.starts_with(b"GET /close ");
        self.head.clear();
        self.stream.write_all(if is_last { LAST_RESPONSE } else { RESPONSE }).is_ok() && !is_last
    }
}

/// For the main function of a bench with servers: this may be the program that serves.
pub(crate) fn serve_if_asked() {
    if std::env::args().nth(1).is_some_and(|argument| argument == ARGUMENT) {
        serve();
    }
}

/// Prints the ports and serves until the standard input ends.
fn serve() -> ! {
    std::thread::spawn(|| {
        // Whoever started it has ended.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let mut poll = Poll::new().expect("an epoll instance");
    let mut listeners = [Protocol::Echo, Protocol::Http].map(|protocol| {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        (protocol, listener)
    });
    for (at, (_, listener)) in listeners.iter_mut().enumerate() {
        poll.registry().register(listener, Token(at), Interest::READABLE).expect("a listener is watched");
    }
    let [echo, http] = listeners.each_ref().map(|(_, listener)| listener.local_addr().expect("an address").port());
    println!("{echo} {http}");

    let mut connections = HashMap::new();
    let mut next = listeners.len();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if let Err(error) = poll.poll(&mut events, None) {
            assert_eq!(error.kind(), ErrorKind::Interrupted, "no events: {error}");
        }
        for event in &events {
            let Token(at) = event.token();
            if let Some((protocol, listener)) = listeners.get(at) {
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = stream.set_nodelay(true);
                    poll.registry().register(&mut stream, Token(next), Interest::READABLE).expect("it is watched");
                    connections.insert(next, Connection { stream, protocol: *protocol, head: Vec::new() });
                    next += 1;
                }
            } else if let Some(connection) = connections.get_mut(&at)
                && !connection.serve(&mut buffer)
            {
                connections.remove(&at);
            }
        }
    }
}
