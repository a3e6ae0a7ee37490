//! Streams that may block, over pipes and writers held by the test.

use std::io::{self, Read, Write};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use super::*;
use crate::reactor::{BlockingConfig, BlockingPool, Clock, Reactor, ReactorConfig};
use crate::wasi::testing::{Task, block_on, manual_reactor};

/// What was written to which stream.
type Log = Arc<Mutex<Vec<(char, Vec<u8>)>>>;

/// A writer that writes only when it is let, and remembers what.
struct Held {
    let_one: mpsc::Receiver<()>,
    name: char,
    log: Log,
}

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.let_one.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        self.log.lock().unwrap().push((self.name, bytes.to_vec()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn held_terminal() -> (Terminal, [mpsc::Sender<()>; 2], Log) {
    let log = Log::default();
    let (let_out, out) = mpsc::channel();
    let (let_err, err) = mpsc::channel();
    let held = |let_one, name| Box::new(Held { let_one, name, log: log.clone() });
    let terminal = Terminal::over(&manual_reactor().1, held(out, 'o'), held(err, 'e'), [true, false]);
    (terminal, [let_out, let_err], log)
}

async fn drained(output: &dyn Output) -> Result<(), StreamFailure> {
    let target = output.accepted();
    std::future::poll_fn(|cx| output.poll_drained(cx, target)).await
}

#[test]
fn a_full_queue_makes_writers_wait_and_room_wakes_them() {
    let (terminal, [let_out, _err], log) = held_terminal();
    let out = terminal.stdout();
    assert!(out.is_terminal() && !terminal.stderr().is_terminal());
    let mut sent = 0;
    while out.room().unwrap() > 0 {
        out.write(&[b'x'; 1000]).unwrap();
        sent += 1000;
    }
    assert!(sent >= QUEUE_BYTES_MAX);
    let mut ready = Task::new(std::future::poll_fn(|cx| out.poll_ready(cx)));
    assert!(ready.run_until_stalled().is_pending());
    let mut drain = Task::new(drained(&*out));
    assert!(drain.run_until_stalled().is_pending());
    // As many as there can be chunks; what is not used stays.
    (0..sent).for_each(|_| let_out.send(()).unwrap());
    ready.finish();
    drain.finish().unwrap();
    assert_eq!(log.lock().unwrap().iter().map(|(_, bytes)| bytes.len()).sum::<usize>(), sent);
    assert_eq!(out.room().unwrap(), QUEUE_BYTES_MAX);
}

#[test]
fn a_guest_with_many_permits_is_refused_at_last() {
    let (terminal, _hold, _) = held_terminal();
    let out = terminal.stdout();
    let refused = loop {
        if let Err(failure) = out.write(&[0; TRANSFER_BYTES_MAX]) {
            break failure;
        }
    };
    assert!(matches!(refused, StreamFailure::Failed(error) if error.kind() == io::ErrorKind::StorageFull));
}

#[test]
fn both_streams_leave_in_the_order_of_writing() {
    let (terminal, [let_out, let_err], log) = held_terminal();
    let (out, err) = (terminal.stdout(), terminal.stderr());
    out.write(b"1").unwrap();
    err.write(b"2").unwrap();
    err.write(b"3").unwrap();
    out.write(b"4").unwrap();
    (0..9).for_each(|_| let_out.send(()).and(let_err.send(())).unwrap());
    block_on(drained(&*out)).unwrap();
    let log = log.lock().unwrap().clone();
    assert_eq!(log.iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(), b"1234");
    assert_eq!(log.iter().map(|(name, _)| *name).collect::<String>().replace("ee", "e"), "oeo");
}

#[test]
fn a_broken_stream_fails_alone_and_wakes_who_waits() {
    let (terminal, [let_out, let_err], log) = held_terminal();
    let (out, err) = (terminal.stdout(), terminal.stderr());
    out.write(b"lost").unwrap();
    err.write(b"kept").unwrap();
    let mut drain = Task::new(drained(&*out));
    assert!(drain.run_until_stalled().is_pending());
    drop(let_out);
    let_err.send(()).unwrap();
    assert!(matches!(drain.finish(), Err(StreamFailure::Closed)));
    assert!(matches!(out.room(), Err(StreamFailure::Closed)));
    assert!(matches!(out.write(b"more"), Err(StreamFailure::Closed)));
    err.room().unwrap();
    assert_eq!(*log.lock().unwrap(), [('e', b"kept".to_vec())]);
}

#[test]
fn what_a_broken_stream_loses_does_not_count_as_written_before_its_turn() {
    let (terminal, [let_out, let_err], log) = held_terminal();
    let (out, err) = (terminal.stdout(), terminal.stderr());
    out.write(b"broken").unwrap();
    err.write(b"kept").unwrap();
    out.write(b"lost").unwrap();
    // Up to here the error must be out, whatever becomes of the other stream.
    let target = err.accepted() - 4;
    let mut drain = Task::new(std::future::poll_fn(|cx| err.poll_drained(cx, target)));
    assert!(drain.run_until_stalled().is_pending());
    drop(let_out);
    while out.room().is_ok() {
        std::thread::yield_now();
    }
    assert!(drain.run_until_stalled().is_pending(), "`kept` has not been written");
    let_err.send(()).unwrap();
    drain.finish().unwrap();
    assert!(matches!(block_on(drained(&*out)), Err(StreamFailure::Closed)));
    assert_eq!(*log.lock().unwrap(), [('e', b"kept".to_vec())]);
    assert_eq!(err.room().unwrap(), QUEUE_BYTES_MAX);
}

#[test]
fn a_writer_that_panics_or_a_closed_pool_ends_the_output_not_the_program() {
    struct Panics;
    impl Write for Panics {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("a writer of the test")
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (_, reactor) = manual_reactor();
    let terminal = Terminal::over(&reactor, Box::new(Panics), Box::new(io::sink()), [false; 2]);
    terminal.stdout().write(b"x").unwrap();
    assert!(matches!(block_on(drained(&*terminal.stdout())), Err(StreamFailure::Failed(_))));

    reactor.blocking().close();
    let terminal = Terminal::over(&reactor, Box::new(io::sink()), Box::new(io::sink()), [false; 2]);
    terminal.stdout().write(b"x").unwrap();
    assert!(matches!(block_on(drained(&*terminal.stdout())), Err(StreamFailure::Failed(_))));
    let input = ProgramInput::over(&reactor, Box::new(io::empty()), false);
    block_on(std::future::poll_fn(|cx| input.poll_ready(cx)));
    assert!(matches!(input.read(1), Err(StreamFailure::Failed(_))));
}

#[test]
fn output_waits_for_a_busy_pool_and_leaves_without_being_asked_again() {
    let mut bounds = BlockingConfig::default();
    (bounds.threads_max, bounds.queue_max) = (1, 1);
    let pool = BlockingPool::new(bounds);
    let reactor = Reactor::new(Clock::manual(), ReactorConfig::default().with_blocking(pool.clone())).unwrap();
    let (begun, has_begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let mut running = Task::new(pool.run(move || begun.send(()).map(|()| released.recv().is_err()).unwrap()));
    assert!(running.run_until_stalled().is_pending());
    has_begun.recv().unwrap();
    let mut queued = Task::new(pool.run(|| ()));
    assert!(queued.run_until_stalled().is_pending());

    let (mut reader, writer) = io::pipe().unwrap();
    let terminal = Terminal::over(&reactor, Box::new(writer), Box::new(io::sink()), [false; 2]);
    terminal.stdout().write(b"patient").unwrap();
    assert_eq!(pool.stats().waiting, 1);
    drop(release);
    // Nobody polls the output: it has to come by itself.
    let mut seen = [0; 7];
    reader.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"patient");
    assert!(running.finish().unwrap());
    queued.finish().unwrap();
}

#[test]
fn input_is_read_when_asked_for_and_shared() {
    struct Counting(Arc<Mutex<u32>>, io::PipeReader);
    impl Read for Counting {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            *self.0.lock().unwrap() += 1;
            self.1.read(buffer)
        }
    }
    let (reader, mut writer) = io::pipe().unwrap();
    let reads = Arc::new(Mutex::new(0));
    let (_, reactor) = manual_reactor();
    let input = ProgramInput::over(&reactor, Box::new(Counting(reads.clone(), reader)), true);
    assert!(input.is_terminal());
    assert_eq!(*reads.lock().unwrap(), 0, "nobody asked");
    // Two tasks wait, one read serves both.
    let (one, other) = (input.clone(), input.clone());
    let mut first = Task::new(std::future::poll_fn(|cx| one.poll_ready(cx)));
    let mut second = Task::new(std::future::poll_fn(|cx| other.poll_ready(cx)));
    assert!(first.run_until_stalled().is_pending() && second.run_until_stalled().is_pending());
    assert!(input.read(8).unwrap().is_empty());
    writer.write_all(b"abcdef").unwrap();
    first.finish();
    second.finish();
    assert_eq!(*reads.lock().unwrap(), 1);
    assert_eq!(input.read(2).unwrap(), "ab");
    // Who asked may be gone: the rest stays for the next.
    drop(input);
    assert_eq!(one.read(100).unwrap(), "cdef");
    drop(writer);
    block_on(std::future::poll_fn(|cx| one.poll_ready(cx)));
    assert!(matches!(one.read(1), Err(StreamFailure::Closed)));
    assert!(matches!(Task::new(std::future::poll_fn(|cx| one.poll_ready(cx))).run_until_stalled(), Poll::Ready(())));
}

/// What a terminal over memory has written to its standard output, once all of it has left.
fn said(outputs: &[&Arc<dyn Output>], log: &Log, let_out: &mpsc::Sender<()>) -> String {
    (0..64).for_each(|_| let_out.send(()).unwrap());
    for output in outputs {
        Task::new(drained(&***output)).finish().unwrap();
    }
    let log = log.lock().unwrap();
    String::from_utf8(log.iter().flat_map(|(_, bytes)| bytes.clone()).collect()).unwrap()
}

#[test]
fn the_bytes_of_one_process_pass_at_once() {
    let (terminal, [let_out, _err], log) = held_terminal();
    let out = terminal.stdout();
    out.write(b"no end").unwrap();
    assert_eq!(said(&[&out], &log, &let_out), "no end");
}

#[test]
fn the_lines_of_several_processes_stay_whole() {
    let (terminal, [let_out, _err], log) = held_terminal();
    let one = terminal.stdout();
    one.write(b"begun alone").unwrap();
    let other = terminal.stdout();
    other.write(b"oth").unwrap();
    one.write(b", ended\nnext").unwrap();
    other.write(b"er\n").unwrap();
    one.write(b" line\n").unwrap();
    other.write(b"rest").unwrap();
    other.finish();
    one.write(b"last\n").unwrap();
    let all = said(&[&one, &other], &log, &let_out);
    assert_eq!(all, "begun alone, ended\nother\nnext line\nrest\nlast\n");
    // Alone again: bytes pass at once, and nobody's line is ended for what a dead one left.
    other.write(b"dead").unwrap();
    drop(other);
    one.write(b" alive").unwrap();
    assert_eq!(said(&[&one], &log, &let_out), format!("{all}dead alive"));
}

#[test]
fn a_line_without_an_end_does_not_wait_for_ever() {
    let (terminal, [let_out, _err], log) = held_terminal();
    let (one, _other) = (terminal.stdout(), terminal.stdout());
    one.write(&[b'x'; LINE_BYTES_MAX - 1]).unwrap();
    assert_eq!(one.accepted(), 0);
    one.write(b"xx").unwrap();
    assert_eq!(said(&[&one], &log, &let_out).len(), LINE_BYTES_MAX + 1);
}
