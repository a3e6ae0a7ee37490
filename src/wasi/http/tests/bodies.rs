//! Bodies both ways: framing, trailers, and that a side that does not read holds up the other.

use std::sync::atomic::AtomicU64;

use wasmtime_wasi_io::streams::OutputStream;

use super::super::incoming::FutureTrailers;
use super::super::outgoing::{OUTGOING_BODY_BYTES_MAX, OutgoingStream};
use super::*;

/// More than all buffers between a server and a guest together.
const BIG: u64 = 64 * 1024 * 1024;

#[test]
fn bodies_of_each_framing_arrive_whole() {
    let responses = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "hello"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello"),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "ok"),
    ];
    for (response, body) in responses {
        let address = answering(response);
        let world = World::new();
        for _ in 0..2 {
            assert_eq!(world.whole(world.get(origin(address))).1, body.as_bytes(), "{response}");
            world.crew.until("it is kept", || world.client.stats().idle == 1);
        }
        assert_eq!(world.client.stats().opened, 1);
    }
    let until_close = server(|stream, _| {
        read_head(&mut BufReader::new(&stream));
        (&stream).write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").unwrap();
    });
    let world = World::new();
    assert_eq!(world.whole(world.get(origin(until_close))).1, b"until the end");
}

#[test]
fn a_head_request_has_no_body() {
    let address = answering("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
    let world = World::new();
    let future = world.send(origin(address), request("HEAD", "/"), Pipe::empty());
    assert_eq!(world.whole(future), (200, Vec::new()));
}

#[test]
fn a_guest_that_does_not_read_holds_up_its_server() {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let address = server(|mut stream, _| {
        read_head(&mut BufReader::new(&stream));
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {BIG}\r\n\r\n").unwrap();
        let chunk = [b'x'; 64 * 1024];
        for _ in 0..BIG / chunk.len() as u64 {
            stream.write_all(&chunk).unwrap();
            WRITTEN.fetch_add(chunk.len() as u64, Ordering::SeqCst);
        }
        tell_end(stream, &AtomicBool::new(false));
    });
    let world = World::new();
    let answer = world.answered(world.get(origin(address))).expect("a response");
    let mut quiet = (0, 0);
    world.crew.until("the server stands still", || {
        let written = WRITTEN.load(Ordering::SeqCst);
        quiet = if quiet.0 == written { (written, quiet.1 + 1) } else { (written, 0) };
        quiet.1 > 20
    });
    assert!(quiet.0 < BIG, "all was taken though nobody read");
    let mut stream = stream(answer.body);
    let mut read = 0;
    while let Ok(chunk) = world.chunk(&mut stream) {
        read += chunk.len() as u64;
    }
    assert_eq!(read, BIG);
    world.crew.until("it is kept", || world.client.stats().idle == 1);
}

/// Writes `total` bytes as a guest does; true once all are taken.
struct Upload {
    stream: OutgoingStream,
    left: usize,
}

impl Upload {
    fn step(&mut self) -> bool {
        while self.left > 0 {
            let room = self.stream.check_write().unwrap();
            if room == 0 {
                return false;
            }
            let count = room.min(self.left);
            self.stream.write(Bytes::from(vec![b'y'; count])).unwrap();
            self.left -= count;
        }
        true
    }
}

#[test]
fn a_server_that_does_not_read_holds_up_its_guest() {
    static READ: AtomicU64 = AtomicU64::new(0);
    static MAY_READ: AtomicBool = AtomicBool::new(false);
    for announced in [Some(BIG), None] {
        READ.store(0, Ordering::SeqCst);
        MAY_READ.store(false, Ordering::SeqCst);
        let address = server(|stream, _| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let head = read_head(&mut reader);
            while !MAY_READ.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            if head.contains("chunked") {
                loop {
                    let mut size = String::new();
                    reader.read_line(&mut size).unwrap();
                    let size = usize::from_str_radix(size.trim(), 16).unwrap();
                    READ.fetch_add(size as u64, Ordering::SeqCst);
                    read_exactly(&mut reader, size + 2);
                    if size == 0 {
                        break;
                    }
                }
            } else {
                let read = std::io::copy(&mut reader.take(BIG), &mut std::io::sink()).unwrap();
                READ.store(read, Ordering::SeqCst);
            }
            (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").unwrap();
            tell_end(stream, &AtomicBool::new(false));
        });
        let world = World::new();
        let pipe = Pipe::new(announced);
        let mut request = request("POST", "/");
        if let Some(length) = announced {
            request.headers_mut().insert("content-length", length.into());
        }
        let future = world.send(origin(address), request, pipe.clone());
        let mut upload = Upload { stream: OutgoingStream { pipe: pipe.clone(), permitted: 0 }, left: BIG as usize };
        let mut quiet = (0, 0);
        world.crew.until("the guest stands still", || {
            upload.step();
            quiet = if quiet.0 == upload.left { (upload.left, quiet.1 + 1) } else { (upload.left, 0) };
            quiet.1 > 20
        });
        assert!(upload.left > OUTGOING_BODY_BYTES_MAX, "all was taken though nobody read");
        MAY_READ.store(true, Ordering::SeqCst);
        world.crew.until("all is written", || upload.step());
        pipe.finish(None).unwrap();
        assert_eq!(world.whole(future), (200, b"done".to_vec()));
        assert_eq!(READ.load(Ordering::SeqCst), BIG);
    }
}

#[test]
fn trailers_travel_both_ways() {
    let address = server(|stream, _| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read_head(&mut reader);
        let mut body = String::new();
        while !body.ends_with("0\r\n") {
            reader.read_line(&mut body).unwrap();
        }
        let trailers = read_head(&mut reader);
        let echoed = trailers.trim_end().replace("x-sum", "x-echo");
        let response = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-echo\r\n\r\n2\r\nhi\r\n0\r\n{echoed}\r\n\r\n"
        );
        (&stream).write_all(response.as_bytes()).unwrap();
        tell_end(stream, &AtomicBool::new(false));
    });
    let world = World::new();
    let pipe = Pipe::new(None);
    let mut request = request("POST", "/");
    request.headers_mut().insert("trailer", http::HeaderValue::from_static("x-sum"));
    let future = world.send(origin(address), request, pipe.clone());
    let mut upload = Upload { stream: OutgoingStream { pipe: pipe.clone(), permitted: 0 }, left: 3 };
    assert!(upload.step());
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", http::HeaderValue::from_static("42"));
    pipe.finish(Some(trailers)).unwrap();
    let answer = world.answered(future).expect("a response");
    // Whether the guest has read the body or not: the trailers come after it.
    let mut trailers = FutureTrailers::Reading(IncomingBody::new(answer.body).reader);
    world.crew.run(poll_fn(|cx| pin!(trailers.ready()).poll(cx)));
    let FutureTrailers::Ready(Ok(Some(trailers))) = trailers else { panic!("expected trailers") };
    assert_eq!(trailers.get("x-echo").unwrap(), "42");
}
