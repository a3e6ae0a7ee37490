//! The program: running it, and the whole of what it said.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

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
