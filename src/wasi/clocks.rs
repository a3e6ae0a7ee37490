//! `wasi:clocks`: the system's wall clock, and the reactor's clock as the monotonic one, so that a manual clock drives
//! guests too.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::{self, Duration as Nanos, Instant as NanosSinceStart};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::{self, Datetime};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::state::WasiState;
use crate::limits::{WaitReason, wait_for};
use crate::reactor::{Instant, Reactor, Sleep};

/// What the clocks can tell apart, in nanoseconds.
pub(super) const RESOLUTION_NANOS: u64 = 1;

/// The time since 1970; zero for a system clock set before that.
pub(super) fn wall_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

impl wall_clock::Host for WasiState {
    fn now(&mut self) -> Result<Datetime> {
        let now = wall_time();
        Ok(Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> Result<Datetime> {
        Ok(Datetime { seconds: 0, nanoseconds: RESOLUTION_NANOS as u32 })
    }
}

impl monotonic_clock::Host for WasiState {
    fn now(&mut self) -> Result<NanosSinceStart> {
        Ok(self.reactor.clock().now().as_nanos())
    }

    fn resolution(&mut self) -> Result<Nanos> {
        Ok(RESOLUTION_NANOS)
    }

    fn subscribe_instant(&mut self, when: NanosSinceStart) -> Result<Resource<DynPollable>> {
        self.subscribe_deadline(Instant::from_nanos(when))
    }

    fn subscribe_duration(&mut self, when: Nanos) -> Result<Resource<DynPollable>> {
        let deadline = self.reactor.clock().now().saturating_add(Duration::from_nanos(when));
        self.subscribe_deadline(deadline)
    }
}

impl WasiState {
    fn subscribe_deadline(&mut self, deadline: Instant) -> Result<Resource<DynPollable>> {
        let deadline = Deadline::new(&self.reactor, deadline);
        let deadline = self.table.push(deadline)?;
        subscribe(&mut self.table, deadline)
    }
}

/// A point in time a guest waits for.
pub(super) struct Deadline {
    sleep: Sleep,
    /// True when the task has to be put aside once before an answer: a guest that polls with a deadline that has passed
    /// asks for others to run, and would otherwise keep its worker until its slice ends.
    yields: bool,
}

impl Deadline {
    pub(super) fn new(reactor: &Arc<Reactor>, deadline: Instant) -> Deadline {
        Deadline { yields: deadline <= reactor.clock().now(), sleep: reactor.sleep_until(deadline) }
    }

    pub(super) fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        if std::mem::take(&mut self.yields) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        std::pin::Pin::new(&mut self.sleep).poll(cx)
    }
}

#[async_trait]
impl Pollable for Deadline {
    async fn ready(&mut self) {
        wait_for(WaitReason::Timer, |cx| self.poll_ready(cx)).await;
    }
}
