//! Requests of real guests to servers of these tests, on loopback addresses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection};
use wippy::Runtime;
use wippy::process::{Exit, Payload, ProcessHandle, Start};
use wippy::reactor::Clock;
use wippy::registry::LoadOptions;

use super::mission::copy_folder;
use super::support::{Said, assert_said, fixture, guest_app, run_in, wippy};

/// How long a test waits for what must come before it says that it did not: no measure of anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that runs `serve` for each connection, in a thread of its own.
pub(crate) fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (serve, stream) = (serve.clone(), stream.expect("a connection"));
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// The head of the next request; empty at the end of the connection.
pub(crate) fn read_head(stream: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap_or(0) > 0 {}
    head
}

/// A server that answers each request with what `answer` makes of its head.
pub(crate) fn answering(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    server(move |stream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
        loop {
            let head = read_head(&mut reader);
            if head.is_empty() || (&stream).write_all(&answer(&head)).is_err() {
                return;
            }
        }
    })
}

/// A server that reads a request and never answers: tells of each request, and of each end of a connection.
fn stalling() -> (SocketAddr, Receiver<&'static str>) {
    let (tell, told): (Sender<&'static str>, _) = channel();
    let address = server(move |stream| {
        let mut reader = BufReader::new(stream);
        read_head(&mut reader);
        let _ = tell.send("asked");
        let _ = reader.read_to_end(&mut Vec::new());
        let _ = tell.send("ended");
    });
    (address, told)
}

pub(crate) fn ok(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// The mission's application with its `API_URL` set.
fn mission(url: &str, workers: usize) -> Runtime {
    let mut options = LoadOptions::new(fixture("apps/mission"));
    options.overrides = vec![format!("myns:settings:values.API_URL={url}")];
    Runtime::builder().load_options(options).cache(false).workers(workers).build().expect("a sound app")
}

fn fetch(runtime: &Runtime) -> Exit {
    runtime.spawn("myns:http_worker", [0i64; 0]).expect("a process").wait()
}

fn returned(text: impl Into<String>) -> Exit {
    Exit::Returned(Payload::String(text.into()))
}

#[test]
fn the_missions_worker_fetches_its_url() {
    let address = answering(|head| {
        assert!(head.starts_with("GET /status?full=1 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("host: 127.0.0.1:") || head.contains("host: localhost:"), "{head}");
        ok(b"all is well")
    });
    let runtime = mission(&format!("http://{address}/status?full=1"), 1);
    assert_eq!(fetch(&runtime), returned("200 11 all is well"));
    // By name too: the lookup runs on the blocking pool.
    let runtime = mission(&format!("http://localhost:{}/status?full=1", address.port()), 1);
    assert_eq!(fetch(&runtime), returned("200 11 all is well"));
}

#[test]
fn a_large_body_arrives_whole_through_a_guest() {
    let address = answering(|_| ok(&[b'z'; 3_000_000]));
    let runtime = mission(&format!("http://{address}/"), 2);
    let Exit::Returned(Payload::String(text)) = fetch(&runtime) else { panic!("expected a result") };
    assert!(text.starts_with("200 3000000 zzz"), "{}", &text[..40]);
    assert_eq!(text.len(), "200 3000000 ".len() + 3_000_000);
}

#[test]
fn processes_of_an_entry_share_their_connections() {
    let (tell, told) = channel();
    let address = server(move |stream| {
        tell.send(()).expect("the test listens");
        let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
        while !read_head(&mut reader).is_empty() && (&stream).write_all(&ok(b"x")).is_ok() {}
    });
    let runtime = mission(&format!("http://{address}/"), 1);
    for _ in 0..20 {
        assert_eq!(fetch(&runtime), returned("200 1 x"));
    }
    // A connection can serve the next process a moment after its response was read: mostly, not always, before that asks.
    let connections = told.try_iter().count();
    assert!(connections < 10, "{connections} connections for 20 requests one after another");
}

/// That others go on meanwhile is said by `yielding`.
#[test]
fn a_guest_that_is_ended_ends_its_connection() {
    let (address, told) = stalling();
    let runtime = mission(&format!("http://{address}/"), 1);
    let stuck: Vec<_> = (0..3).map(|_| runtime.spawn("myns:http_worker", [0i64; 0]).expect("a process")).collect();
    for _ in &stuck {
        assert_eq!(told.recv_timeout(PATIENCE), Ok("asked"));
    }
    assert!(stuck.iter().all(|process| process.exit().is_none()));
    for process in &stuck {
        process.terminate();
        assert_eq!(process.wait(), Exit::Terminated);
        assert_eq!(told.recv_timeout(PATIENCE), Ok("ended"));
    }
}

#[test]
fn a_host_that_stops_closes_its_connections() {
    let (address, told) = stalling();
    let runtime = mission(&format!("http://{address}/"), 1);
    let stuck = runtime.spawn("myns:http_worker", [0i64; 0]).expect("a process");
    assert_eq!(told.recv_timeout(PATIENCE), Ok("asked"));
    drop(runtime);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("ended"));
    assert!(stuck.exit().is_some());
}

#[test]
fn what_goes_wrong_is_an_error_of_the_guest() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = listener.local_addr().expect("an address");
    drop(listener);
    let runtime = mission(&format!("http://{closed}/"), 1);
    let Exit::Returned(Payload::String(text)) = fetch(&runtime) else { panic!("expected a result") };
    assert!(text.starts_with("error: ") && text.contains("ConnectionRefused"), "{text}");
    let broken = server(|stream| {
        read_head(&mut BufReader::new(&stream));
        (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort").expect("a client that waits");
    });
    let runtime = mission(&format!("http://{broken}/"), 1);
    let Exit::Returned(Payload::String(text)) = fetch(&runtime) else { panic!("expected a result") };
    assert!(text.starts_with("error: ") && text.contains("HttpResponseIncomplete"), "{text}");
}

#[test]
fn an_entry_that_does_not_list_http_has_none() {
    let copy = tempfile::tempdir().expect("a folder");
    copy_folder(&fixture("apps/mission"), copy.path());
    let index = copy.path().join("_index.yaml");
    let text = std::fs::read_to_string(&index).expect("a file").replace("      - wasi:http\n", "");
    std::fs::write(&index, text).expect("a file");
    let runtime = Runtime::builder().load(copy.path()).cache(false).build().expect("a sound app");
    let exit = fetch(&runtime).to_string();
    assert!(exit.contains("wasi:http"), "{exit}");
}

#[test]
fn two_hundred_guests_wait_for_their_responses_on_one_worker() {
    let (arrived, wait) = channel();
    let gate = Arc::new(std::sync::Barrier::new(2));
    let go = gate.clone();
    // All requests are there before the first answer.
    let pending = Arc::new(std::sync::Mutex::new(Vec::new()));
    let held = pending.clone();
    let address = server(move |stream| {
        read_head(&mut BufReader::new(&stream));
        held.lock().expect("no panic").push(stream);
        arrived.send(()).expect("the test listens");
    });
    std::thread::spawn(move || {
        go.wait();
        for stream in pending.lock().expect("no panic").drain(..) {
            (&stream).write_all(&ok(b"late")).expect("a client that waits");
        }
    });
    let runtime = mission(&format!("http://{address}/"), 1);
    let guests: Vec<_> = (0..200).map(|_| runtime.spawn("myns:http_worker", [0i64; 0]).expect("a process")).collect();
    for _ in &guests {
        wait.recv_timeout(PATIENCE).expect("a request");
    }
    gate.wait();
    for guest in guests {
        assert_eq!(guest.wait(), returned("200 4 late"));
    }
}

/// A certificate authority and a server of it for `localhost`.
fn secure(body: &'static [u8]) -> (String, SocketAddr) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the default versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .expect("a certificate with its key");
    let config = Arc::new(config);
    let address = server(move |mut stream| {
        let mut session = ServerConnection::new(config.clone()).expect("a session");
        let mut reader = BufReader::new(rustls::Stream::new(&mut session, &mut stream));
        while !read_head(&mut reader).is_empty() && reader.get_mut().write_all(&ok(body)).is_ok() {}
    });
    (authority.pem(), address)
}

#[test]
fn the_program_trusts_the_authorities_that_it_is_given() {
    let (authority, address) = secure(b"secret");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, authority).expect("a file");
    let url = format!("https://localhost:{}/", address.port());
    let fetch = |trusted: &std::path::Path| {
        let output = wippy()
            .arg("-C")
            .arg(fixture("apps/mission"))
            .args(["-o", &format!("myns:settings:values.API_URL={url}"), "run", "-x", "myns:http_worker"])
            .env("SSL_CERT_FILE", trusted)
            // Not read: a request goes where it says.
            .env("HTTPS_PROXY", "http://127.0.0.1:1/")
            .env("ALL_PROXY", "http://127.0.0.1:1/")
            .output()
            .expect("the program");
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(fetch(&file), "200 6 secret\n");
    let (other, _) = secure(b"");
    let wrong = folder.path().join("other.pem");
    std::fs::write(&wrong, other).expect("a file");
    let refused = fetch(&wrong);
    assert!(refused.contains("TlsCertificateError"), "{refused}");
}

/// The guest in JavaScript, whose engine is a component of another toolchain, with the profiles that it needs, without
/// `wasi:http` if it is not `listed`.
fn run_javascript(url: Option<&str>, listed: bool) -> Said {
    let http = if listed { ", wasi:http" } else { "" };
    let url = url.map_or_else(String::new, |url| format!(", default: '{url}'"));
    let app = guest_app(&format!(
        "- {{ name: store, kind: env.storage.memory }}
         - {{ name: url, kind: env.variable, storage: app:store, variable: URL{url} }}
         - {{ name: fetch, kind: process.wasm, guest: js-fetch, method: run, imports: [wasi:cli, wasi:io{http}], wasi: {{ env: [{{ id: app:url, name: API_URL }}] }} }}"
    ));
    run_in(app.path(), ["run", "-x", "app:fetch"])
}

#[test]
fn a_component_of_another_toolchain_prints_what_it_fetches() {
    // More than one read gives and more than one write takes.
    let body = "zwölf Boxkämpfer\n".repeat(20_000);
    let served = body.clone();
    let address = answering(move |head| {
        assert!(head.starts_with("GET /status?full=1 HTTP/1.1\r\n"), "{head}");
        ok(served.as_bytes())
    });
    let said = run_javascript(Some(&format!("http://{address}/status?full=1#part")), true);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    assert!(said.stdout == body, "{} bytes", said.stdout.len());
}

#[test]
fn a_component_of_another_toolchain_says_what_it_could_not_fetch() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = listener.local_addr().expect("an address");
    drop(listener);
    let said = run_javascript(Some(&format!("http://{closed}/")), true);
    assert_said(&said, 1, "", "js-fetch: no response: connection-refused\n");
    let broken = server(|stream| {
        read_head(&mut BufReader::new(&stream));
        (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort").expect("a client that waits");
    });
    let said = run_javascript(Some(&format!("http://{broken}/")), true);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), "short"), "{}", said.stderr);
    assert!(said.stderr.starts_with("js-fetch: the body broke off: "), "{}", said.stderr);
    assert_said(&run_javascript(None, true), 1, "", "js-fetch: API_URL is not set\n");
    let unlisted = run_javascript(Some(&format!("http://{closed}/")), false);
    assert_eq!((unlisted.code, unlisted.stdout.as_str()), (Some(1), ""));
    assert!(
        unlisted.stderr.ends_with("the entry does not list: add `- wasi:http` under `imports:`\n"),
        "{}",
        unlisted.stderr
    );
}

#[test]
fn a_terminal_host_serves_requests_too() {
    let address = answering(|_| ok(b"terminal"));
    let url = format!("myns:settings:values.API_URL=http://{address}/");
    let said = run_in(&fixture("apps/mission"), ["-o", &url, "run", "-x", "myns:http_worker"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "200 8 terminal\n"), "{}", said.stderr);
    let runtime = mission(&format!("http://{address}/"), 1);
    let start = Start::new("myns:http_worker".parse().expect("an ID"), "myns:terminal".parse().expect("an ID"));
    assert_eq!(runtime.manager().spawn(start).expect("a process").wait(), returned("200 8 terminal"));
}

/// The application with an entry for each function of the guest `http-client`.
fn client(clock: Clock) -> Runtime {
    Runtime::builder().load(fixture("apps/http")).cache(false).clock(clock).build().expect("a sound app")
}

fn spawn(runtime: &Runtime, entry: &str, input: impl IntoIterator<Item = Payload>) -> ProcessHandle {
    runtime.spawn(&format!("web:{entry}"), input).expect("a process")
}

fn url(address: SocketAddr) -> Payload {
    format!("http://{address}/").into()
}

#[test]
fn every_function_that_needs_no_server_keeps_its_promises() {
    let runtime = client(Clock::real());
    for entry in ["fields", "messages"] {
        assert_eq!(spawn(&runtime, entry, []).wait(), Exit::Returned(Payload::List(Vec::new())), "{entry}");
    }
}

/// Reads the body of a request by its head: how many bytes, and the trailers.
fn read_body(head: &str, reader: &mut impl BufRead) -> (u64, String) {
    let announced = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    if let Some(announced) = announced {
        let announced = announced.parse().expect("a number");
        return (std::io::copy(&mut reader.take(announced), &mut std::io::sink()).expect("a body"), String::new());
    }
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    let mut length = 0;
    loop {
        let mut size = String::new();
        reader.read_line(&mut size).expect("a chunk");
        let size = u64::from_str_radix(size.trim(), 16).expect("a size");
        if size == 0 {
            return (length, read_head(reader));
        }
        length += size;
        let chunk = std::io::copy(&mut reader.take(size + 2), &mut std::io::sink()).expect("a chunk");
        assert_eq!(chunk, size + 2);
    }
}

#[test]
fn bodies_and_trailers_go_both_ways() {
    let address = server(|stream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
        loop {
            let head = read_head(&mut reader);
            if head.is_empty() {
                return;
            }
            assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
            let (length, trailers) = read_body(&head, &mut reader);
            assert_eq!(trailers.contains(&format!("x-sum: {length}")), head.contains("chunked"), "{trailers}");
            // The body comes back in one chunk, and after it a trailer.
            let mut response = format!("HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n");
            response.extend(std::iter::repeat_n('p', length as usize));
            response.push_str(if length == 0 { "\r\n" } else { "\r\n0\r\nx-end: 1\r\nx-more: 2\r\n\r\n" });
            (&stream).write_all(response.as_bytes()).expect("a client that waits");
        }
    });
    let runtime = client(Clock::real());
    for announced in [true, false] {
        for size in [1, 70_000, 5_000_000] {
            let exit = spawn(&runtime, "post", [url(address), Payload::Int(size), Payload::Bool(announced)]).wait();
            assert_eq!(exit, returned(format!("201 {size} x-end,x-more")), "announced {announced}");
        }
    }
}

#[test]
fn a_response_shows_its_headers_and_keeps_them() {
    let address = answering(|_| b"HTTP/1.1 204 No Content\r\nX-One: 1\r\nx-two: \xfc\r\nX-One: again\r\n\r\n".to_vec());
    let exit = spawn(&client(Clock::real()), "headers", [url(address)]).wait();
    assert_eq!(exit, returned("x-one=1 x-one=again x-two=\u{fffd} Err(HeaderError::Immutable)"));
}

#[test]
fn a_body_of_another_size_than_announced_breaks_the_request() {
    let address = server(|stream| drop(BufReader::new(stream).read_to_end(&mut Vec::new())));
    let runtime = client(Clock::real());
    let misannounce = |announced, written| {
        let input = [url(address), Payload::Int(announced), Payload::Int(written)];
        spawn(&runtime, "misannounce", input).wait()
    };
    assert_eq!(misannounce(10, 9), returned("finish: Some(9), true"));
    assert_eq!(misannounce(10, 0), returned("finish: Some(0), true"));
    assert_eq!(misannounce(10, 11), returned("error: stream: ErrorCode::HttpRequestBodySize(Some(11))"));
}

#[test]
fn the_limits_of_a_request_follow_the_clock() {
    let (silent, told) = stalling();
    let (began, begun) = channel();
    let halting = server(move |stream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
        read_head(&mut reader);
        (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").expect("a client that waits");
        began.send(()).expect("the test listens");
        let _ = reader.read_to_end(&mut Vec::new());
    });
    let clock = Clock::manual();
    let runtime = client(clock.clone());
    let get = |address, limits: [i64; 3]| {
        let input = [url(address)].into_iter().chain(limits.map(Payload::Int));
        spawn(&runtime, "get-within", input)
    };
    let advance_until_end = |process: &ProcessHandle, limit: Duration| {
        while process.exit().is_none() {
            // In portions: the limit is set some time after the server has seen the request.
            clock.advance(limit / 4).expect("a manual clock");
            std::thread::sleep(Duration::from_millis(1));
        }
        process.wait()
    };
    let process = get(silent, [0, 5_000, 0]);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("asked"));
    assert!(process.exit().is_none(), "time stands still");
    let exit = advance_until_end(&process, Duration::from_secs(5));
    assert_eq!(exit, returned("error: ErrorCode::ConnectionReadTimeout"));
    assert_eq!(told.recv_timeout(PATIENCE), Ok("ended"));
    let process = get(halting, [0, 0, 5_000]);
    begun.recv_timeout(PATIENCE).expect("a request");
    let exit = advance_until_end(&process, Duration::from_secs(5));
    assert_eq!(exit, returned("error: stream: ErrorCode::ConnectionReadTimeout"));
    // No time to connect at all.
    let exit = advance_until_end(&get(silent, [1, 1, 0]), Duration::from_millis(1));
    let connected = exit == returned("error: ErrorCode::ConnectionReadTimeout");
    assert!(connected || exit == returned("error: ErrorCode::ConnectionTimeout"), "{exit:?}");
}

#[test]
fn a_request_that_its_guest_drops_closes_its_connection() {
    let (address, told) = stalling();
    let clock = Clock::manual();
    let runtime = client(clock.clone());
    let process = spawn(&runtime, "abandon", [url(address)]);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("asked"));
    // The guest waits for this millisecond, and then for nothing that ever comes.
    clock.advance(Duration::from_millis(1)).expect("a manual clock");
    assert_eq!(told.recv_timeout(PATIENCE), Ok("ended"));
    assert!(process.exit().is_none(), "the guest lives on");
    process.terminate();
    assert_eq!(process.wait(), Exit::Terminated);
}

#[test]
fn a_guest_that_never_waits_is_served_too() {
    let address = answering(|_| ok(&[b'i'; 100_000]));
    let runtime = client(Clock::real());
    assert_eq!(spawn(&runtime, "impatient", [url(address)]).wait(), returned("200 100000 false"));
}

#[test]
fn the_rules_of_an_entry_hold_for_its_requests() {
    let address = answering(|_| ok(b"in"));
    let port = address.port();
    let entry = |name: &str, rules: &str| {
        format!(
            "- {{ name: {name}, kind: process.wasm, guest: http-worker, method: run, imports: [wasi:io, wasi:cli, wasi:http], \
             wasi: {{ env: [{{ id: app:url, name: API_URL }}], network: {{ {rules} }} }} }}\n"
        )
    };
    let app = guest_app(&format!(
        "- {{ name: store, kind: env.storage.memory }}\n\
         - {{ name: url, kind: env.variable, storage: app:store, default: 'http://localhost:{port}/' }}\n{}{}{}{}",
        entry("named", "allow: [localhost]"),
        entry("addressed", "allow: [loopback]"),
        entry("other", "allow: [example.com]"),
        entry("rebound", "allow: [localhost], deny: [loopback]"),
    ));
    let runtime = Runtime::builder().load(app.path()).cache(false).build().expect("a sound app");
    let run = |entry: &str| {
        let host = runtime.manager().hosts().next().expect("a host").id().clone();
        let start = Start::new(format!("app:{entry}").parse().expect("an ID"), host);
        runtime.manager().spawn(start).expect("a process").wait()
    };
    assert_eq!(run("named"), returned("200 2 in"));
    assert_eq!(run("addressed"), returned("200 2 in"));
    assert_eq!(run("other"), returned("error: ErrorCode::HttpRequestDenied"));
    assert_eq!(run("rebound"), returned("error: ErrorCode::DestinationIpProhibited"));
}
