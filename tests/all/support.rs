//! What the tests of the program share: running it, and the whole of what it said.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use sha2::{Digest as _, Sha256};
use wippy::Runtime;
use wippy::process::{Exit, ProcessHandle};
use wippy::reactor::Clock;

/// The built program with an environment of its own: nothing of the machine's can change what it prints.
pub(crate) fn wippy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wippy"));
    // The cache of compiled code stays shared between tests, in the target folder: it must change nothing but time.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    command.env_clear().env("XDG_CACHE_HOME", cache).env("HOME", env!("CARGO_TARGET_TMPDIR"));
    // Where `wippy ps` finds it: not where the machine's own are found.
    command.env("XDG_RUNTIME_DIR", env!("CARGO_TARGET_TMPDIR"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A folder below `fixtures`.
pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

/// All that a program said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program writes UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The form of the golden files: the exit code, then both streams under their names, each only when it has content.
    pub(crate) fn golden(&self) -> String {
        let code = self.code.map_or("by signal".to_owned(), |code| code.to_string());
        let mut text = format!("exit {code}\n");
        for (name, stream) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !stream.is_empty() {
                let _ = write!(text, "--- {name}\n{stream}");
                if !stream.ends_with('\n') {
                    text.push_str("(no newline)\n");
                }
            }
        }
        text
    }
}

/// Runs the program with these arguments to its end.
pub(crate) fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Said {
    Said::of(wippy().args(arguments).output().expect("the program starts"))
}

/// Runs the program on an application.
pub(crate) fn run_in<'a>(app: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Said {
    Said::of(wippy().arg("-C").arg(app).args(arguments).output().expect("the program starts"))
}

/// Asserts all that was said.
#[track_caller]
pub(crate) fn assert_said(said: &Said, code: i32, stdout: &str, stderr: &str) {
    let expected = Said { code: Some(code), stdout: stdout.into(), stderr: stderr.into() };
    assert!(*said == expected, "expected\n{}\nfound\n{}", expected.golden(), said.golden());
}

/// A program that runs meanwhile; it is ended with the test, however that ends.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(Some(command.spawn().expect("the program starts")))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("not waited for yet")
    }

    /// Sends a signal by its name, as `kill` knows it.
    pub(crate) fn signal(&mut self, name: &str) {
        let id = self.child().id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("`kill` starts");
        assert!(sent.success(), "signal {name} was not sent");
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Said {
        let child = self.0.take().expect("not waited for yet");
        Said::of(child.wait_with_output().expect("the program ends"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
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
