//! The reactor as a whole, driven by plain threads.

mod blocking;
mod clock;
mod park;
mod source;
mod timer;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::*;
use crate::scheduler::Driver;

/// Longer than any of these tests takes on a loaded machine: a hang becomes a failure.
const HANG: Duration = Duration::from_secs(60);

/// Counts its wake-ups.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Counter {
    fn new() -> (Arc<Self>, Waker) {
        let counter = Arc::new(Self::default());
        (Arc::clone(&counter), counter.into())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Calls a closure when woken.
struct Call<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Call<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn manual() -> (Clock, Arc<Reactor>) {
    let clock = Clock::manual();
    let reactor = Reactor::new(clock.clone(), ReactorConfig::default()).unwrap();
    (clock, reactor)
}

fn real() -> Arc<Reactor> {
    Reactor::new(Clock::real(), ReactorConfig::default()).unwrap()
}

/// A real clock and no timer descriptor: what systems without one get.
fn real_without_descriptor() -> Arc<Reactor> {
    let (core, registry, parking) = drive::new().unwrap();
    Reactor::with_alarm(Clock::real(), ReactorConfig::default(), core, registry, parking, Alarm::park_timeout())
}

fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Drives `reactor` on this thread until `future` is ready. Woken from elsewhere, it is unparked.
fn block_on<F: Future>(reactor: &Arc<Reactor>, future: F) -> F::Output {
    let woken = Arc::downgrade(reactor);
    let waker = Waker::from(Arc::new(Call(move || woken.upgrade().iter().for_each(|reactor| reactor.unpark()))));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        reactor.park(None);
    }
}

/// Runs `test` on a thread of its own and fails when it hangs.
fn within_limit<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || sender.send(test()));
    match receiver.recv_timeout(HANG) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(thread.join().unwrap_err()),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hangs"),
    }
}

/// Waits until `condition` holds.
fn wait_until(condition: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANG, "the condition never held");
        std::thread::yield_now();
    }
}

#[test]
fn the_types_can_move_between_threads() {
    fn send_unpin<T: Send + Unpin>() {}
    fn shared<T: Send + Sync>() {}
    send_unpin::<Sleep>();
    send_unpin::<BlockingCall<()>>();
    shared::<Reactor>();
    shared::<Registration<mio::net::TcpStream>>();
    shared::<BlockingPool>();
    shared::<Clock>();
}

#[test]
fn closing_wakes_everybody_and_refuses_the_rest() {
    let (clock, reactor) = manual();
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    let socket = reactor.register(FdSource(here), Interest::Read).unwrap();
    let mut sleep = reactor.sleep(Duration::from_secs(1));
    let (counter, waker) = Counter::new();
    let mut context = Context::from_waker(&waker);
    assert!(poll_once(&mut sleep, &waker).is_pending());
    assert!(socket.poll_read_ready(&mut context).is_pending());

    reactor.close();
    assert_eq!(counter.count(), 2, "the sleep and the socket");
    let Poll::Ready(Err(error)) = socket.poll_read_ready(&mut context) else { panic!("a closed reactor says so") };
    assert!(error.get_ref().unwrap().is::<ReactorClosed>());
    let error = reactor.register(FdSource(there), Interest::Read).unwrap_err();
    assert!(error.get_ref().unwrap().is::<ReactorClosed>());

    let mut late = reactor.sleep(Duration::from_secs(1));
    assert!(poll_once(&mut late, &waker).is_pending(), "a sleep never ends early");
    assert_eq!(reactor.stats().timers, 0);
    clock.advance(Duration::from_secs(1)).unwrap();
    assert!(poll_once(&mut sleep, &waker).is_ready(), "its time has come all the same");
    within_limit(move || reactor.park(None)); // `close` has unparked it.
}

#[test]
fn a_reactor_goes_with_its_last_owner_also_when_its_clock_stays() {
    let (clock, reactor) = manual();
    let gone = Arc::downgrade(&reactor);
    drop(reactor);
    assert!(gone.upgrade().is_none());
    clock.advance(Duration::from_secs(1)).unwrap();
}
