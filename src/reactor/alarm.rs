//! How a parked driver learns that the next timer is due.

use std::io;
use std::time::Duration;

use super::drive::ALARM;

/// The end of the driver's wait.
///
/// mio rounds the timeout of a poll up to whole milliseconds, so on Linux a timer descriptor inside the epoll instance
/// ends the wait: to the precision of the kernel's timers, and any thread can move it forward without waking the driver.
/// Elsewhere, and where the system refuses such a descriptor, the timeout of the poll does it, up to 1 ms late. Measured on
/// 2 cores, a lone sleep of 200 µs: half are 35 µs late with the descriptor, 890 µs with the timeout.
pub(super) enum Alarm {
    /// A timer descriptor that is registered with the poll, edge-triggered: it need not be read.
    #[cfg(target_os = "linux")]
    Descriptor(std::os::fd::OwnedFd),
    /// The timeout of the poll; an earlier deadline has to unpark the driver.
    ParkTimeout,
}

impl Alarm {
    /// The best alarm of this system.
    #[cfg(target_os = "linux")]
    pub(super) fn new(registry: &mio::Registry) -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        use std::os::fd::AsRawFd;

        let Ok(timer) = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
        else {
            return Ok(Self::ParkTimeout);
        };
        registry.register(&mut mio::unix::SourceFd(&timer.as_raw_fd()), ALARM, mio::Interest::READABLE)?;
        Ok(Self::Descriptor(timer))
    }

    /// The best alarm of this system.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn new(_registry: &mio::Registry) -> io::Result<Self> {
        Ok(Self::ParkTimeout)
    }

    /// The alarm that needs no descriptor.
    pub(super) fn park_timeout() -> Self {
        Self::ParkTimeout
    }

    /// Ends the driver's wait `after` from now, replacing what was set before. `false`: this alarm cannot, the poll
    /// needs a timeout.
    pub(super) fn set(&self, after: Duration) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::Descriptor(timer) => set_descriptor(timer, after),
            Self::ParkTimeout => {
                let _ = after;
                false
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn set_descriptor(timer: &std::os::fd::OwnedFd, after: Duration) -> bool {
    use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

    /// A century: far beyond any process, inside the kernel's range.
    const AFTER_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    // Zero would disarm it.
    let after = after.clamp(Duration::from_nanos(1), AFTER_MAX);
    let value = Timespec { tv_sec: after.as_secs() as i64, tv_nsec: i64::from(after.subsec_nanos()) };
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &once).is_ok()
}
