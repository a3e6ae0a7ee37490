//! Time limits, and what goes wrong, as the error codes that a guest sees.

use std::net::Ipv4Addr;

use super::*;

const MOMENT: Duration = Duration::from_nanos(1);

/// Both sides of a deadline: nothing happens a moment before, the error comes with it.
#[track_caller]
fn times_out(world: &World, future: FutureResponse, limit: Duration) -> ErrorCode {
    let mut future = future;
    world.crew.until("somebody waits for time", || world.crew.reactor.stats().timers > 0);
    world.advance(limit - MOMENT);
    world.crew.work();
    future.look();
    assert!(matches!(future, FutureResponse::Pending(_)), "too early");
    world.advance(MOMENT);
    world.error(future)
}

#[test]
fn a_connection_that_is_not_made_times_out() {
    let limit = Duration::from_secs(3);
    let world = World::with(HttpConfig { connect_timeout: limit, ..HttpConfig::default() }).resolving(|_| None);
    let future = world.get(Origin { host: "nowhere".into(), ..origin("127.0.0.1:80".parse().unwrap()) });
    assert!(matches!(times_out(&world, future, limit), ErrorCode::ConnectionTimeout));
    assert_eq!(world.client.stats().connections, 0);
}

#[test]
fn a_response_that_does_not_begin_times_out() {
    static ASKED: AtomicBool = AtomicBool::new(false);
    static ENDED: AtomicBool = AtomicBool::new(false);
    let address = server(|stream, _| {
        read_head(&mut BufReader::new(&stream));
        ASKED.store(true, Ordering::SeqCst);
        tell_end(stream, &ENDED);
    });
    let limit = Duration::from_secs(5);
    let world = World::with(HttpConfig { first_byte_timeout: limit, ..HttpConfig::default() });
    let future = world.get(origin(address));
    world.crew.until("the server has the request", || ASKED.load(Ordering::SeqCst));
    assert!(matches!(times_out(&world, future, limit), ErrorCode::ConnectionReadTimeout));
    world.crew.until("the server sees the end", || ENDED.load(Ordering::SeqCst));
}

#[test]
fn a_body_that_does_not_go_on_times_out() {
    let address = server(|stream, _| {
        read_head(&mut BufReader::new(&stream));
        (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").unwrap();
        tell_end(stream, &AtomicBool::new(false));
    });
    let limit = Duration::from_secs(7);
    let world = World::with(HttpConfig { between_bytes_timeout: limit, ..HttpConfig::default() });
    let answer = world.answered(world.get(origin(address))).expect("a response");
    let mut stream = stream(answer.body);
    assert_eq!(world.chunk(&mut stream).unwrap(), "abc");
    assert_eq!(stream.read(10).unwrap(), "", "nothing is there");
    world.advance(limit - MOMENT);
    assert_eq!(stream.read(10).unwrap(), "", "too early");
    world.advance(MOMENT);
    assert!(matches!(code(world.chunk(&mut stream).unwrap_err()), ErrorCode::ConnectionReadTimeout));
    assert!(matches!(stream.read(10), Err(StreamError::Closed)));
    world.crew.until("it is closed", || world.client.stats().connections == 0);
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let world = World::new();
    assert!(matches!(world.error(world.get(origin(address))), ErrorCode::ConnectionRefused));
}

#[test]
fn every_address_of_a_name_is_tried() {
    let address = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let world = World::new().resolving(|name| {
        assert_eq!(name, "twice");
        // Nobody listens on the first.
        Some(Ok(vec![Ipv4Addr::new(127, 0, 0, 2).into(), Ipv4Addr::LOCALHOST.into()]))
    });
    assert_eq!(world.whole(world.get(Origin { host: "twice".into(), ..origin(address) })).0, 200);
}

#[test]
fn a_name_without_address_is_an_error_of_the_lookup() {
    let world = World::new().resolving(|name| match name {
        "empty" => Some(Ok(Vec::new())),
        _ => Some(Err(ResolveError::NotFound)),
    });
    let get = |host: &str| world.get(Origin { host: host.into(), ..origin("127.0.0.1:80".parse().unwrap()) });
    assert!(matches!(world.error(get("unknown")), ErrorCode::DnsError(_)));
    assert!(matches!(world.error(get("empty")), ErrorCode::DestinationNotFound));
}

#[test]
fn the_systems_resolver_knows_this_machine() {
    let address = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let world = World::new();
    assert_eq!(world.whole(world.get(Origin { host: "localhost".into(), ..origin(address) })).0, 200);
}

#[test]
fn answers_that_are_none_have_their_codes() {
    let error = |response: &'static [u8]| {
        let address = server(move |stream, _| {
            read_head(&mut BufReader::new(&stream));
            // A client that has seen enough may be gone.
            let _ = (&stream).write_all(response);
        });
        let world = World::new();
        match world.answered(world.get(origin(address))) {
            Err(error) => error,
            Ok(answer) => world.read(answer.body).expect_err("a broken body"),
        }
    };
    assert!(matches!(error(b""), ErrorCode::ConnectionTerminated));
    assert!(matches!(error(b"220 mail server\r\n\r\n"), ErrorCode::HttpProtocolError));
    assert!(matches!(error(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"), ErrorCode::HttpProtocolError));
    assert!(matches!(error(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"), ErrorCode::HttpResponseIncomplete));
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    assert!(matches!(error(chunked), ErrorCode::HttpProtocolError));
    let mut large = b"HTTP/1.1 200 OK\r\nx-large: ".to_vec();
    large.resize(super::super::connection::RESPONSE_BUFFER_BYTES_MAX * 2, b'x');
    assert!(matches!(error(large.leak()), ErrorCode::HttpResponseHeaderSectionSize(None)));
}

#[test]
fn who_can_not_be_run_is_told() {
    /// Runs nothing.
    struct Full;
    impl Spawner for Full {
        fn spawn(&self, future: BoxFuture) {
            drop(future);
        }
    }
    let world = World::new();
    let client = HttpClient::new(world.crew.reactor.clone(), Arc::new(Full), HttpConfig::default());
    let world = World { client, ..world };
    let error = world.error(world.get(origin("127.0.0.1:80".parse().unwrap())));
    assert!(matches!(error, ErrorCode::InternalError(Some(text)) if text.contains("full")));
    assert_eq!(world.client.stats().connections, 0);
}

#[test]
fn the_rules_of_an_entry_hold_before_and_after_the_lookup() {
    let address = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let names = |name: &str| {
        assert_ne!(name, "never-asked.test", "a refused name is looked up");
        Some(Ok(vec![Ipv4Addr::LOCALHOST.into()]))
    };
    let ask = |allow: Option<&[&str]>, deny: &[&str], host: &str| {
        let world = World::new().resolving(names).ruled(allow, deny);
        world.answered(world.get(Origin { host: host.into(), ..origin(address) })).map(|answer| answer.head.status)
    };
    let port = format!(":{}", address.port());
    assert!(ask(None, &[], "good.test").is_ok());
    assert!(ask(Some(&["good.test"]), &[], "good.test").is_ok());
    assert!(ask(Some(&["loopback"]), &[], "any.test").is_ok());
    assert!(ask(Some(&["127.0.0.0/8"]), &[], "127.0.0.1").is_ok());
    assert!(matches!(ask(Some(&["good.test"]), &[], "never-asked.test"), Err(ErrorCode::HttpRequestDenied)));
    assert!(matches!(ask(None, &["*.test"], "never-asked.test"), Err(ErrorCode::HttpRequestDenied)));
    assert!(matches!(ask(None, &["loopback"], "rebound.test"), Err(ErrorCode::DestinationIpProhibited)));
    assert!(matches!(ask(Some(&["good.test"]), &["127.0.0.1"], "good.test"), Err(ErrorCode::DestinationIpProhibited)));
    assert!(matches!(ask(None, &[&port], "127.0.0.1"), Err(ErrorCode::DestinationIpProhibited)));
    assert!(matches!(ask(Some(&["10.0.0.0/8"]), &[], "127.0.0.1"), Err(ErrorCode::DestinationIpProhibited)));
}
