//! Output as whole lines: what a process on a host without a terminal writes goes to the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;

use super::{Output, StreamFailure, TRANSFER_BYTES_MAX};

/// The longest line that is passed on whole; a longer one is passed on in pieces of this size. Enough for a structured
/// log record, little enough to keep one per process.
pub const LINE_BYTES_MAX: usize = 8 * 1024;

/// An output that calls back with each whole line, without its line end. Bytes that are no UTF-8 arrive as replacement
/// characters. Lines of several outputs never mix: each keeps its own unfinished line.
///
/// The callback runs on the thread that writes, mostly a worker inside a step: it must not block.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use wippy::wasi::{Lines, Output};
///
/// let seen = Arc::new(Mutex::new(Vec::new()));
/// let lines = Lines::new({
///     let seen = seen.clone();
///     move |line: &str| seen.lock().unwrap().push(line.to_owned())
/// });
/// lines.write(b"one\ntw")?;
/// lines.write(b"o\r\nrest")?;
/// lines.finish();
/// assert_eq!(*seen.lock().unwrap(), ["one", "two", "rest"]);
/// # Ok::<(), wippy::wasi::StreamFailure>(())
/// ```
pub struct Lines {
    emit: Box<dyn Fn(&str) + Send + Sync>,
    /// The unfinished line, shorter than [`LINE_BYTES_MAX`].
    rest: Mutex<Vec<u8>>,
    accepted: AtomicU64,
}

impl Lines {
    /// Calls `emit` with each line.
    pub fn new(emit: impl Fn(&str) + Send + Sync + 'static) -> Lines {
        Lines { emit: Box::new(emit), rest: Mutex::default(), accepted: AtomicU64::new(0) }
    }

    fn emit(&self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (self.emit)(&String::from_utf8_lossy(line));
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("rest", &self.rest.lock().len()).finish_non_exhaustive()
    }
}

impl Output for Lines {
    fn room(&self) -> Result<usize, StreamFailure> {
        Ok(TRANSFER_BYTES_MAX)
    }

    fn write(&self, bytes: &[u8]) -> Result<(), StreamFailure> {
        self.accepted.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        // Out of the lock while calling back. One process writes from one thread at a time, so nothing comes between.
        let mut rest = std::mem::take(&mut *self.rest.lock());
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            rest.extend_from_slice(piece);
            if rest.last() == Some(&b'\n') {
                self.emit_bounded(&rest[..rest.len() - 1]);
                rest.clear();
            } else {
                let passed = self.emit_overlong(&rest);
                rest.drain(..passed);
            }
        }
        *self.rest.lock() = rest;
        Ok(())
    }

    fn poll_ready(&self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    fn poll_drained(&self, _cx: &mut Context<'_>, _target: u64) -> Poll<Result<(), StreamFailure>> {
        Poll::Ready(Ok(()))
    }

    fn finish(&self) {
        let rest = std::mem::take(&mut *self.rest.lock());
        if !rest.is_empty() {
            self.emit(&rest);
        }
    }
}

impl Lines {
    /// Emits a finished line, in pieces when it is overlong.
    fn emit_bounded(&self, line: &[u8]) {
        let passed = self.emit_overlong(line);
        if passed == 0 || passed < line.len() {
            self.emit(&line[passed..]);
        }
    }

    /// Emits full pieces of an overlong line and says how many bytes they were.
    fn emit_overlong(&self, line: &[u8]) -> usize {
        let mut passed = 0;
        while line.len() - passed > LINE_BYTES_MAX {
            let end = passed + piece_end(&line[passed..passed + LINE_BYTES_MAX]);
            (self.emit)(&String::from_utf8_lossy(&line[passed..end]));
            passed = end;
        }
        passed
    }
}

/// Where to cut a full piece so that no character is torn; at its end when it holds no UTF-8.
fn piece_end(piece: &[u8]) -> usize {
    let torn = piece.iter().rev().take(3).position(|byte| byte & 0b1100_0000 == 0b1100_0000);
    match torn {
        // A lead byte among the last three bytes: its character may go on behind the cut.
        Some(back) if std::str::from_utf8(&piece[piece.len() - 1 - back..]).is_err() => piece.len() - 1 - back,
        _ => piece.len(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn lines() -> (Lines, Arc<Mutex<Vec<String>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let lines = Lines::new({
            let seen = seen.clone();
            move |line: &str| seen.lock().push(line.to_owned())
        });
        (lines, seen)
    }

    #[test]
    fn lines_arrive_whole_however_they_are_written() {
        let (lines, seen) = lines();
        for byte in b"first\n\r\n\nlast" {
            lines.write(&[*byte]).unwrap();
        }
        assert_eq!(*seen.lock(), ["first", "", ""]);
        lines.finish();
        lines.finish();
        assert_eq!(*seen.lock(), ["first", "", "", "last"]);
        assert_eq!(lines.accepted(), 13);
    }

    #[test]
    fn an_overlong_line_comes_in_pieces_without_torn_characters() {
        let (lines, seen) = lines();
        let text = format!("x{}", "ü".repeat(LINE_BYTES_MAX));
        lines.write(text.as_bytes()).unwrap();
        assert!(lines.rest.lock().len() <= LINE_BYTES_MAX);
        lines.write(b"\nnext\n").unwrap();
        let seen = seen.lock();
        assert_eq!(seen.len(), 4);
        assert_eq!(seen[..3].concat(), text);
        assert!(seen.iter().all(|line| line.len() <= LINE_BYTES_MAX && !line.contains('\u{fffd}')));
        assert_eq!(seen[3], "next");
    }

    #[test]
    fn bytes_that_are_no_text_still_arrive() {
        let (lines, seen) = lines();
        lines.write(&[0xff; LINE_BYTES_MAX + 5]).unwrap();
        lines.write(b"\n").unwrap();
        assert_eq!(seen.lock().iter().map(|line| line.chars().count()).sum::<usize>(), LINE_BYTES_MAX + 5);
    }
}
