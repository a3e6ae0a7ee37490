//! `poll_oneoff`: waiting for clocks, standard streams and files at once.

use std::sync::Arc;
use std::task::{Context, Poll};

use wasmtime::{Caller, Linker, Memory, Result};

use super::MODULE;
use super::clocks::ClockId;
use super::descriptors::Stream;
use super::errno::{Errno, code};
use super::memory::{Guest, memory};
use crate::limits::{WaitReason, forget_waits};
use crate::wasi::clocks::Deadline;
use crate::wasi::filesystem::{FILE_TRANSFER_MAX, File};
use crate::wasi::state::{WasiState, WasiView};
use crate::wasi::stdio::TRANSFER_BYTES_MAX;

/// How many subscriptions one call takes; more is `inval`. As many as a process may hold resources would be, but each
/// costs a timer.
const SUBSCRIPTIONS_MAX: u32 = 16 * 1024;

const SUBSCRIPTION_BYTES: u32 = 48;
const EVENT_BYTES: u32 = 32;

const KIND_CLOCK: u8 = 0;
const KIND_READ: u8 = 1;
const KIND_WRITE: u8 = 2;

const CLOCK_ABSOLUTE: u16 = 1;

/// One thing a guest waits for.
struct Subscription {
    userdata: u64,
    kind: u8,
    source: Source,
}

enum Source {
    Clock(Deadline),
    Stream(Stream),
    /// A FIFO or terminal.
    Polled(Arc<File>),
    /// Never waits: so many bytes may be read or written.
    Ready(u64),
    /// Answered at once.
    Failed(Errno),
}

/// What happened to a subscription.
struct Event {
    userdata: u64,
    kind: u8,
    errno: u16,
    bytes: u64,
}

pub(super) fn add<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    linker.func_wrap_async(
        MODULE,
        "poll_oneoff",
        |mut caller: Caller<'_, T>, (subscriptions, events, count, out): (u32, u32, u32, u32)| {
            Box::new(async move {
                let memory = memory(&mut caller)?;
                Ok::<_, wasmtime::Error>(code(poll(&mut caller, memory, (subscriptions, count), events, out).await))
            })
        },
    )?;
    Ok(())
}

async fn poll<T: WasiView>(
    caller: &mut Caller<'_, T>,
    memory: Memory,
    (start, count): (u32, u32),
    events_at: u32,
    out: u32,
) -> Result<(), Errno> {
    if count == 0 || count > SUBSCRIPTIONS_MAX {
        return Err(Errno::INVAL);
    }
    let (data, store) = memory.data_and_store_mut(&mut *caller);
    let mut guest = Guest(data);
    // Checked before the wait, so that nothing that happened is lost for want of a place.
    guest.slice(events_at, count * EVENT_BYTES)?;
    guest.slice(out, 4)?;
    guest.slice(start, count * SUBSCRIPTION_BYTES)?;
    // As many as there are, and not the four that a vector begins with: most who sleep wait for one clock.
    let mut subscriptions = Vec::with_capacity(count as usize);
    for index in 0..count {
        subscriptions.push(parse(guest.read(start + index * SUBSCRIPTION_BYTES)?, store.wasi())?);
    }
    for subscription in &mut subscriptions {
        subscription.resolve().await;
    }
    let events = std::future::poll_fn(|cx| {
        let events: Vec<Event> = subscriptions.iter_mut().filter_map(|subscription| subscription.look(cx)).collect();
        if events.is_empty() { Poll::Pending } else { Poll::Ready(events) }
    })
    .await;
    forget_waits();
    let mut guest = Guest(memory.data_mut(&mut *caller));
    for (index, event) in events.iter().enumerate() {
        guest.write(events_at + index as u32 * EVENT_BYTES, &event.encode())?;
    }
    guest.write_u32(out, events.len() as u32)
}

fn parse(bytes: [u8; SUBSCRIPTION_BYTES as usize], state: &mut WasiState) -> Result<Subscription, Errno> {
    let u64_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
    let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
    let kind = bytes[8];
    let source = match kind {
        KIND_CLOCK => {
            let absolute = u16::from_le_bytes([bytes[40], bytes[41]]) & CLOCK_ABSOLUTE != 0;
            ClockId::from_number(u32_at(16)).map(|clock| {
                let deadline = clock.deadline(&state.reactor, u64_at(24), absolute);
                Source::Clock(Deadline::new(&state.reactor, deadline))
            })
        }
        KIND_READ | KIND_WRITE => state.stream(u32_at(16)).and_then(|(stream, _)| match (&stream, kind) {
            (Stream::Input(_), KIND_READ) | (Stream::Output(_), KIND_WRITE) | (Stream::File { .. }, _) => {
                Ok(Source::Stream(stream))
            }
            _ => Err(Errno::BADF),
        }),
        _ => return Err(Errno::INVAL),
    };
    Ok(Subscription { userdata: u64_at(0), kind, source: source.unwrap_or_else(Source::Failed) })
}

impl Subscription {
    /// Finds out what there is to wait for at a file. Regular files are always ready.
    async fn resolve(&mut self) {
        let Source::Stream(Stream::File { file, position, .. }) = &self.source else { return };
        let allowed = if self.kind == KIND_READ { file.check_read() } else { file.check_write() };
        self.source = match allowed {
            Err(code) => Source::Failed(code.into()),
            Ok(()) if file.polled().is_some() => Source::Polled(Arc::clone(file)),
            Ok(()) if self.kind == KIND_WRITE => Source::Ready(FILE_TRANSFER_MAX as u64),
            // In a box: nobody else should carry the place for it.
            Ok(()) => match Box::pin(file.size()).await {
                Ok(size) => Source::Ready(size.saturating_sub(*position)),
                Err(code) => Source::Failed(code.into()),
            },
        };
    }

    fn look(&mut self, cx: &mut Context<'_>) -> Option<Event> {
        let ready = |reason: WaitReason, ready: Poll<()>, bytes: u64| {
            if ready.is_pending() {
                reason.note();
            }
            ready.is_ready().then_some((0, bytes))
        };
        let (errno, bytes) = match &mut self.source {
            Source::Failed(errno) => (errno.0, 0),
            Source::Ready(bytes) => (0, *bytes),
            Source::Polled(file) => {
                let polled = file.polled()?;
                let look =
                    if self.kind == KIND_READ { polled.poll_read_ready(cx) } else { polled.poll_write_ready(cx) };
                // A reactor that is closed makes the next read say so.
                ready(WaitReason::File, look.map(|_| ()), 1)?
            }
            Source::Clock(deadline) => ready(WaitReason::Timer, deadline.poll_ready(cx), 0)?,
            // Streams do not say how much is there; one byte is what readiness promises.
            Source::Stream(Stream::Input(input)) => ready(WaitReason::Stdin, input.poll_ready(cx), 1)?,
            Source::Stream(Stream::File { .. }) => (Errno::BADF.0, 0),
            Source::Stream(Stream::Output(output)) => {
                let room = output.room().map_or(0, |room| room.min(TRANSFER_BYTES_MAX));
                ready(WaitReason::Output, output.poll_ready(cx), room as u64)?
            }
        };
        Some(Event { userdata: self.userdata, kind: self.kind, errno, bytes })
    }
}

impl Event {
    fn encode(&self) -> [u8; EVENT_BYTES as usize] {
        let mut bytes = [0; EVENT_BYTES as usize];
        bytes[0..8].copy_from_slice(&self.userdata.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.errno.to_le_bytes());
        bytes[10] = self.kind;
        bytes[16..24].copy_from_slice(&self.bytes.to_le_bytes());
        bytes
    }
}
