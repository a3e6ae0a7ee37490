use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;

use super::*;

fn pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (a, b)
}

#[test]
fn each_direction_has_its_waker() {
    within_limit(|| {
        let reactor = real();
        let (here, mut there) = pair();
        let socket = reactor.register(FdSource(here), Interest::ReadWrite).unwrap();
        let (reader, reader_waker) = Counter::new();
        let (writer, writer_waker) = Counter::new();
        assert!(socket.poll_read_ready(&mut Context::from_waker(&reader_waker)).is_pending());
        assert!(socket.poll_write_ready(&mut Context::from_waker(&writer_waker)).is_pending(), "not before an event");
        reactor.poll();
        assert_eq!((reader.count(), writer.count()), (0, 1), "an empty socket has room");
        assert!(socket.poll_write_ready(&mut Context::from_waker(&writer_waker)).is_ready());
        there.write_all(b"x").unwrap();
        reactor.park(None);
        assert_eq!((reader.count(), writer.count()), (1, 1));
        assert!(socket.poll_read_ready(&mut Context::from_waker(&reader_waker)).is_ready());
    });
}

#[test]
fn an_event_between_look_and_clear_is_not_lost() {
    within_limit(|| {
        let reactor = real();
        let (here, mut there) = pair();
        let mut socket = reactor.register(FdSource(here), Interest::Read).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        there.write_all(b"1").unwrap();
        reactor.park(None);
        let Poll::Ready(Ok(first)) = socket.poll_read_ready(&mut context) else { panic!("data came") };
        let mut buffer = [0; 8];
        assert_eq!(socket.get_mut().read(&mut buffer).unwrap(), 1);
        // The reader is about to see `WouldBlock` and clear; more data comes first.
        there.write_all(b"2").unwrap();
        reactor.park(None);
        socket.clear_read_ready(first);
        let Poll::Ready(Ok(second)) = socket.poll_read_ready(&mut context) else { panic!("the second event was lost") };
        socket.clear_read_ready(second);
        assert!(socket.poll_read_ready(&mut context).is_pending());
    });
}

#[test]
fn the_end_of_the_other_side_makes_both_directions_ready() {
    within_limit(|| {
        let reactor = real();
        let (here, there) = pair();
        let socket = reactor.register(FdSource(here), Interest::ReadWrite).unwrap();
        drop(there);
        let read = std::future::poll_fn(|context| socket.poll_read_with(context, |s| (&s.0).read(&mut [0; 8])));
        assert_eq!(block_on(&reactor, read).unwrap(), 0);
        let write = std::future::poll_fn(|context| socket.poll_write_with(context, |s| (&s.0).write(b"x")));
        assert_eq!(block_on(&reactor, write).unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn an_attempt_needs_no_event_and_takes_back_what_is_used_up() {
    within_limit(|| {
        let reactor = real();
        let (here, mut there) = pair();
        let socket = reactor.register(FdSource(here), Interest::Read).unwrap();
        let read = || socket.try_read_with(|socket| (&socket.0).read(&mut [0; 8]));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(read().unwrap_err().kind(), ErrorKind::WouldBlock);
        there.write_all(b"1").unwrap();
        assert_eq!(read().unwrap(), 1, "before any turn of the reactor");
        there.write_all(b"2").unwrap();
        reactor.park(None);
        assert_eq!(read().unwrap(), 1);
        assert!(socket.poll_read_ready(&mut context).is_ready(), "nobody has seen the end of it");
        assert_eq!(read().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(socket.poll_read_ready(&mut context).is_pending());
        // An event that comes during the attempt is not of what the attempt found.
        let mut attempts = 0;
        let raced = socket.try_read_with(|_| {
            attempts += 1;
            there.write_all(b"3").unwrap();
            reactor.park(None);
            io::Result::<()>::Err(ErrorKind::WouldBlock.into())
        });
        assert_eq!((raced.unwrap_err().kind(), attempts), (ErrorKind::WouldBlock, 1));
        assert!(socket.poll_read_ready(&mut context).is_ready(), "the event was lost");
    });
}

#[test]
fn a_short_read_waits_for_the_next_event_and_never_misses_the_end() {
    within_limit(|| {
        let reactor = real();
        let (here, mut there) = pair();
        let socket = reactor.register(FdSource(here), Interest::Read).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let mut calls = 0;
        let mut read = |context: &mut Context<'_>, wanted: usize| {
            socket.poll_read_bytes(context, wanted, |socket| {
                calls += 1;
                (&socket.0).read(&mut [0; 8][..wanted])
            })
        };
        there.write_all(b"12345").unwrap();
        reactor.park(None);
        assert!(matches!(read(&mut context, 3), Poll::Ready(Ok(3))));
        assert!(matches!(read(&mut context, 3), Poll::Ready(Ok(2))), "a full read says nothing of what is left");
        assert!(read(&mut context, 3).is_pending());
        assert_eq!(calls, 2, "the system was asked for nothing");
        // The end comes with the last bytes: their event is the last one.
        there.write_all(b"6").unwrap();
        drop(there);
        reactor.park(None);
        let read =
            |context: &mut Context<'_>| socket.poll_read_bytes(context, 8, |socket| (&socket.0).read(&mut [0; 8]));
        assert!(matches!(read(&mut context), Poll::Ready(Ok(1))));
        assert!(matches!(read(&mut context), Poll::Ready(Ok(0))), "the end was missed");
        assert!(matches!(read(&mut context), Poll::Ready(Ok(0))), "it stays");
    });
}

#[test]
fn an_attempt_that_reads_less_takes_back_what_came_before_it_only() {
    within_limit(|| {
        let reactor = real();
        let (here, mut there) = pair();
        let socket = reactor.register(FdSource(here), Interest::Read).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        there.write_all(b"1").unwrap();
        reactor.park(None);
        assert_eq!(socket.try_read_bytes(8, |socket| (&socket.0).read(&mut [0; 8])).unwrap(), 1);
        assert!(socket.poll_read_ready(&mut context).is_pending());
        there.write_all(b"2").unwrap();
        let raced = socket.try_read_bytes(8, |socket| {
            let read = (&socket.0).read(&mut [0; 8]);
            there.write_all(b"3").unwrap();
            reactor.park(None);
            read
        });
        assert_eq!(raced.unwrap(), 1);
        assert!(socket.poll_read_ready(&mut context).is_ready(), "the event was lost");
    });
}

#[test]
fn a_regular_file_and_a_second_registration_are_refused() {
    let reactor = real();
    let file = tempfile::tempfile().unwrap();
    assert_eq!(reactor.register(FdSource(file), Interest::Read).unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(reactor.stats().sources, 0);
    let (here, _there) = pair();
    let first = reactor.register(FdSource(&here), Interest::Read).unwrap();
    assert_eq!(reactor.register(FdSource(&here), Interest::Read).unwrap_err().kind(), ErrorKind::AlreadyExists);
    drop(first);
    assert!(reactor.register(FdSource(&here), Interest::Read).is_ok(), "free again");
}

/// Registrations end while their events are on the way, and others take their slots at once. Those hear nothing: their
/// sockets never have data.
#[test]
fn an_ended_registration_wakes_nobody_in_its_slot() {
    within_limit(|| {
        let reactor = real();
        let stop = Arc::new(AtomicBool::new(false));
        let driver = {
            let (reactor, stop) = (Arc::clone(&reactor), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    reactor.park(None);
                }
            })
        };
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let reactor = Arc::clone(&reactor);
                std::thread::spawn(move || churn(&reactor))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        stop.store(true, Ordering::SeqCst);
        reactor.unpark();
        driver.join().unwrap();
        assert_eq!(reactor.stats().sources, 0);
    });
}

fn churn(reactor: &Arc<Reactor>) {
    let (silent, _silent_peer) = pair();
    for round in 0..2_000 {
        let (loud, mut peer) = pair();
        let (_, loud_waker) = Counter::new();
        let registration = reactor.register(FdSource(loud), Interest::Read).unwrap();
        let _ = registration.poll_read_ready(&mut Context::from_waker(&loud_waker));
        peer.write_all(b"x").unwrap();
        if round % 3 == 0 {
            std::thread::yield_now();
        }
        drop(registration);
        let (heard, waker) = Counter::new();
        let mut context = Context::from_waker(&waker);
        let quiet = reactor.register(FdSource(&silent), Interest::Read).unwrap();
        assert!(quiet.poll_read_ready(&mut context).is_pending());
        if round % 5 == 0 {
            std::thread::yield_now();
        }
        assert!(quiet.poll_read_ready(&mut context).is_pending(), "a stale event made it ready");
        assert_eq!(heard.count(), 0, "a stale event woke it");
    }
}

/// Two sockets of the system, one thread: every wait is the reactor's.
#[test]
fn bytes_go_round_over_loopback() {
    within_limit(|| {
        let reactor = real();
        let listener = mio::net::TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = reactor.register(listener, Interest::Read).unwrap();
        let echo = {
            let reactor = Arc::clone(&reactor);
            std::thread::spawn(move || {
                let mut peer = std::net::TcpStream::connect(address).unwrap();
                let copied = std::io::copy(&mut peer.try_clone().unwrap(), &mut peer).unwrap();
                drop(reactor);
                copied
            })
        };
        let accept = std::future::poll_fn(|context| listener.poll_read_with(context, |listener| listener.accept()));
        let (stream, _) = block_on(&reactor, accept).unwrap();
        let socket = reactor.register(stream, Interest::ReadWrite).unwrap();
        let mut buffer = [0; 64];
        for round in 0..100_u8 {
            let write = std::future::poll_fn(|context| socket.poll_write_with(context, |mut s| s.write(&[round; 64])));
            assert_eq!(block_on(&reactor, write).unwrap(), 64);
            let mut read = 0;
            while read < 64 {
                let more =
                    std::future::poll_fn(|context| socket.poll_read_with(context, |mut s| s.read(&mut buffer[read..])));
                read += block_on(&reactor, more).unwrap();
            }
            assert_eq!(buffer, [round; 64]);
        }
        socket.get().shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(echo.join().unwrap(), 6_400);
    });
}

/// A FIFO without writer has no event; one that has had a writer has its end.
#[cfg(target_os = "linux")]
#[test]
fn a_fifo_is_ready_once_a_writer_came() {
    use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};

    within_limit(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let reader = open(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let reactor = real();
        let fifo = reactor.register(FdSource(reader), Interest::Read).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        assert!(fifo.poll_read_ready(&mut context).is_pending());
        reactor.poll();
        assert!(fifo.poll_read_ready(&mut context).is_pending());
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(b"x").unwrap();
        block_on(&reactor, fifo.readable()).unwrap();
    });
}
