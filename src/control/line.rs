//! Bytes over a connection, with an end in time.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How many bytes one read asks for.
const READ_BYTES: usize = 16 * 1024;

/// A connection that does not block, the point in time at which it is given up, and a stream whose end gives it up at once.
pub(super) struct Line<'a> {
    stream: UnixStream,
    deadline: Instant,
    end: Option<&'a UnixStream>,
}

impl<'a> Line<'a> {
    /// Takes a connection for at most `time`, and not beyond the end of `end`.
    pub(super) fn new(stream: UnixStream, time: Duration, end: Option<&'a UnixStream>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, deadline: Instant::now() + time, end })
    }

    /// Reads to the end of a line, or to the end of what is sent; `None` when that is longer than `max`.
    pub(super) fn read_line(&mut self, max: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        while !bytes.contains(&b'\n') {
            if !self.read_more(&mut bytes, max)? {
                break;
            }
            if bytes.len() > max {
                return Ok(None);
            }
        }
        Ok(Some(bytes))
    }

    /// Reads to the end of what is sent; `None` when that is longer than `max`.
    pub(super) fn read_all(&mut self, max: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        while self.read_more(&mut bytes, max)? {
            if bytes.len() > max {
                return Ok(None);
            }
        }
        Ok(Some(bytes))
    }

    /// One read of at most one byte more than `max` allows; false at the end.
    fn read_more(&mut self, bytes: &mut Vec<u8>, max: usize) -> io::Result<bool> {
        let mut buffer = [0; READ_BYTES];
        let wanted = READ_BYTES.min((max + 1).saturating_sub(bytes.len()));
        loop {
            match (&self.stream).read(&mut buffer[..wanted]) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    bytes.extend_from_slice(&buffer[..count]);
                    return Ok(true);
                }
                Err(error) => self.wait_after(error, PollFlags::IN)?,
            }
        }
    }

    pub(super) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match (&self.stream).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) => self.wait_after(error, PollFlags::OUT)?,
            }
        }
        Ok(())
    }

    /// Waits when `error` says that it has to be waited, and fails with any other.
    fn wait_after(&self, error: io::Error, flags: PollFlags) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::Interrupted => return Ok(()),
            io::ErrorKind::WouldBlock => {}
            _ => return Err(error),
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut watched = vec![PollFd::from_borrowed_fd(self.stream.as_fd(), flags)];
        watched.extend(self.end.map(|end| PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN)));
        wait(&mut watched, Some(left))?;
        if watched.get(1).is_some_and(|end| !end.revents().is_empty()) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }
}

/// Waits until one of these is ready, at most this long. A signal ends it early.
pub(super) fn wait(watched: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<()> {
    // Longer than there are seconds is without an end.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match poll(watched, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn the_end_of_the_server_gives_a_silent_client_up() {
        let (server, client) = UnixStream::pair().unwrap();
        let (end, ended) = UnixStream::pair().unwrap();
        let waiting = std::thread::spawn(move || {
            let mut line = Line::new(server, FOREVER, Some(&ended)).unwrap();
            let read = line.read_line(8).unwrap_err().kind();
            // A client that does not read holds nobody either.
            let written = line.write_all(&vec![b'x'; 1 << 24]).unwrap_err().kind();
            (read, written)
        });
        drop(end);
        let given_up = waiting.join().unwrap();
        assert_eq!(given_up, (io::ErrorKind::Interrupted, io::ErrorKind::Interrupted));
        drop(client);
    }

    #[test]
    fn time_that_is_over_gives_a_silent_client_up() {
        let (server, _client) = UnixStream::pair().unwrap();
        let mut line = Line::new(server, Duration::ZERO, None).unwrap();
        assert_eq!(line.read_line(8).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn what_is_longer_than_allowed_is_not_read_to_its_end() {
        let line_of = |sent: &[u8]| {
            let (server, client) = UnixStream::pair().unwrap();
            (&client).write_all(sent).unwrap();
            Line::new(server, FOREVER, None).unwrap()
        };
        assert_eq!(line_of(b"12345678").read_line(8).unwrap().unwrap(), b"12345678", "the end of what is sent");
        assert_eq!(line_of(b"1234567\nrest").read_line(12).unwrap().unwrap(), b"1234567\nrest");
        assert_eq!(line_of(b"123456789").read_line(8).unwrap(), None);
        assert_eq!(line_of(b"123456789").read_all(8).unwrap(), None);
        assert_eq!(line_of(b"12345678").read_all(8).unwrap().unwrap(), b"12345678");
    }
}
