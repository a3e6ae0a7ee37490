//! What a batch runs over: lines of JSON, a range of numbers, files.

use std::collections::VecDeque;
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::done::DoneSet;
use super::feed::{Fed, Feed};
use super::map::Poker;
use crate::process::Payload;

/// The longest line of an input. A longer one fails its item, and is not kept.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// The largest file whose content is an argument.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// Lines that a thread has read ahead of who wants them.
const LINES_AHEAD: usize = 256;

/// The thread that reads an input which may have nothing yet.
const THREAD: &str = "wippy-input";

/// The inputs of a batch.
pub struct Source {
    kind: Kind,
    /// What has been read: how many inputs, and their bytes when somebody wants to know them again.
    read: u64,
    bytes: u64,
    digest: Option<Sha256>,
    /// Inputs that were read before they were wanted.
    ahead: VecDeque<Fed>,
    /// Why the input could not be read further.
    failure: Option<io::Error>,
}

enum Kind {
    Lines(Box<dyn BufRead + Send>),
    Thread(Receiver<io::Result<Line>>),
    Range { next: i64, end: i64 },
    Files { paths: std::vec::IntoIter<PathBuf>, content: FileContent },
}

/// What of a file is the argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileContent {
    /// Its bytes: text, when they are UTF-8.
    #[default]
    Contents,
    /// Its path.
    Path,
}

enum Line {
    Whole(Vec<u8>),
    /// It has more bytes than [`LINE_BYTES_MAX`].
    TooLong,
}

impl Source {
    /// Each line of `input` is the arguments of an item: a JSON array of them, or one value. Lines without anything are left
    /// out. Blocks when the input does.
    pub fn lines(input: impl BufRead + Send + 'static) -> Self {
        Self::of(Kind::Lines(Box::new(input)))
    }

    /// [`Source::lines`] of an input that may have nothing for a while: a thread reads it, which ends with the input.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn lines_as_they_come(mut input: impl BufRead + Send + 'static, poker: Poker) -> io::Result<Self> {
        let (sender, receiver): (SyncSender<io::Result<Line>>, _) = sync_channel(LINES_AHEAD);
        thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            loop {
                let line = read_line(&mut input).transpose();
                let goes_on = matches!(line, Some(Ok(_)));
                let sent = line.map(|line| sender.send(line).is_ok());
                poker.poke();
                if !goes_on || sent != Some(true) {
                    break;
                }
            }
            // The end is seen when the sender is gone, so somebody must look after that.
            drop(sender);
            poker.poke();
        })?;
        Ok(Self::of(Kind::Thread(receiver)))
    }

    /// The numbers from `start` up to `end`, which is not one of them.
    #[must_use]
    pub fn range(start: i64, end: i64) -> Self {
        Self::of(Kind::Range { next: start, end })
    }

    /// Files, one argument each.
    #[must_use]
    pub fn files(paths: Vec<PathBuf>, content: FileContent) -> Self {
        Self::of(Kind::Files { paths: paths.into_iter(), content })
    }

    fn of(kind: Kind) -> Self {
        Self { kind, read: 0, bytes: 0, digest: None, ahead: VecDeque::new(), failure: None }
    }

    /// Notes what is read from now on, for [`Source::digest`].
    #[must_use]
    pub fn digested(mut self) -> Self {
        self.digest = Some(Sha256::new());
        self
    }

    /// How many bytes of lines have been read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many inputs have been read.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.read
    }

    /// The SHA-256 of the inputs that have been read, in hexadecimal digits; empty when nobody wanted it.
    #[must_use]
    pub fn digest(&self) -> String {
        let Some(digest) = &self.digest else { return String::new() };
        digest.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Why it ended before its end.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Reads the first `read` inputs, blocking. Those that are not done come first when it is asked for the next one, from the
    /// first gap on. False when there are not so many.
    pub fn read_ahead(&mut self, read: u64, done: &DoneSet) -> bool {
        while self.read < read {
            let index = self.read;
            match self.read_one(true) {
                Fed::End => return false,
                _ if index < done.watermark() => {}
                _ if done.contains(index) => self.ahead.push_back(Fed::Skip),
                fed => self.ahead.push_back(fed),
            }
        }
        true
    }

    fn read_one(&mut self, may_block: bool) -> Fed {
        let line = match &mut self.kind {
            Kind::Range { next, end } => {
                if *next >= *end {
                    return Fed::End;
                }
                *next += 1;
                self.read += 1;
                return Fed::Item(vec![Payload::Int(*next - 1)]);
            }
            Kind::Files { paths, content } => {
                let Some(path) = paths.next() else { return Fed::End };
                self.read += 1;
                return file(path, *content);
            }
            Kind::Lines(input) => read_line(input).transpose(),
            Kind::Thread(lines) if may_block => lines.recv().ok(),
            Kind::Thread(lines) => match lines.try_recv() {
                Ok(line) => Some(line),
                Err(TryRecvError::Empty) => return Fed::Later,
                Err(TryRecvError::Disconnected) => None,
            },
        };
        match line {
            None => Fed::End,
            Some(Err(error)) => {
                self.failure = Some(error);
                Fed::End
            }
            Some(Ok(line)) => {
                self.read += 1;
                self.item(&line)
            }
        }
    }

    fn item(&mut self, line: &Line) -> Fed {
        let Line::Whole(bytes) = line else {
            return Fed::Unreadable(format!("a line of more than {LINE_BYTES_MAX} bytes"));
        };
        self.bytes += bytes.len() as u64 + 1;
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
            digest.update(b"\n");
        }
        match arguments(bytes) {
            Ok(arguments) => Fed::Item(arguments),
            Err(problem) => Fed::Unreadable(problem),
        }
    }
}

impl Feed for Source {
    fn next(&mut self) -> Fed {
        match self.ahead.pop_front() {
            Some(fed) => fed,
            None => self.read_one(false),
        }
    }

    fn left(&self) -> (usize, Option<usize>) {
        let left = match &self.kind {
            Kind::Lines(_) | Kind::Thread(_) => return (self.ahead.len(), None),
            Kind::Range { next, end } => usize::try_from(end.saturating_sub(*next)).unwrap_or(0),
            Kind::Files { paths, .. } => paths.len(),
        };
        (left + self.ahead.len(), Some(left + self.ahead.len()))
    }
}

/// The next line that has anything in it, without its end; none at the end of the input.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    let mut is_too_long = false;
    loop {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let (piece, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&buffer[..end], true),
            None => (buffer, buffer.is_empty()),
        };
        is_too_long |= line.len() + piece.len() > LINE_BYTES_MAX;
        if !is_too_long {
            line.extend_from_slice(piece);
        }
        let (used, was_last) = (piece.len() + usize::from(is_end && !buffer.is_empty()), buffer.is_empty());
        input.consume(used);
        if !is_end {
            continue;
        }
        if is_too_long {
            return Ok(Some(Line::TooLong));
        }
        if !line.trim_ascii().is_empty() {
            return Ok(Some(Line::Whole(line)));
        }
        if was_last {
            return Ok(None);
        }
        line.clear();
    }
}

fn arguments(line: &[u8]) -> Result<Vec<Payload>, String> {
    let text = std::str::from_utf8(line).map_err(|error| format!("a line that is no UTF-8: {error}"))?;
    match Payload::parse_json(text) {
        Ok(Payload::List(arguments)) => Ok(arguments),
        Ok(value) => Ok(vec![value]),
        Err(error) => Err(format!("a line that is no JSON: {error}")),
    }
}

fn file(path: PathBuf, content: FileContent) -> Fed {
    let argument = match content {
        FileContent::Path => path.to_str().map(Payload::from).ok_or_else(|| "its path is no UTF-8".to_owned()),
        FileContent::Contents => contents(&path),
    };
    match argument {
        Ok(argument) => Fed::Item(vec![argument]),
        Err(problem) => Fed::Unreadable(format!("`{}`: {problem}", path.display())),
    }
}

fn contents(path: &PathBuf) -> Result<Payload, String> {
    let length = path.metadata().map_err(|error| error.to_string())?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("it has {length} bytes, and {FILE_BYTES_MAX} is the most for an argument"));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Payload::String(text),
        Err(error) => Payload::Bytes(Bytes::from(error.into_bytes())),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use super::*;

    fn of(text: &str) -> Source {
        Source::lines(Cursor::new(text.to_owned()))
    }

    fn said(fed: Fed) -> String {
        match fed {
            Fed::Item(arguments) => Payload::List(arguments).to_string(),
            Fed::Unreadable(problem) => problem,
            Fed::Skip => "skip".to_owned(),
            Fed::Later => "later".to_owned(),
            Fed::End => "end".to_owned(),
        }
    }

    fn all(mut source: Source) -> Vec<String> {
        let next = || Some(said(source.next())).filter(|said| said != "end");
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_line_is_an_array_of_arguments_or_one() {
        let text = "[1, \"a\"]\n\n  \r\n7\r\n{\"a\": [2]}\n\"last\"";
        assert_eq!(all(of(text)), ["[1,\"a\"]", "[7]", "[{\"a\":[2]}]", "[\"last\"]"]);
        assert!(all(of("")).is_empty() && all(of("\n \n")).is_empty());
    }

    #[test]
    fn a_bad_line_is_one_item_and_the_others_go_on() {
        let long = "9".repeat(LINE_BYTES_MAX + 1);
        let found = all(of(&format!("[1\n{long}\n2\n")));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("a line that is no JSON: "), "{found:?}");
        assert_eq!(found[1], "a line of more than 16777216 bytes");
        assert_eq!(found[2], "[2]");
        let mut source = Source::lines(Cursor::new(vec![b'"', 0xff, b'"', b'\n', b'1']));
        assert!(said(source.next()).starts_with("a line that is no UTF-8: "));
        assert_eq!(said(source.next()), "[1]");
    }

    #[test]
    fn a_range_is_half_open() {
        assert_eq!(all(Source::range(-1, 2)), ["[-1]", "[0]", "[1]"]);
        assert!(all(Source::range(2, 2)).is_empty() && all(Source::range(3, 2)).is_empty());
        assert_eq!(all(Source::range(i64::MAX - 1, i64::MAX)), [format!("[{}]", i64::MAX - 1)]);
    }

    #[test]
    fn a_file_is_its_content_or_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name| folder.path().join(name);
        std::fs::write(path("text"), "Ann").expect("a file");
        std::fs::write(path("bytes"), [0xff, 0]).expect("a file");
        let paths = || vec![path("text"), path("bytes"), path("none")];
        let mut source = Source::files(paths(), FileContent::Contents);
        assert_eq!(source.left(), (3, Some(3)));
        assert!(matches!(source.next(), Fed::Item(found) if found == ["Ann".into()]));
        assert!(matches!(source.next(), Fed::Item(found) if found[0].as_bytes() == Some(&[0xff, 0])));
        assert!(matches!(source.next(), Fed::Unreadable(problem) if problem.contains("none`: No such file")));
        assert!(matches!(source.next(), Fed::End));
        let mut source = Source::files(paths(), FileContent::Path);
        assert!(matches!(source.next(), Fed::Item(found) if found[0].as_str() == path("text").to_str()));
    }

    #[test]
    fn the_digest_tells_inputs_apart_and_those_read_ahead_come_first() {
        let text = "1\n2\n3\n4\n";
        let mut source = of(text).digested();
        let mut done = DoneSet::default();
        assert!(done.insert(0) && done.insert(2));
        assert!(source.read_ahead(3, &done));
        assert_eq!(source.read(), 3);
        let digest = source.digest();
        assert_eq!(all(source), ["[2]", "skip", "[4]"]);
        for (other, same) in [("1\n2\n3", true), ("1\n2\n4\n4\n", false), ("1\n23\n4\n", false)] {
            let mut other = of(other).digested();
            assert!(other.read_ahead(3, &done) || !same);
            assert_eq!(other.digest() == digest, same);
        }
        assert!(!of("1\n").read_ahead(2, &done));
        assert_eq!(of(text).digest(), "");
    }

    /// Fails once its bytes are read.
    struct Broken(Cursor<Vec<u8>>);

    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::other("the cable is out")),
                count => Ok(count),
            }
        }
    }

    #[test]
    fn an_input_that_fails_ends_and_says_why() {
        let mut source = Source::lines(io::BufReader::new(Broken(Cursor::new(b"1\n2".to_vec()))));
        assert_eq!(said(source.next()), "[1]");
        assert_eq!(said(source.next()), "end");
        assert_eq!(source.take_failure().map(|error| error.to_string()), Some("the cable is out".to_owned()));
    }
}
