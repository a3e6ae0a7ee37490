//! What tests share: applications around guests and, where it is built, the program.

#[cfg(feature = "cli")]
mod program;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use wippy::Runtime;
use wippy::process::{Exit, ProcessHandle};
use wippy::reactor::Clock;

#[cfg(feature = "cli")]
pub(crate) use program::{Running, Said, assert_said, run, run_in, wippy};

/// A folder below `fixtures`.
pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

/// An application made of these files, in a folder of its own.
pub(crate) fn app(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        let file = dir.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, content).expect("a file");
    }
    dir
}

/// The value of `hash` for these bytes.
pub(crate) fn hash_of(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// The files around guests: a host of each kind, the binaries of `fixtures/guests` as `app:wasm`, and `entries`, one flow
/// mapping a line, in which `guest: NAME` stands for the three fields that name a binary.
pub(crate) fn guest_index(entries: &str) -> String {
    let guests = fixture("guests");
    let mut index = format!(
        "version: '1.0'\nnamespace: app\nentries:\n- {{ name: terminal, kind: terminal.host }}\n\
         - {{ name: processes, kind: process.host }}\n- {{ name: wasm, kind: fs.directory, directory: '{}' }}\n",
        guests.display()
    );
    for line in entries.lines() {
        // Mounts have a field of this name, too: a path.
        match line.split_once("guest: ").filter(|(_, after)| !after.starts_with('/')) {
            None => index.push_str(line.trim_start()),
            Some((before, after)) => {
                let (name, rest) = after.split_at(after.find([',', ' ']).expect("more fields behind the guest"));
                let hash = hash_of(&std::fs::read(guests.join(format!("{name}.wasm"))).expect("a guest of this name"));
                let before = before.trim_start();
                let _ = write!(index, "{before}fs: app:wasm, path: /{name}.wasm, hash: '{hash}'{rest}");
            }
        }
        index.push('\n');
    }
    index
}

/// An application around guests; see [`guest_index`].
pub(crate) fn guest_app(entries: &str) -> tempfile::TempDir {
    app(&[("_index.yaml", &guest_index(entries))])
}

/// An application around guests in text form, beside those of the fixtures: `text: NAME` names one of `texts`.
pub(crate) fn text_app(texts: &[(&str, &str)], entries: &str) -> tempfile::TempDir {
    let mut index = String::from("- { name: texts, kind: fs.directory, directory: . }\n");
    let binaries: BTreeMap<_, _> =
        texts.iter().map(|(name, text)| (*name, wat::parse_str(text).expect("a sound guest"))).collect();
    for line in entries.lines() {
        match line.split_once("text: ") {
            None => index.push_str(line),
            Some((before, after)) => {
                let (name, rest) = after.split_at(after.find(',').expect("more fields"));
                let hash = hash_of(&binaries[name]);
                let _ = write!(index, "{before}fs: app:texts, path: /{name}.wasm, hash: '{hash}'{rest}");
            }
        }
        index.push('\n');
    }
    let app = guest_app(&index);
    for (name, binary) in binaries {
        std::fs::write(app.path().join(format!("{name}.wasm")), binary).expect("a file");
    }
    app
}

/// An application around guests that runs in this program.
pub(crate) struct House {
    pub(crate) runtime: Runtime,
    _app: tempfile::TempDir,
}

impl House {
    pub(crate) fn new(entries: &str) -> Self {
        Self::with_clock(entries, Clock::real())
    }

    pub(crate) fn with_clock(entries: &str, clock: Clock) -> Self {
        Self::of(guest_app(entries), clock)
    }

    pub(crate) fn of(app: tempfile::TempDir, clock: Clock) -> Self {
        let built = Runtime::builder().load(app.path()).cache(false).clock(clock).build();
        let runtime = built.unwrap_or_else(|error| panic!("a sound application: {error:?}"));
        Self { runtime, _app: app }
    }

    /// Starts an entry with arguments as they are typed on a command line.
    pub(crate) fn start(&self, entry: &str, words: &[&str]) -> Result<ProcessHandle, String> {
        let id = format!("app:{entry}").parse().expect("an ID");
        let program = self.runtime.manager().program(&id).expect("a program");
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let input = program.read_arguments(&words).map_err(|error| error.to_string())?;
        self.runtime.spawn(&id.to_string(), input).map_err(|error| error.to_string())
    }

    /// Runs an entry to its end.
    #[track_caller]
    pub(crate) fn run(&self, entry: &str, words: &[&str]) -> Exit {
        self.start(entry, words).unwrap_or_else(|error| panic!("{entry} {words:?}: {error}")).wait()
    }
}
