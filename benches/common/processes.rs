//! Our side for one guest: a process for each item.

use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use wippy::RuntimeBuilder;
use wippy::process::{Exit, Payload, ProcessHandle, Start};
use wippy::registry::EntryId;

use super::guests::{Guest, Kind};
use super::numbers::Numbers;
use super::ours::Ours;
use super::settings::WINDOW;
use super::window::windowed;
use crate::WORKERS;

/// A runtime with the entry of one guest.
pub(crate) struct Processes {
    pub(crate) ours: Ours,
    entry: EntryId,
    host: EntryId,
    /// A command gets no number and returns none.
    is_command: bool,
}

impl Processes {
    /// `fields` are those of the entry beside what names the binary and the function: each with a comma in front.
    pub(crate) fn new(
        guest: &Guest,
        fields: &str,
        settings: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder,
    ) -> Processes {
        let app = tempfile::tempdir().expect("a folder");
        std::fs::write(app.path().join("guest.wasm"), &guest.binary).expect("a file");
        let hash: String = Sha256::digest(&guest.binary).iter().map(|byte| format!("{byte:02x}")).collect();
        let is_command = guest.kind == Kind::Command;
        let imports =
            if is_command { ", imports: [wasi:cli, wasi:io, wasi:clocks, wasi:random, wasi:filesystem]" } else { "" };
        let entries = format!(
            "- {{ name: wasm, kind: fs.directory, directory: . }}\n\
             - {{ name: run, kind: process.wasm, fs: wasm, path: /guest.wasm, hash: 'sha256:{hash}', method: {}{imports}{fields} }}\n",
            guest.function
        );
        let id = |name: &str| format!("app:{name}").parse().expect("an ID");
        Processes { ours: Ours::build(app, &entries, settings), entry: id("run"), host: id("processes"), is_command }
    }

    /// What starts a process for an item.
    pub(crate) fn start(&self, numbers: Numbers, item: u64) -> Start {
        let start = Start::new(self.entry.clone(), self.host.clone());
        if self.is_command { start } else { start.input([Payload::from(numbers.argument(item))]) }
    }

    /// Checks how a process ended that was for an item.
    pub(crate) fn check(&self, numbers: Numbers, item: u64, exit: &Exit) {
        match exit {
            Exit::Returned(answer) => numbers.check(item, answer.as_i64().expect("a number")),
            Exit::Exited(0) if self.is_command => {}
            other => panic!("a guest failed: {other}"),
        }
    }

    /// Spawns a process for each of so many items, a bounded number of them at once, from a thread outside, and waits for all.
    pub(crate) fn run(&self, numbers: Numbers, items: u64) -> Duration {
        let begin = Instant::now();
        let manager = self.ours.runtime.manager();
        let start = |item| manager.spawn(self.start(numbers, item)).expect("a host with room");
        let wait = |item, process: ProcessHandle| self.check(numbers, item, &process.wait());
        windowed(items, WORKERS * WINDOW, start, wait);
        begin.elapsed()
    }
}
