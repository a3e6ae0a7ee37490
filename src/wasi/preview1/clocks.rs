//! The clocks of preview 1.

use std::time::Duration;

use wasmtime::{Caller, Linker, Result};

use super::MODULE;
use super::errno::{Errno, code};
use super::memory::split;
use crate::reactor::{Instant, Reactor};
use crate::wasi::clocks::{RESOLUTION_NANOS, wall_time};
use crate::wasi::state::WasiView;

/// The clocks that are served. Processor time belongs to the host, not to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClockId {
    Realtime,
    Monotonic,
}

impl ClockId {
    pub(super) fn from_number(number: u32) -> Result<ClockId, Errno> {
        match number {
            0 => Ok(ClockId::Realtime),
            1 => Ok(ClockId::Monotonic),
            2 | 3 => Err(Errno::NOTSUP),
            _ => Err(Errno::INVAL),
        }
    }

    fn now_nanos(self, reactor: &Reactor) -> u64 {
        match self {
            ClockId::Realtime => u64::try_from(wall_time().as_nanos()).unwrap_or(u64::MAX),
            ClockId::Monotonic => reactor.clock().now().as_nanos(),
        }
    }

    /// The instant of the reactor's clock at which this clock shows `nanos`, or is `nanos` further than now.
    pub(super) fn deadline(self, reactor: &Reactor, nanos: u64, absolute: bool) -> Instant {
        let duration = if absolute { nanos.saturating_sub(self.now_nanos(reactor)) } else { nanos };
        reactor.clock().now().saturating_add(Duration::from_nanos(duration))
    }
}

pub(super) fn add<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    linker
        .func_wrap(MODULE, "clock_res_get", |mut caller: Caller<'_, T>, clock: u32, out: u32| {
            let (mut guest, _) = split(&mut caller)?;
            let written = ClockId::from_number(clock).and_then(|_| guest.write_u64(out, RESOLUTION_NANOS));
            Ok::<_, wasmtime::Error>(code(written))
        })?
        .func_wrap(MODULE, "clock_time_get", |mut caller: Caller<'_, T>, clock: u32, _precision: u64, out: u32| {
            let (mut guest, data) = split(&mut caller)?;
            let written = ClockId::from_number(clock)
                .and_then(|clock| guest.write_u64(out, clock.now_nanos(&data.wasi().reactor)));
            Ok::<_, wasmtime::Error>(code(written))
        })?;
    Ok(())
}
