//! SIGINT, SIGTERM and the end of a process as bytes in one stream that the main thread reads: no thread of its own.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use super::exit::signal_code;
use super::report::hurry_after;

/// A request to end the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGINT: somebody pressed Ctrl-C.
    Interrupt,
    /// SIGTERM: somebody asked politely.
    Terminate,
}

impl Signal {
    const ALL: [Signal; 2] = [Signal::Interrupt, Signal::Terminate];

    fn number(self) -> i32 {
        match self {
            Self::Interrupt => SIGINT,
            Self::Terminate => SIGTERM,
        }
    }

    /// Its name, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

/// What wakes the main thread: signals, and whoever holds a [`Bell`]. A byte says only "look".
pub(super) struct Alarm {
    reader: UnixStream,
    writer: UnixStream,
    /// The number of the first signal; 0 while none has come.
    first: Arc<AtomicUsize>,
}

/// Wakes the reader of an [`Alarm`], from any thread.
pub(super) struct Bell(UnixStream);

impl Bell {
    pub(super) fn ring(&self) {
        // A full stream means that the reader has bytes left to read, so it will look.
        let _ = (&self.0).write(b"!");
    }
}

impl Alarm {
    /// Takes over SIGINT and SIGTERM. From the second signal on the program ends at once, in the signal handler, with
    /// the code of that signal.
    ///
    /// # Errors
    /// No stream could be made, or the system refused a handler.
    pub(super) fn install() -> io::Result<Self> {
        let alarm = Self::new()?;
        let seen = Arc::new(AtomicBool::new(false));
        for signal in Signal::ALL {
            let number = signal.number();
            // The order counts: actions of a signal run as they were registered, and this one must see the state from
            // before this signal.
            flag::register_conditional_shutdown(number, signal_code(signal).into(), Arc::clone(&seen))?;
            flag::register(number, Arc::clone(&seen))?;
            flag::register_usize(number, Arc::clone(&alarm.first), usize::try_from(number).unwrap_or(0))?;
            low_level::pipe::register(number, alarm.writer.try_clone()?)?;
        }
        hurry_after(seen);
        Ok(alarm)
    }

    fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        // Nobody who rings waits: neither a worker nor a signal handler.
        writer.set_nonblocking(true)?;
        Ok(Self { reader, writer, first: Arc::default() })
    }

    /// Something to ring with.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(super) fn bell(&self) -> io::Result<Bell> {
        self.writer.try_clone().map(Bell)
    }

    /// The signal that came, if one did.
    pub(super) fn signal(&self) -> Option<Signal> {
        // SeqCst, with the store in the signal handler, which comes before its byte.
        let number = self.first.load(Ordering::SeqCst);
        Signal::ALL.into_iter().find(|signal| usize::try_from(signal.number()) == Ok(number))
    }

    /// Waits until somebody rings or a signal comes, at most this long. It may return without a reason: look again at
    /// what is waited for.
    ///
    /// # Errors
    /// The stream can't be read.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        // A zero timeout is refused by the system; it would mean "for ever".
        self.reader.set_read_timeout(timeout.map(|time| time.max(Duration::from_millis(1))))?;
        // Many rings are one reason to look; what is left over only makes the next wait return early.
        let mut bytes = [0; 64];
        match (&self.reader).read(&mut bytes) {
            // This end of the stream keeps the other one open.
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(1..) => Ok(()),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Ok(()),
                _ => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_ends_the_wait() {
        let alarm = Alarm::new().expect("an alarm");
        let bell = alarm.bell().expect("a bell");
        let ringer = std::thread::spawn(move || bell.ring());
        alarm.wait(None).expect("a wait");
        ringer.join().expect("the ringer");
        assert_eq!(alarm.signal(), None);
    }

    #[test]
    fn a_full_stream_blocks_nobody() {
        let alarm = Alarm::new().expect("an alarm");
        let bell = alarm.bell().expect("a bell");
        for _ in 0..1_000_000 {
            bell.ring();
        }
        alarm.wait(None).expect("a wait");
    }

    #[test]
    fn a_wait_may_be_bounded() {
        let alarm = Alarm::new().expect("an alarm");
        alarm.wait(Some(Duration::ZERO)).expect("a wait");
    }

    #[test]
    fn the_number_tells_the_signal() {
        let alarm = Alarm::new().expect("an alarm");
        for signal in Signal::ALL {
            // SeqCst, as the handler does it.
            alarm.first.store(usize::try_from(signal.number()).expect("a small number"), Ordering::SeqCst);
            assert_eq!(alarm.signal(), Some(signal));
        }
    }
}
