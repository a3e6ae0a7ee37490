//! What a process waits for, as those say who make it wait.
//!
//! Whoever leaves a process without an answer notes why, on the thread of its step; the end of the step keeps what was noted
//! in the process's [`Usage`](super::Usage). So a wait costs one store, and what never waits costs nothing.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll};

/// One kind of thing that a process can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum WaitReason {
    /// A point in time.
    Timer,
    /// The other side of a TCP connection that is being made.
    TcpConnect,
    /// Somebody who connects to a listening TCP socket.
    TcpAccept,
    /// Bytes of a TCP connection.
    TcpRead,
    /// Room in a TCP connection for what is sent.
    TcpWrite,
    /// A datagram.
    UdpReceive,
    /// Room for a datagram.
    UdpSend,
    /// The addresses of a name.
    Lookup,
    /// An answer of an HTTP server, or its readiness to take more.
    Http,
    /// Standard input.
    Stdin,
    /// Room in standard output or error, or that what was written there has left.
    Output,
    /// A file, a folder, a FIFO or a terminal.
    File,
    /// The answer of a function.
    Function,
    /// A message or an event.
    Message,
    /// Room for another process.
    Room,
    /// A function of the embedder.
    Host,
}

impl WaitReason {
    /// Every reason there is.
    pub const ALL: [Self; 16] = [
        Self::Timer,
        Self::TcpConnect,
        Self::TcpAccept,
        Self::TcpRead,
        Self::TcpWrite,
        Self::UdpReceive,
        Self::UdpSend,
        Self::Lookup,
        Self::Http,
        Self::Stdin,
        Self::Output,
        Self::File,
        Self::Function,
        Self::Message,
        Self::Room,
        Self::Host,
    ];

    /// Its name in `wippy ps`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Timer => "timer",
            Self::TcpConnect => "tcp-connect",
            Self::TcpAccept => "tcp-accept",
            Self::TcpRead => "tcp-read",
            Self::TcpWrite => "tcp-write",
            Self::UdpReceive => "udp-receive",
            Self::UdpSend => "udp-send",
            Self::Lookup => "lookup",
            Self::Http => "http",
            Self::Stdin => "stdin",
            Self::Output => "output",
            Self::File => "file",
            Self::Function => "function",
            Self::Message => "message",
            Self::Room => "room",
            Self::Host => "host",
        }
    }

    /// Notes that the process whose step this thread is in waits for this, among other things perhaps. What is noted
    /// outside a step concerns nobody.
    ///
    /// A native [`Process`](crate::process::Process) calls it before it answers that it is blocked.
    pub fn note(self) {
        NOTED.with(|noted| noted.set(Waits(noted.get().0 | self.bit())));
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// All that a process waits for at once: a poll of several things has as many reasons.
///
/// ```
/// use wippy::limits::{WaitReason, Waits};
///
/// let waits: Waits = [WaitReason::TcpRead, WaitReason::Timer].into_iter().collect();
/// assert_eq!(waits.to_string(), "timer,tcp-read");
/// assert!(Waits::default().is_empty());
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits(u16);

impl Waits {
    /// The reasons, in the order of [`WaitReason::ALL`].
    pub fn iter(self) -> impl Iterator<Item = WaitReason> {
        WaitReason::ALL.into_iter().filter(move |reason| self.0 & reason.bit() != 0)
    }

    /// True when nobody has said what is waited for.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn to_bits(self) -> u16 {
        self.0
    }

    pub(super) fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
}

impl FromIterator<WaitReason> for Waits {
    fn from_iter<I: IntoIterator<Item = WaitReason>>(reasons: I) -> Self {
        Self(reasons.into_iter().fold(0, |bits, reason| bits | reason.bit()))
    }
}

impl fmt::Display for Waits {
    /// The names with commas between them, nothing for none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, reason) in self.iter().enumerate() {
            write!(f, "{}{reason}", if at > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

thread_local! {
    /// What was noted in the step that this thread is in.
    static NOTED: Cell<Waits> = const { Cell::new(Waits(0)) };
}

/// Takes what was noted on this thread; nothing is afterwards.
pub(super) fn take() -> Waits {
    NOTED.take()
}

/// A wait for several things is over: those that did not end it are waited for no more.
pub(crate) fn forget_waits() {
    let _ = take();
}

/// Whether the step that this thread is in ends with a wait for what others send.
pub(crate) fn waits_for_message() -> bool {
    NOTED.get().0 & WaitReason::Message.bit() != 0
}

/// [`poll_fn`] that notes `reason` whenever there is no answer yet.
pub(crate) fn wait_for<T>(
    reason: WaitReason,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> impl Future<Output = T> {
    poll_fn(move |cx| {
        let polled = poll(cx);
        if polled.is_pending() {
            reason.note();
        }
        polled
    })
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    #[test]
    fn every_reason_has_a_bit_and_a_name_of_its_own() {
        let all: Waits = WaitReason::ALL.into_iter().collect();
        assert_eq!(all.to_bits().count_ones() as usize, WaitReason::ALL.len());
        assert_eq!(Waits::from_bits(all.to_bits()).iter().collect::<Vec<_>>(), WaitReason::ALL);
        let names: std::collections::BTreeSet<_> = WaitReason::ALL.map(WaitReason::name).into();
        assert_eq!(names.len(), WaitReason::ALL.len());
    }

    #[test]
    fn who_has_an_answer_waits_for_nothing() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut answers = [Poll::Pending, Poll::Ready(())].into_iter();
        let mut wait = pin!(wait_for(WaitReason::Lookup, |_| answers.next().expect("two looks")));
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        WaitReason::Timer.note();
        assert_eq!(take().to_string(), "timer,lookup");
        assert!(wait.as_mut().poll(&mut cx).is_ready());
        assert!(take().is_empty());
    }
}
