//! What TCP and UDP have in common: descriptors, addresses, options, and readiness as it is now.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};

use crate::reactor::{FdSource, Registration};

/// A descriptor that the reactor watches.
pub(super) type Watched = Registration<FdSource<OwnedFd>>;

/// Keep-alive times that Linux takes, in seconds.
const KEEP_ALIVE_SECONDS_MAX: u64 = i16::MAX as u64;

/// Keep-alive probes that Linux takes.
const KEEP_ALIVE_COUNT_MAX: u32 = i8::MAX as u32;

/// A new non-blocking descriptor that children don't inherit; IPv6 ones speak IPv6 only.
pub(super) fn open(family: IpAddressFamily, kind: SocketType) -> Result<OwnedFd, ErrorCode> {
    let domain = match family {
        IpAddressFamily::Ipv4 => AddressFamily::INET,
        IpAddressFamily::Ipv6 => AddressFamily::INET6,
    };
    let fd = rustix::net::socket_with(domain, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if family == IpAddressFamily::Ipv6 {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    Ok(fd)
}

/// Binds, with the errors by which the documents call what can go wrong.
pub(super) fn bind(fd: impl AsFd, address: SocketAddr) -> Result<(), ErrorCode> {
    rustix::net::bind(fd, &address).map_err(|errno| match errno {
        Errno::AFNOSUPPORT => ErrorCode::InvalidArgument,
        Errno::NOBUFS => ErrorCode::AddressInUse,
        Errno::INVAL => ErrorCode::InvalidState,
        errno => errno.into(),
    })
}

/// The address the descriptor is bound to.
pub(super) fn local_address(fd: impl AsFd) -> Result<SocketAddr, ErrorCode> {
    SocketAddr::try_from(rustix::net::getsockname(fd)?).map_err(|_| ErrorCode::Unknown)
}

/// True when an address can be used with a socket of this family: no mapped and no compatible ones on IPv6.
pub(super) fn fits(address: IpAddr, family: IpAddressFamily) -> bool {
    match (family, address) {
        (IpAddressFamily::Ipv4, IpAddr::V4(_)) => true,
        (IpAddressFamily::Ipv6, IpAddr::V6(v6)) => v6.to_ipv4_mapped().is_none() && !is_ipv4_compatible(v6),
        _ => false,
    }
}

/// The deprecated form `::a.b.c.d`.
fn is_ipv4_compatible(v6: Ipv6Addr) -> bool {
    v6.segments()[..6] == [0; 6] && !v6.is_unspecified() && !v6.is_loopback()
}

/// True when one machine has the address.
pub(super) fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_multicast() && v4 != Ipv4Addr::BROADCAST,
        IpAddr::V6(v6) => !v6.is_multicast(),
    }
}

/// True when something can be sent there.
pub(super) fn is_destination(address: SocketAddr, family: IpAddressFamily) -> bool {
    fits(address.ip(), family) && !address.ip().is_unspecified() && address.port() != 0
}

/// The readiness that ends a wait for reading.
pub(super) const READABLE: PollFlags = PollFlags::IN.union(PollFlags::RDHUP);
/// The readiness that ends a wait for writing.
pub(super) const WRITABLE: PollFlags = PollFlags::OUT;

/// Whether the system says now that a descriptor is ready, has failed or was hung up.
pub(super) fn is_ready_now(fd: BorrowedFd<'_>, flags: PollFlags) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(fd, flags)];
    // Interrupted or refused: the operation itself will tell.
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).map_or(true, |count| count > 0)
}

/// Ready when reading would give something now: an event of the past may have been used up by reads since.
pub(super) fn poll_readable(socket: &Watched, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        // The reactor is closed: the operation tells.
        let Ok(ready) = std::task::ready!(socket.poll_read_ready(cx)) else { return Poll::Ready(()) };
        if is_ready_now(socket.get().as_fd(), READABLE) {
            return Poll::Ready(());
        }
        socket.clear_read_ready(ready);
    }
}

/// [`poll_readable`] for writing, and for the end of a connection attempt.
pub(super) fn poll_writable(socket: &Watched, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        let Ok(ready) = std::task::ready!(socket.poll_write_ready(cx)) else { return Poll::Ready(()) };
        if is_ready_now(socket.get().as_fd(), WRITABLE) {
            return Poll::Ready(());
        }
        socket.clear_write_ready(ready);
    }
}

/// True for an operation that has to be tried again when the socket is ready.
pub(super) fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

pub(super) fn hop_limit(fd: BorrowedFd<'_>, family: IpAddressFamily) -> Result<u8, ErrorCode> {
    match family {
        IpAddressFamily::Ipv4 => u8::try_from(sockopt::ip_ttl(fd)?).map_err(|_| ErrorCode::NotSupported),
        IpAddressFamily::Ipv6 => Ok(sockopt::ipv6_unicast_hops(fd)?),
    }
}

pub(super) fn set_hop_limit(fd: BorrowedFd<'_>, family: IpAddressFamily, value: u8) -> Result<(), ErrorCode> {
    if value == 0 {
        return Err(ErrorCode::InvalidArgument);
    }
    match family {
        IpAddressFamily::Ipv4 => sockopt::set_ip_ttl(fd, value.into())?,
        IpAddressFamily::Ipv6 => sockopt::set_ipv6_unicast_hops(fd, Some(value))?,
    }
    Ok(())
}

/// Linux reports twice what was set, to count its own bookkeeping in; the guest gets back what it asked for.
const LINUX_BUFFER_FACTOR: u64 = 2;

pub(super) fn receive_buffer_size(fd: BorrowedFd<'_>) -> Result<u64, ErrorCode> {
    Ok(sockopt::socket_recv_buffer_size(fd)? as u64 / LINUX_BUFFER_FACTOR)
}

pub(super) fn send_buffer_size(fd: BorrowedFd<'_>) -> Result<u64, ErrorCode> {
    Ok(sockopt::socket_send_buffer_size(fd)? as u64 / LINUX_BUFFER_FACTOR)
}

pub(super) fn set_receive_buffer_size(fd: BorrowedFd<'_>, value: u64) -> Result<(), ErrorCode> {
    Ok(sockopt::set_socket_recv_buffer_size(fd, buffer_size(value)?)?)
}

pub(super) fn set_send_buffer_size(fd: BorrowedFd<'_>, value: u64) -> Result<(), ErrorCode> {
    Ok(sockopt::set_socket_send_buffer_size(fd, buffer_size(value)?)?)
}

/// A size is a wish that the system rounds; only zero is refused.
fn buffer_size(value: u64) -> Result<usize, ErrorCode> {
    if value == 0 {
        return Err(ErrorCode::InvalidArgument);
    }
    // Half the type's range: the system doubles it.
    Ok(value.min(i32::MAX as u64 / LINUX_BUFFER_FACTOR) as usize)
}

/// A keep-alive time in nanoseconds as one that Linux takes: whole seconds, rounded up, at least one.
pub(super) fn keep_alive_time(nanos: u64) -> Result<Duration, ErrorCode> {
    if nanos == 0 {
        return Err(ErrorCode::InvalidArgument);
    }
    Ok(Duration::from_secs(nanos.div_ceil(1_000_000_000).min(KEEP_ALIVE_SECONDS_MAX)))
}

pub(super) fn keep_alive_count(count: u32) -> Result<u32, ErrorCode> {
    if count == 0 { Err(ErrorCode::InvalidArgument) } else { Ok(count.min(KEEP_ALIVE_COUNT_MAX)) }
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_their_own_addresses_only() {
        let fits = |text: &str, family| fits(text.parse().unwrap(), family);
        assert!(fits("127.0.0.1", IpAddressFamily::Ipv4) && !fits("127.0.0.1", IpAddressFamily::Ipv6));
        assert!(fits("::1", IpAddressFamily::Ipv6) && !fits("::1", IpAddressFamily::Ipv4));
        assert!(fits("::", IpAddressFamily::Ipv6));
        for odd in ["::ffff:127.0.0.1", "::127.0.0.1", "::2"] {
            assert!(!fits(odd, IpAddressFamily::Ipv6), "{odd}");
        }
    }

    #[test]
    fn options_are_rounded_to_what_the_system_takes() {
        assert_eq!(keep_alive_time(0), Err(ErrorCode::InvalidArgument));
        assert_eq!(keep_alive_time(1), Ok(Duration::from_secs(1)));
        assert_eq!(keep_alive_time(1_000_000_001), Ok(Duration::from_secs(2)));
        assert_eq!(keep_alive_time(u64::MAX), Ok(Duration::from_secs(32767)));
        assert_eq!(keep_alive_count(0), Err(ErrorCode::InvalidArgument));
        assert_eq!(keep_alive_count(u32::MAX), Ok(127));
        assert_eq!(buffer_size(0), Err(ErrorCode::InvalidArgument));
        assert_eq!(buffer_size(u64::MAX), Ok(i32::MAX as usize / 2));
    }
}
