//! Files of the mounts: every function of `wasi:filesystem` and every file function of preview 1, called by guests that do
//! what a script says; what blocks, and what is refused.

/// What leads out of a mount, or changes what may only be read: refused, and nothing on the host is touched.
mod escape;
/// Every function once, its answers and its effect on the host.
mod functions;
/// What waits: FIFOs, large files, a pool that is held.
mod waiting;

use std::path::{Path, PathBuf};

use wippy::process::{Exit, Payload};
use wippy::reactor::Clock;

use super::support::{House, app, guest_index, run_in};

/// Three folders as mounts, and one beside them that no guest may reach. `/data` and `/other` may be changed, `/ro` not;
/// the guest with the name `read` has `/data` as a volume whose mode allows reading only.
pub(super) struct Mounts {
    root: tempfile::TempDir,
    house: House,
}

const IMPORTS: &str = "imports: [wasi:io, wasi:filesystem]";

fn index(root: &Path) -> String {
    let folder = |name: &str| root.join(name).display().to_string();
    let mounts = "wasi: { mounts: [{ fs: data, guest: /data }, { fs: ro, guest: /ro, read_only: true }, { fs: other, guest: /other }] }";
    guest_index(&format!(
        "- {{ name: data, kind: fs.directory, directory: '{}', mode: '0750' }}
         - {{ name: ro, kind: fs.directory, directory: '{}' }}
         - {{ name: other, kind: fs.directory, directory: '{}' }}
         - {{ name: readable, kind: fs.directory, directory: '{}', mode: '0500' }}
         - {{ name: flat, kind: fs.directory, directory: '{}', mode: '0600' }}
         - {{ name: files, kind: process.wasm, guest: files, method: run, {IMPORTS}, {mounts} }}
         - {{ name: files1, kind: process.wasm, guest: files1, method: _start, {mounts} }}
         - {{ name: read, kind: process.wasm, guest: files, method: run, {IMPORTS}, wasi: {{ mounts: [{{ fs: readable, guest: /data }}] }} }}
         - {{ name: near, kind: process.wasm, guest: files, method: run, {IMPORTS}, wasi: {{ mounts: [{{ fs: flat, guest: /data }}] }} }}
         - {{ name: unlisted, kind: process.wasm, guest: files, method: run, imports: [wasi:io], {mounts} }}
         - {{ name: one, kind: process.host, host: {{ workers: 1 }} }}",
        folder("data"),
        folder("ro"),
        folder("other"),
        folder("data"),
        folder("data"),
    ))
    .replace("- { name: processes, kind: process.host }\n", "")
}

impl Mounts {
    pub(super) fn new() -> Self {
        Self::with_clock(Clock::real())
    }

    pub(super) fn with_clock(clock: Clock) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["data/folder", "ro/folder", "other", "outside"] {
            std::fs::create_dir_all(root.path().join(folder)).expect("a folder");
        }
        for file in ["data/file", "data/folder/inner", "ro/file", "ro/folder/inner", "other/file", "outside/secret"] {
            std::fs::write(root.path().join(file), format!("text of {file}")).expect("a file");
        }
        let app = app(&[("_index.yaml", &index(root.path()))]);
        Self { house: House::of(app, clock), root }
    }

    pub(super) fn house(&self) -> &House {
        &self.house
    }

    /// A path on the host.
    pub(super) fn host(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(super) fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.host(path)).expect("a file of text")
    }

    /// What the component answers to each line.
    #[track_caller]
    pub(super) fn component(&self, entry: &str, script: &[&str]) -> Vec<String> {
        answers(self.house.run(entry, &[&as_argument(script)]))
    }

    /// What the preview 1 command answers to each line, in a program of its own.
    #[track_caller]
    pub(super) fn command(&self, script: &[&str]) -> Vec<String> {
        let app = app(&[("_index.yaml", &index(self.root.path()))]);
        let said = run_in(app.path(), ["run", "-x", "app:files1"].into_iter().chain(script.iter().copied()));
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
        said.stdout.lines().map(str::to_owned).collect()
    }
}

/// A script as the one argument of the component.
pub(super) fn as_argument(script: &[&str]) -> String {
    let lines: Vec<String> = script.iter().map(|line| format!("\"{line}\"")).collect();
    format!("[{}]", lines.join(","))
}

#[track_caller]
pub(super) fn answers(exit: Exit) -> Vec<String> {
    let Exit::Returned(Payload::List(answers)) = exit else { panic!("{exit:?}") };
    answers
        .into_iter()
        .map(|answer| match answer {
            Payload::String(text) => text,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// Asserts each line's answer. Of attributes and names, an expectation may be the beginning only: times differ.
#[track_caller]
pub(super) fn assert_answers(script: &[(&str, &str)], answers: &[String]) {
    assert_eq!(script.len(), answers.len(), "{answers:#?}");
    let wrong: Vec<String> = script
        .iter()
        .zip(answers)
        .filter(|((line, expected), found)| {
            let cut = (line.starts_with("stat") || line.starts_with("list")) && found.starts_with(expected);
            found != expected && !cut
        })
        .map(|((line, expected), found)| format!("{line}: {found}, expected {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The calls of a script.
pub(super) fn lines<'a>(script: &[(&'a str, &str)]) -> Vec<&'a str> {
    script.iter().map(|(line, _)| *line).collect()
}
