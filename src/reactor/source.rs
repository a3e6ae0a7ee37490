//! Readiness of sockets, pipes and other descriptors: one waker a direction, stale events rejected by generation.

use std::future::poll_fn;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use mio::event::{Event, Source};
use mio::{Registry, Token};
use parking_lot::Mutex;

use super::Reactor;

/// Which directions of a source are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Data, an incoming connection, or the end of the other side.
    Read,
    /// Room for data, or the end of a connection attempt.
    Write,
    /// Both.
    ReadWrite,
}

impl Interest {
    fn to_mio(self) -> mio::Interest {
        match self {
            Self::Read => mio::Interest::READABLE,
            Self::Write => mio::Interest::WRITABLE,
            Self::ReadWrite => mio::Interest::READABLE | mio::Interest::WRITABLE,
        }
    }
}

/// The reactor was closed: nothing will report readiness any more. Carried by an [`io::Error`] of kind `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reactor is closed, its host is shutting down")]
pub struct ReactorClosed;

impl From<ReactorClosed> for io::Error {
    fn from(closed: ReactorClosed) -> Self {
        Self::other(closed)
    }
}

/// Evidence that a direction was ready: what [`Registration::clear_read_ready`] takes back, unless another event came
/// in the meantime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The event count of the direction when this was given out.
    events: u32,
}

#[derive(Clone, Copy)]
enum Direction {
    Read = 0,
    Write = 1,
}

/// What is known of one direction.
#[derive(Default)]
struct Side {
    /// An event came and nobody has seen the end of it.
    ready: bool,
    /// Events so far, wrapping: a [`Ready`] with another count is outdated.
    events: u32,
    /// An event said that nothing more will come: it was the last one.
    ended: bool,
    /// Who waits; the last one to poll.
    waker: Option<Waker>,
}

/// What the driver and a registration share.
#[derive(Default)]
struct Shared {
    sides: Mutex<[Side; 2]>,
}

impl Shared {
    fn set_ready(&self, direction: Direction, ended: bool, woken: &mut Vec<Waker>) {
        let side = &mut self.sides.lock()[direction as usize];
        side.ready = true;
        side.ended |= ended;
        side.events = side.events.wrapping_add(1);
        woken.extend(side.waker.take());
    }
}

/// A place in the slab. The generation goes up each time it is vacated, so the token of an earlier owner finds nothing.
#[derive(Default)]
struct Slot {
    generation: u32,
    shared: Option<Arc<Shared>>,
}

#[derive(Default)]
struct Slab {
    /// As many as there were registrations at once; the descriptor limit of the system bounds them.
    slots: Vec<Slot>,
    /// Vacant slots.
    free: Vec<u32>,
}

/// Generation above, slot below: what the kernel gives back with an event.
fn token(slot: u32, generation: u32) -> Token {
    const { assert!(usize::BITS >= 64, "a token holds a slot and a generation, 32 bits each") };
    Token((generation as usize) << 32 | slot as usize)
}

impl Slab {
    fn insert(&mut self, shared: Arc<Shared>) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            // Descriptors are 31-bit numbers and each is registered once.
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        assert!(place.shared.replace(shared).is_none(), "a vacant slot of the reactor was taken");
        token(slot, place.generation)
    }

    fn remove(&mut self, token: Token) -> Option<Arc<Shared>> {
        let slot = token.0 as u32;
        let place = &mut self.slots[slot as usize];
        debug_assert_eq!(place.generation, (token.0 >> 32) as u32, "a registration is removed once");
        // The two tokens at the very end belong to the reactor itself: generations stop short of them.
        place.generation = (place.generation + 1) % u32::MAX;
        self.free.push(slot);
        place.shared.take()
    }

    fn get(&self, token: Token) -> Option<&Shared> {
        let place = self.slots.get(token.0 & u32::MAX as usize)?;
        (place.generation == (token.0 >> 32) as u32).then_some(place.shared.as_deref()?)
    }
}

/// All live registrations of a reactor.
pub(super) struct Sources {
    /// The way to the epoll instance that needs no driver's lock.
    registry: Registry,
    slab: Mutex<Slab>,
    /// Live registrations; Relaxed, as a hint for a look that may be skipped. A new registration's first event is found by
    /// the next look.
    live: AtomicUsize,
    /// After [`Reactor::close`]. Relaxed: written under the slab's lock before the sides of any registration are locked,
    /// read under one of these locks.
    closed: AtomicBool,
}

impl Sources {
    pub(super) fn new(registry: Registry) -> Self {
        Self { registry, slab: Mutex::default(), live: AtomicUsize::new(0), closed: AtomicBool::new(false) }
    }

    pub(super) fn len(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Marks what the events are for and moves the wakers of those who wait to `woken`. Events of ended registrations are
    /// dropped.
    pub(super) fn dispatch<'a>(&self, events: impl Iterator<Item = &'a Event>, woken: &mut Vec<Waker>) {
        let mut events = events.peekable();
        if events.peek().is_none() {
            return;
        }
        // Lock order: slab, then a registration's sides.
        let slab = self.slab.lock();
        for event in events {
            let Some(shared) = slab.get(event.token()) else { continue };
            let failed = event.is_error();
            if failed || event.is_readable() || event.is_read_closed() || event.is_priority() {
                shared.set_ready(Direction::Read, failed || event.is_read_closed(), woken);
            }
            if failed || event.is_writable() || event.is_write_closed() {
                shared.set_ready(Direction::Write, failed || event.is_write_closed(), woken);
            }
        }
    }

    /// Refuses new registrations and takes every waker.
    pub(super) fn close(&self, woken: &mut Vec<Waker>) {
        let slab = self.slab.lock();
        self.closed.store(true, Ordering::Relaxed);
        for shared in slab.slots.iter().filter_map(|slot| slot.shared.as_ref()) {
            shared.set_ready(Direction::Read, true, woken);
            shared.set_ready(Direction::Write, true, woken);
        }
    }

    fn check_open(&self) -> Result<(), ReactorClosed> {
        if self.closed.load(Ordering::Relaxed) { Err(ReactorClosed) } else { Ok(()) }
    }

    fn insert(&self, shared: Arc<Shared>) -> Result<Token, ReactorClosed> {
        let mut slab = self.slab.lock();
        self.check_open()?;
        Ok(slab.insert(shared))
    }
}

/// A source that is watched until this is dropped; the source goes with it.
///
/// Readiness is **edge-triggered**: an event says that something changed, once. The discipline is
///
/// 1. wait for readiness ([`Registration::poll_read_ready`], [`Registration::readable`] and the same for writing),
/// 2. read or write until the system says `WouldBlock`,
/// 3. only then [`Registration::clear_read_ready`] with the [`Ready`] of step 1, and wait again.
///
/// Clearing earlier loses an event; not clearing makes the next wait return at once. [`Registration::poll_read_with`]
/// does the three steps, and [`Registration::poll_read_bytes`] saves a stream of bytes the call that says `WouldBlock`. Nothing is ready before the kernel's first event, which comes with the first turn of the reactor
/// if the source is ready when it is registered. An error or a hang-up makes both directions ready.
///
/// Each direction has one waker: the task of the last poll is woken, earlier ones are forgotten.
///
/// ```
/// use std::io::Read;
/// use wippy::reactor::{Clock, Interest, Reactor, ReactorConfig};
///
/// # fn example() -> std::io::Result<()> {
/// let reactor = Reactor::new(Clock::real(), ReactorConfig::default())?;
/// let stream = mio::net::TcpStream::connect("127.0.0.1:7".parse().unwrap())?;
/// let socket = reactor.register(stream, Interest::ReadWrite)?;
/// let reply = async {
///     let mut buffer = [0; 64];
///     let length = std::future::poll_fn(|cx| socket.poll_read_with(cx, |mut stream| stream.read(&mut buffer))).await?;
///     std::io::Result::Ok(buffer[..length].to_vec())
/// };
/// # drop(reply);
/// # Ok(())
/// # }
/// ```
pub struct Registration<S: Source> {
    source: S,
    shared: Arc<Shared>,
    token: Token,
    reactor: Arc<Reactor>,
}

impl<S: Source> Registration<S> {
    pub(super) fn new(reactor: Arc<Reactor>, mut source: S, interest: Interest) -> io::Result<Self> {
        let sources = &reactor.sources;
        let shared = Arc::new(Shared::default());
        let token = sources.insert(Arc::clone(&shared))?;
        // In the slab first: the first event may come before `register` returns.
        if let Err(error) = sources.registry.register(&mut source, token, interest.to_mio()) {
            sources.slab.lock().remove(token);
            return Err(error);
        }
        sources.live.fetch_add(1, Ordering::Relaxed);
        Ok(Self { source, shared, token, reactor })
    }

    /// The watched source.
    pub fn get(&self) -> &S {
        &self.source
    }

    /// The watched source. Its descriptor must stay the same.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// The reactor that watches.
    pub fn reactor(&self) -> &Arc<Reactor> {
        &self.reactor
    }

    /// Ready when there may be something to read; otherwise the task of `context` is woken when there is.
    ///
    /// # Errors
    /// [`ReactorClosed`].
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.poll_ready(Direction::Read, context)
    }

    /// Ready when there may be room to write; otherwise the task of `context` is woken when there is.
    ///
    /// # Errors
    /// [`ReactorClosed`].
    pub fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.poll_ready(Direction::Write, context)
    }

    /// Reading said `WouldBlock` after `ready` was given out. Without effect when an event came since.
    pub fn clear_read_ready(&self, ready: Ready) {
        self.clear_ready(Direction::Read, ready);
    }

    /// Writing said `WouldBlock` after `ready` was given out. Without effect when an event came since.
    pub fn clear_write_ready(&self, ready: Ready) {
        self.clear_ready(Direction::Write, ready);
    }

    /// Waits until there may be something to read.
    ///
    /// # Errors
    /// [`ReactorClosed`].
    pub async fn readable(&self) -> io::Result<Ready> {
        poll_fn(|context| self.poll_read_ready(context)).await
    }

    /// Waits until there may be room to write.
    ///
    /// # Errors
    /// [`ReactorClosed`].
    pub async fn writable(&self) -> io::Result<Ready> {
        poll_fn(|context| self.poll_write_ready(context)).await
    }

    /// Waits for readiness and calls `read`, again and again while that says `WouldBlock`.
    ///
    /// # Errors
    /// Any other error of `read`, and [`ReactorClosed`].
    pub fn poll_read_with<R>(
        &self,
        context: &mut Context<'_>,
        read: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_with(Direction::Read, context, read).map_ok(|(result, _)| result)
    }

    /// Waits for readiness and calls `write`, again and again while that says `WouldBlock`.
    ///
    /// # Errors
    /// Any other error of `write`, and [`ReactorClosed`].
    pub fn poll_write_with<R>(
        &self,
        context: &mut Context<'_>,
        write: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_with(Direction::Write, context, write).map_ok(|(result, _)| result)
    }

    /// As [`Registration::poll_read_with`] for a stream of bytes: `read` reads at most `wanted`. When it reads fewer, they were
    /// all there were, and the next wait is for an event without asking the system once more.
    ///
    /// # Errors
    /// Those of [`Registration::poll_read_with`].
    pub fn poll_read_bytes(
        &self,
        context: &mut Context<'_>,
        wanted: usize,
        read: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let (count, ready) = std::task::ready!(self.poll_with(Direction::Read, context, read))?;
        self.clear_drained(ready, count, wanted);
        Poll::Ready(Ok(count))
    }

    /// [`Registration::poll_read_bytes`] without waiting for an event first, as [`Registration::try_read_with`].
    ///
    /// # Errors
    /// Those of [`Registration::try_read_with`].
    pub fn try_read_bytes(&self, wanted: usize, read: impl FnMut(&S) -> io::Result<usize>) -> io::Result<usize> {
        let (count, ready) = self.try_with(Direction::Read, read)?;
        self.clear_drained(ready, count, wanted);
        Ok(count)
    }

    /// Calls `read` now, whether or not an event came; `WouldBlock` of it takes back what earlier events said, and the next
    /// event wakes who waits. What is ready before the first event is had without waiting for it.
    ///
    /// # Errors
    /// Those of `read`, except interruptions, after which it is called again.
    pub fn try_read_with<R>(&self, read: impl FnMut(&S) -> io::Result<R>) -> io::Result<R> {
        self.try_with(Direction::Read, read).map(|(result, _)| result)
    }

    /// [`Registration::try_read_with`] for writing.
    ///
    /// # Errors
    /// Those of `write`, except interruptions, after which it is called again.
    pub fn try_write_with<R>(&self, write: impl FnMut(&S) -> io::Result<R>) -> io::Result<R> {
        self.try_with(Direction::Write, write).map(|(result, _)| result)
    }

    /// The result of `operation`, and what was ready before it.
    fn try_with<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<(R, Ready)> {
        // Before the attempt: an event that comes during it stays.
        let ready = Ready { events: self.shared.sides.lock()[direction as usize].events };
        loop {
            match operation(&self.source) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.clear_ready(direction, ready);
                    return Err(error);
                }
                result => return result.map(|result| (result, ready)),
            }
        }
    }

    fn poll_with<R>(
        &self,
        direction: Direction,
        context: &mut Context<'_>,
        mut operation: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<(R, Ready)>> {
        loop {
            let ready = std::task::ready!(self.poll_ready(direction, context))?;
            match operation(&self.source) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear_ready(direction, ready),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result.map(|result| (result, ready))),
            }
        }
    }

    /// A read that gave fewer bytes than wanted has seen the end of what was ready, unless it is the end of the stream that
    /// comes next: no event will say so again.
    fn clear_drained(&self, ready: Ready, count: usize, wanted: usize) {
        if (1..wanted).contains(&count) {
            let side = &mut self.shared.sides.lock()[Direction::Read as usize];
            if side.events == ready.events && !side.ended {
                side.ready = false;
            }
        }
    }

    fn poll_ready(&self, direction: Direction, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        let mut sides = self.shared.sides.lock();
        self.reactor.sources.check_open()?;
        let side = &mut sides[direction as usize];
        if side.ready {
            return Poll::Ready(Ok(Ready { events: side.events }));
        }
        let old = match &side.waker {
            Some(waker) if waker.will_wake(context.waker()) => None,
            _ => side.waker.replace(context.waker().clone()),
        };
        drop(sides);
        // Outside the lock: the last reference to a task may go with it.
        drop(old);
        Poll::Pending
    }

    fn clear_ready(&self, direction: Direction, ready: Ready) {
        let side = &mut self.shared.sides.lock()[direction as usize];
        if side.events == ready.events {
            side.ready = false;
        }
    }
}

impl<S: Source> Drop for Registration<S> {
    fn drop(&mut self) {
        let sources = &self.reactor.sources;
        // First the kernel, then the slot: an event that was fetched in between finds the generation gone. The error can
        // only be that the descriptor is not watched (any more), which is what is wanted.
        let _ = sources.registry.deregister(&mut self.source);
        let shared = sources.slab.lock().remove(self.token);
        sources.live.fetch_sub(1, Ordering::Relaxed);
        // Outside the slab's lock: wakers may hold the last reference to a task.
        drop(shared);
    }
}

impl<S: Source + std::fmt::Debug> std::fmt::Debug for Registration<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration")
            .field("source", &self.source)
            .field("token", &self.token.0)
            .finish_non_exhaustive()
    }
}

/// Lets anything with a descriptor be registered: a pipe, a FIFO, a terminal, the standard input.
///
/// The descriptor should be non-blocking when it is not shared with other programs; when it is (standard input), wait for
/// readiness and then read once.
#[derive(Debug)]
pub struct FdSource<F>(pub F);

impl<F> Deref for FdSource<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.0
    }
}

impl<F> DerefMut for FdSource<F> {
    fn deref_mut(&mut self) -> &mut F {
        &mut self.0
    }
}

impl<F: AsFd> Source for FdSource<F> {
    fn register(&mut self, registry: &Registry, token: Token, interests: mio::Interest) -> io::Result<()> {
        mio::unix::SourceFd(&self.0.as_fd().as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: mio::Interest) -> io::Result<()> {
        mio::unix::SourceFd(&self.0.as_fd().as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        mio::unix::SourceFd(&self.0.as_fd().as_raw_fd()).deregister(registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_an_earlier_owner_finds_nothing() {
        let mut slab = Slab::default();
        let first = slab.insert(Arc::default());
        let other = slab.insert(Arc::default());
        assert!(slab.get(first).is_some());
        slab.remove(first);
        assert!(slab.get(first).is_none(), "vacant");
        let second = slab.insert(Arc::default());
        assert_eq!(first.0 as u32, second.0 as u32, "the slot is taken again");
        assert!(slab.get(first).is_none() && slab.get(second).is_some() && slab.get(other).is_some());
    }

    #[test]
    fn no_token_is_one_of_the_reactors_own() {
        let mut slab = Slab::default();
        slab.insert(Arc::default());
        slab.slots[0].generation = u32::MAX - 1;
        slab.remove(token(0, u32::MAX - 1));
        assert_eq!(slab.insert(Arc::default()), token(0, 0), "generations stop short of `u32::MAX`");
    }
}
