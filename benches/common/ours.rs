//! Our side: a runtime with an application around the guests that are measured.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use wippy::process::{Exit, Payload, ProcessHandle};
use wippy::{Runtime, RuntimeBuilder};

use crate::WORKERS;

/// A runtime with one host, as a program would have it that loads this application.
pub(crate) struct Ours {
    pub(crate) runtime: Runtime,
    _app: TempDir,
}

impl Ours {
    /// `entries` are flow mappings, one a line, in which `guest: NAME` stands for the fields that name a binary; without a
    /// `kind` before it, it is a `process.wasm`. The host allows `preempt: none` when one of them asks for it.
    pub(crate) fn new(entries: &str, tick: Duration) -> Ours {
        Ours::with(entries, |builder| builder.tick(tick))
    }

    /// [`Ours::new`] with other settings of the runtime.
    pub(crate) fn with(entries: &str, settings: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder) -> Ours {
        Ours::on(entries, "", settings)
    }

    /// [`Ours::with`] and more fields of the host, each with a comma before it.
    pub(crate) fn on(entries: &str, host: &str, settings: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder) -> Ours {
        let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/guests");
        let sums = std::fs::read_to_string(guests.join("SHA256SUMS")).expect("the recorded hashes");
        let mut lines = format!("- {{ name: wasm, kind: fs.directory, directory: '{}' }}\n", guests.display());
        for line in entries.lines().map(str::trim_start) {
            match line.split_once("guest: ").and_then(|(before, after)| Some((before, after.split_once(',')?))) {
                None => lines.push_str(line),
                Some((before, (name, rest))) => {
                    let file = format!("{name}.wasm");
                    let hash = sums.lines().find_map(|line| line.strip_suffix(&format!("  {file}"))).expect("a guest");
                    let kind = if before.contains("kind: ") { "" } else { "kind: process.wasm, " };
                    let _ = write!(lines, "{before}{kind}fs: wasm, path: /{file}, hash: 'sha256:{hash}',{rest}");
                }
            }
            lines.push('\n');
        }
        Ours::build(tempfile::tempdir().expect("a folder"), &lines, host, settings)
    }

    /// A runtime of the application in this folder with these entries and fields of its host.
    pub(crate) fn build(
        app: TempDir,
        entries: &str,
        host: &str,
        settings: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder,
    ) -> Ours {
        let allows = if entries.contains("preempt: none") { ", allow_preempt_none: true" } else { "" };
        let index = format!(
            "version: '1.0'\nnamespace: app\nentries:\n\
             - {{ name: processes, kind: process.host, host: {{ workers: {WORKERS}{allows}{host} }} }}\n{entries}"
        );
        std::fs::write(app.path().join("_index.yaml"), index).expect("a file");
        let built = settings(Runtime::builder().load(app.path())).build();
        let runtime = built.unwrap_or_else(|error| panic!("a sound application: {error:?}"));
        Ours { runtime, _app: app }
    }

    pub(crate) fn spawn(&self, entry: &str, input: impl IntoIterator<Item = Payload>) -> ProcessHandle {
        self.runtime.spawn(&format!("app:{entry}"), input).expect("a process")
    }
}

/// The result of a guest that has to have one.
pub(crate) fn result(exit: Exit) -> Payload {
    match exit {
        Exit::Returned(value) => value,
        other => panic!("a guest failed: {other}"),
    }
}
