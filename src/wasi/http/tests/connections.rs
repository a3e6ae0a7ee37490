//! Reuse of connections, its bounds, and who ends them.

use std::sync::atomic::AtomicUsize;

use super::*;

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

#[test]
fn a_connection_serves_request_after_request() {
    let address = answering(HELLO);
    let world = World::new();
    for _ in 0..3 {
        assert_eq!(world.whole(world.get(origin(address))), (200, b"hello".to_vec()));
        world.crew.until("it waits for the next", || world.client.stats().idle == 1);
    }
    let stats = world.client.stats();
    assert_eq!((stats.connections, stats.opened), (1, 1));
}

#[test]
fn entries_do_not_share_connections() {
    let address = answering(HELLO);
    let world = World::new();
    for entry in ["app:one", "app:two", "app:one"] {
        world.whole(world.get(Origin { entry: entry.into(), ..origin(address) }));
        world.crew.work();
    }
    assert_eq!(world.client.stats().opened, 2);
}

#[test]
fn an_idle_connection_ends_after_its_time() {
    static ENDED: AtomicBool = AtomicBool::new(false);
    let address = server(|stream, _| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read_head(&mut reader);
        (&stream).write_all(HELLO.as_bytes()).unwrap();
        tell_end(stream, &ENDED);
    });
    let world = World::new();
    world.whole(world.get(origin(address)));
    world.crew.until("it is idle", || world.client.stats().idle == 1);
    world.advance(world.client.config().idle_time - Duration::from_nanos(1));
    world.crew.work();
    assert_eq!(world.client.stats().idle, 1);
    world.advance(Duration::from_nanos(1));
    world.crew.until("the server sees its end", || ENDED.load(Ordering::SeqCst));
    let stats = world.client.stats();
    assert_eq!((stats.connections, stats.idle), (0, 0));
}

#[test]
fn no_more_than_the_bounds_are_kept() {
    let address = answering(HELLO);
    let world = World::with(HttpConfig { idle_per_origin_max: 2, idle_max: 3, ..HttpConfig::default() });
    let at_once = |entry: &str, count: usize| {
        let origin = || Origin { entry: entry.into(), ..origin(address) };
        let futures: Vec<_> = (0..count).map(|_| world.get(origin())).collect();
        let answers: Vec<_> = futures.into_iter().map(|future| world.answered(future).expect("a response")).collect();
        for answer in answers {
            world.read(answer.body).unwrap();
        }
    };
    at_once("app:one", 4);
    world.crew.until("two are kept", || world.client.stats().connections == 2);
    assert_eq!(world.client.stats().idle, 2);
    at_once("app:two", 4);
    world.crew.until("three are kept", || world.client.stats().connections == 3);
    assert_eq!(world.client.stats().idle, 3);
}

#[test]
fn a_full_client_gives_up_an_idle_connection_before_it_refuses() {
    let stalled = server(|stream, _| tell_end(stream, &AtomicBool::new(false)));
    let address = answering(HELLO);
    let world = World::with(HttpConfig { connections_max: 1, ..HttpConfig::default() });
    world.whole(world.get(origin(address)));
    world.crew.until("it is idle", || world.client.stats().idle == 1);
    let pending = world.get(origin(stalled));
    world.crew.until("the idle one is gone", || world.client.stats().connections == 1);
    assert!(matches!(world.error(world.get(origin(address))), ErrorCode::ConnectionLimitReached));
    drop(pending);
    world.crew.until("there is room", || world.client.stats().connections == 0);
    world.whole(world.get(origin(address)));
}

#[test]
fn a_server_that_closed_an_idle_connection_gets_a_new_one() {
    static CLOSED: AtomicUsize = AtomicUsize::new(0);
    let address = server(|stream, _| {
        read_head(&mut BufReader::new(&stream));
        (&stream).write_all(HELLO.as_bytes()).unwrap();
        drop(stream);
        CLOSED.fetch_add(1, Ordering::SeqCst);
    });
    let world = World::new();
    for round in 1..=3 {
        assert_eq!(world.whole(world.get(origin(address))).1, b"hello");
        // Nobody has looked at the socket since: the next request finds out by itself.
        let start = Instant::now();
        while CLOSED.load(Ordering::SeqCst) < round {
            assert!(start.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
    }
    assert_eq!(world.client.stats().opened, 3);
}

#[test]
fn a_server_that_closes_instead_of_answering_is_asked_again() {
    static HEADS: AtomicUsize = AtomicUsize::new(0);
    let address = server(|stream, _| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read_head(&mut reader);
        (&stream).write_all(HELLO.as_bytes()).unwrap();
        read_head(&mut reader);
        HEADS.fetch_add(1, Ordering::SeqCst);
    });
    let world = World::new();
    world.whole(world.get(origin(address)));
    world.crew.until("it is idle", || world.client.stats().idle == 1);
    assert_eq!(world.whole(world.get(origin(address))).1, b"hello", "over a second connection");
    assert_eq!((world.client.stats().opened, HEADS.load(Ordering::SeqCst)), (2, 1));
    world.crew.until("it is idle", || world.client.stats().idle == 1);
    // Serving this one twice could do something twice.
    let post = world.send(origin(address), request("POST", "/"), Pipe::empty());
    assert!(matches!(world.error(post), ErrorCode::ConnectionTerminated));
}

#[test]
fn a_server_that_asks_to_close_is_not_kept() {
    let address = answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
    let world = World::new();
    world.whole(world.get(origin(address)));
    world.crew.until("it is gone", || world.client.stats().connections == 0);
}

/// What a guest that ends leaves behind: the server sees the end at once.
#[test]
fn who_drops_the_future_response_closes_the_connection() {
    static ENDED: AtomicBool = AtomicBool::new(false);
    static ASKED: AtomicBool = AtomicBool::new(false);
    let address = server(|stream, _| {
        read_head(&mut BufReader::new(&stream));
        ASKED.store(true, Ordering::SeqCst);
        tell_end(stream, &ENDED);
    });
    let world = World::new();
    let future = world.get(origin(address));
    world.crew.until("the server has the request", || ASKED.load(Ordering::SeqCst));
    assert_eq!(world.client.stats().connections, 1);
    drop(future);
    world.crew.until("the server sees the end", || ENDED.load(Ordering::SeqCst));
    assert_eq!(world.client.stats().connections, 0);
}

#[test]
fn who_drops_a_body_that_never_comes_closes_the_connection() {
    static ENDED: AtomicBool = AtomicBool::new(false);
    let address = server(|stream, _| {
        read_head(&mut BufReader::new(&stream));
        (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegin").unwrap();
        tell_end(stream, &ENDED);
    });
    let world = World::new();
    let answer = world.answered(world.get(origin(address))).expect("a response");
    let mut stream = stream(answer.body);
    assert_eq!(world.chunk(&mut stream).unwrap(), "begin");
    // The connection waits for the server now, with nothing to tell it that the guest is gone but the guest's end.
    let mut ready = Box::pin(async move { stream.ready().await });
    assert!(ready.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    world.crew.work();
    drop(ready);
    world.crew.until("the server sees the end", || ENDED.load(Ordering::SeqCst));
    assert_eq!(world.client.stats().connections, 0);
}

#[test]
fn who_drops_the_body_of_a_request_breaks_it() {
    static ENDED: AtomicBool = AtomicBool::new(false);
    let address = server(|stream, _| tell_end(stream, &ENDED));
    let world = World::new();
    let pipe = Pipe::new(None);
    let future = world.send(origin(address), request("POST", "/"), pipe.clone());
    world.crew.until("it is connected", || world.client.stats().connections == 1);
    pipe.abort();
    assert!(matches!(world.error(future), ErrorCode::HttpRequestBodySize(None)));
    world.crew.until("the server sees the end", || ENDED.load(Ordering::SeqCst));
}

#[test]
fn a_small_rest_of_a_body_that_nobody_reads_costs_no_connection() {
    let address = answering(HELLO);
    let world = World::new();
    let answer = world.answered(world.get(origin(address))).expect("a response");
    drop(answer);
    world.crew.until("it is settled", || {
        let stats = world.client.stats();
        stats.idle == 1 || stats.connections == 0
    });
    // Whether the rest was there already decides; either way the next request is served.
    assert_eq!(world.whole(world.get(origin(address))), (200, b"hello".to_vec()));
}
