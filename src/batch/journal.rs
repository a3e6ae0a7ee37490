//! What of a batch is confirmed, so that a later run can go on where this one was ended, however it was ended.
//!
//! A journal is a file of JSON lines: first which batch it is of, then one state after the other, of which the last whole one
//! counts. A state is written after the records it confirms; records behind what it confirms are cut off when a batch is
//! resumed, and their items run again. So each index is in the output once. What items do outside of the output may happen
//! again.
//!
//! This holds whatever ends the program. When the machine itself fails, it holds for what had reached the disk: output and
//! journal are brought there about once a second, and a state that confirms more than the output has is not used.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::done::DoneSet;

/// A journal that is larger is written anew, with its last state only.
const BYTES_MAX: u64 = 1 << 20;

/// More of a file is not looked at: a state is as large as it has gaps, of which each item in flight can make one.
const BYTES_READ_MAX: u64 = 256 << 20;

/// The version of the format.
const VERSION: u32 = 1;

/// Which batch a journal is of: what must be the same when it is resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The entry.
    pub entry: String,
    /// Where the inputs come from, with what tells them from others.
    pub input: String,
    /// Whether records are in the order of the inputs.
    pub ordered: bool,
}

/// What is confirmed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The length of the output, in bytes.
    pub output: u64,
    /// The indexes whose records it has.
    pub done: DoneSet,
    /// How many of them failed.
    pub failed: u64,
    /// How many inputs had been read.
    pub read: u64,
    /// The digest of those, see [`Source::digest`](super::Source::digest).
    pub digest: String,
}

#[derive(Serialize, Deserialize)]
struct Head {
    wippy_batch: u32,
    #[serde(flatten)]
    identity: Identity,
}

#[derive(Serialize, Deserialize)]
struct StateLine {
    output: u64,
    done: Vec<(u64, u64)>,
    failed: u64,
    read: u64,
    digest: String,
}

/// Why there is no journal to write to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It is there, and nobody said that it is to be resumed.
    #[error("the journal `{}` exists: resume that batch, or remove the file to begin anew", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another batch writes to it.
    #[error("the journal `{}` is in use by another batch", .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is no journal, or one of another version.
    #[error("`{}` is no journal of a batch: {problem}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It is of another batch.
    #[error("the journal `{}` is of another batch: its {what} is `{found}`, and this one's is `{wanted}`", .path.display())]
    OtherBatch {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What it has.
        found: String,
        /// What this batch has.
        wanted: String,
    },
    /// The system refused.
    #[error("the journal `{}` could not be used: {error}", .path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        error: io::Error,
    },
}

/// The open journal of a running batch. Nobody else has it.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    head: String,
}

impl Journal {
    /// Begins a journal.
    ///
    /// # Errors
    /// See [`JournalError`]; also when the file is there already.
    pub fn create(path: &Path, identity: &Identity) -> Result<Self, JournalError> {
        let system = |error| JournalError::System { path: path.to_owned(), error };
        let opened = OpenOptions::new().read(true).append(true).create_new(true).open(path);
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => JournalError::Exists { path: path.to_owned() },
            _ => system(error),
        })?;
        lock(&file, path)?;
        let head = line(&Head { wippy_batch: VERSION, identity: identity.clone() });
        let mut journal = Self { path: path.to_owned(), file, bytes: 0, head: head.clone() };
        journal.append(&head).map_err(system)?;
        Ok(journal)
    }

    /// Opens the journal of a batch that was ended, and gives its last state of which the output, of this length, has all.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn resume(path: &Path, identity: &Identity, output: u64) -> Result<(Self, State), JournalError> {
        let system = |error| JournalError::System { path: path.to_owned(), error };
        let foreign = |problem: String| JournalError::Foreign { path: path.to_owned(), problem };
        let file = OpenOptions::new().read(true).append(true).open(path).map_err(system)?;
        lock(&file, path)?;
        let mut lines = BufReader::new(&file).take(BYTES_READ_MAX);
        let mut next = || -> Result<Option<String>, JournalError> {
            let mut line = Vec::new();
            lines.read_until(b'\n', &mut line).map_err(system)?;
            // One without an end was being written when the batch was ended.
            Ok(line.pop().filter(|last| *last == b'\n').map(|_| String::from_utf8_lossy(&line).into_owned()))
        };
        let first = next()?.ok_or_else(|| foreign("it has no first line".to_owned()))?;
        let head: Head = serde_json::from_str(&first).map_err(|error| foreign(error.to_string()))?;
        if head.wippy_batch != VERSION {
            return Err(foreign(format!("its version is {}, and this program writes {VERSION}", head.wippy_batch)));
        }
        is_same(path, &head.identity, identity)?;
        let mut state = State::default();
        while let Some(text) = next()? {
            match serde_json::from_str::<StateLine>(&text).map_err(|error| error.to_string()).and_then(State::read) {
                Ok(read) if read.output <= output => state = read,
                Ok(_) => break,
                Err(problem) => return Err(foreign(problem)),
            }
        }
        let mut journal = Self { path: path.to_owned(), file, bytes: 0, head: format!("{first}\n") };
        // Whatever was behind that state is gone, also half a line.
        journal.rewrite(&state).map_err(system)?;
        Ok((journal, state))
    }

    /// Confirms a state: its records have been given to the system before.
    ///
    /// # Errors
    /// What the system said. The state before counts then.
    pub fn confirm(&mut self, state: &State) -> io::Result<()> {
        if self.bytes > BYTES_MAX {
            return self.rewrite(state);
        }
        self.append(&line(&state.line()))
    }

    /// Brings what is confirmed to the disk.
    ///
    /// # Errors
    /// What the system said.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// A new file with this state only, in the place of the old one, in one go.
    fn rewrite(&mut self, state: &State) -> io::Result<()> {
        let text = self.head.clone() + &line(&state.line());
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let new = PathBuf::from(name);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&new)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        std::fs::rename(&new, &self.path)?;
        self.bytes = text.len() as u64;
        self.file = file;
        Ok(())
    }
}

impl State {
    fn read(line: StateLine) -> Result<Self, String> {
        let StateLine { output, done: runs, failed, read, digest } = line;
        let mut done = DoneSet::default();
        for (start, end) in runs {
            if !done.insert_run(start, end) {
                return Err(format!("its run of indexes from {start} to {end} can't be"));
            }
        }
        Ok(Self { output, done, failed, read, digest })
    }

    fn line(&self) -> StateLine {
        let Self { output, done, failed, read, digest } = self;
        let (output, failed, read) = (*output, *failed, *read);
        StateLine { output, done: done.runs().collect(), failed, read, digest: digest.clone() }
    }
}

/// An output that goes on behind what is confirmed of it.
///
/// # Errors
/// What the system said.
pub fn cut(output: &mut File, length: u64) -> io::Result<()> {
    output.set_len(length)?;
    output.seek(SeekFrom::Start(length)).map(|_| ())
}

fn line(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("plain values are JSON");
    text.push('\n');
    text
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        rustix::io::Errno::WOULDBLOCK => JournalError::InUse { path: path.to_owned() },
        error => JournalError::System { path: path.to_owned(), error: error.into() },
    })
}

fn is_same(path: &Path, found: &Identity, wanted: &Identity) -> Result<(), JournalError> {
    let order = |ordered| if ordered { "in order" } else { "unordered" }.to_owned();
    let both = [
        ("entry", found.entry.clone(), wanted.entry.clone()),
        ("input", found.input.clone(), wanted.input.clone()),
        ("order", order(found.ordered), order(wanted.ordered)),
    ];
    match both.into_iter().find(|(_, found, wanted)| found != wanted) {
        None => Ok(()),
        Some((what, found, wanted)) => Err(JournalError::OtherBatch { path: path.to_owned(), what, found, wanted }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identity() -> Identity {
        Identity { entry: "app:worker".to_owned(), input: "range 0..9".to_owned(), ordered: false }
    }

    fn state(indexes: &[u64], output: u64) -> State {
        let mut done = DoneSet::default();
        indexes.iter().for_each(|index| assert!(done.insert(*index)));
        State { output, done, failed: 1, read: 7, digest: "ab".to_owned() }
    }

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a folder"))
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("journal")
        }

        fn text(&self) -> String {
            std::fs::read_to_string(self.path()).expect("a journal")
        }
    }

    #[test]
    fn the_last_state_that_the_output_has_counts() {
        let folder = Folder::new();
        let mut journal = Journal::create(&folder.path(), &identity()).expect("a journal");
        let states = [state(&[0], 10), state(&[0, 2], 20), state(&[0, 1, 2], 30)];
        states.iter().for_each(|state| journal.confirm(state).expect("room"));
        drop(journal);
        let text = folder.text();
        for (output, expected) in [(31, &states[2]), (30, &states[2]), (29, &states[1]), (10, &states[0])] {
            std::fs::write(folder.path(), &text).expect("a journal");
            let (journal, found) = Journal::resume(&folder.path(), &identity(), output).expect("a journal");
            assert_eq!(found, *expected, "{output} bytes of output");
            drop(journal);
            // And once more: what was behind is gone.
            let (_, found) = Journal::resume(&folder.path(), &identity(), u64::MAX).expect("a journal");
            assert_eq!(found, *expected);
        }
        std::fs::write(folder.path(), &text).expect("a journal");
        assert_eq!(Journal::resume(&folder.path(), &identity(), 9).expect("a journal").1, State::default());
    }

    #[test]
    fn half_a_line_is_as_if_it_were_not_there() {
        let folder = Folder::new();
        let mut journal = Journal::create(&folder.path(), &identity()).expect("a journal");
        let states = [state(&[0], 10), state(&[0, 2], 20)];
        states.iter().for_each(|state| journal.confirm(state).expect("room"));
        drop(journal);
        let text = folder.text();
        let [head, first] = [0, 1].map(|line| text.match_indices('\n').nth(line).expect("a line").0 + 1);
        for length in head..=text.len() {
            std::fs::write(folder.path(), &text[..length]).expect("a journal");
            let (_, found) = Journal::resume(&folder.path(), &identity(), 100).expect("a journal");
            let expected = match length {
                _ if length == text.len() => states[1].clone(),
                _ if length >= first => states[0].clone(),
                _ => State::default(),
            };
            assert_eq!(found, expected, "{length} bytes");
        }
    }

    #[test]
    fn it_is_begun_once_and_used_by_one() {
        let folder = Folder::new();
        let journal = Journal::create(&folder.path(), &identity()).expect("a journal");
        assert!(matches!(Journal::create(&folder.path(), &identity()), Err(JournalError::Exists { .. })));
        assert!(matches!(Journal::resume(&folder.path(), &identity(), 0), Err(JournalError::InUse { .. })));
        drop(journal);
        let (journal, _) = Journal::resume(&folder.path(), &identity(), 0).expect("a journal");
        assert!(matches!(Journal::resume(&folder.path(), &identity(), 0), Err(JournalError::InUse { .. })));
        drop(journal);
    }

    #[test]
    fn a_journal_of_another_batch_is_refused_with_what_differs() {
        let folder = Folder::new();
        drop(Journal::create(&folder.path(), &identity()).expect("a journal"));
        let others = [
            ("entry", Identity { entry: "app:other".to_owned(), ..identity() }),
            ("input", Identity { input: "range 0..8".to_owned(), ..identity() }),
            ("order", Identity { ordered: true, ..identity() }),
        ];
        for (differs, other) in others {
            match Journal::resume(&folder.path(), &other, 0) {
                Err(JournalError::OtherBatch { what, .. }) => assert_eq!(what, differs),
                other => panic!("{other:?}"),
            }
        }
        for text in ["", "{}\n", "no JSON\n", "{\"wippy_batch\":2,\"entry\":\"e\",\"input\":\"i\",\"ordered\":true}\n"]
        {
            std::fs::write(folder.path(), text).expect("a file");
            let found = Journal::resume(&folder.path(), &identity(), 0);
            assert!(matches!(found, Err(JournalError::Foreign { .. })), "{text}: {found:?}");
        }
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let folder = Folder::new();
        let mut journal = Journal::create(&folder.path(), &identity()).expect("a journal");
        let mut state = State::default();
        for index in 0..30_000 {
            state.done.insert(index);
            state.output += 10;
            journal.confirm(&state).expect("room");
        }
        assert!(folder.text().len() as u64 <= BYTES_MAX + 1000);
        drop(journal);
        let (_, found) = Journal::resume(&folder.path(), &identity(), u64::MAX).expect("a journal");
        assert_eq!(found, state);
    }

    proptest! {
        #[test]
        fn whatever_the_file_holds_nothing_panics(text in ".{0,200}", valid in any::<bool>()) {
            let folder = Folder::new();
            let head = if valid { line(&Head { wippy_batch: VERSION, identity: identity() }) } else { String::new() };
            std::fs::write(folder.path(), head + &text + "\n").expect("a file");
            let _ = Journal::resume(&folder.path(), &identity(), 0);
        }
    }
}
