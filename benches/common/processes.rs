//! Our side for one guest: a process for each item.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use wippy::RuntimeBuilder;
use wippy::process::{Birth, Exit, Launcher, Payload, ProcessHandle, Start};
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
    /// What the starters give their guests.
    numbers: Mutex<Numbers>,
    /// Told by each starter that is done.
    started: Mutex<Receiver<()>>,
}

impl Processes {
    /// `fields` are those of the entry beside what names the binary and the function: each with a comma in front.
    pub(crate) fn new(
        guest: &Guest,
        fields: &str,
        settings: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder,
    ) -> Arc<Processes> {
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
        let (own, (done, started)) = (Arc::new(OnceLock::<Weak<Processes>>::new()), channel());
        let known = Arc::clone(&own);
        let starter = move |_birth: Birth, (first, items): (u64, u64)| {
            let (done, processes) = (done.clone(), known.get().and_then(Weak::upgrade).expect("those that it starts"));
            async move {
                processes.start_all(first, items).await;
                drop(processes);
                done.send(()).expect("somebody waits");
                Ok(())
            }
        };
        let ours = Ours::build(app, &entries, "", |builder| settings(builder).native("app:starter", starter));
        let (numbers, started) = (Mutex::new(Numbers::Own { added: 0 }), Mutex::new(started));
        let (entry, host) = (id("run"), id("processes"));
        let made = Arc::new(Processes { ours, entry, host, is_command, numbers, started });
        own.set(Arc::downgrade(&made)).expect("it is made once");
        made
    }

    /// What starts processes.
    pub(crate) fn launcher(&self) -> Launcher<'_> {
        self.ours.runtime.manager().launcher(&self.entry, &self.host).expect("an entry and a host")
    }

    /// The same start with more said of it.
    pub(crate) fn start(&self, numbers: Numbers, item: u64) -> Start {
        Start::new(self.entry.clone(), self.host.clone()).input(self.input(numbers, item))
    }

    /// What a process is given for an item.
    pub(crate) fn input(&self, numbers: Numbers, item: u64) -> Vec<Payload> {
        if self.is_command { Vec::new() } else { vec![Payload::from(numbers.argument(item))] }
    }

    /// Checks how a process ended that was for an item.
    pub(crate) fn check(&self, numbers: Numbers, item: u64, exit: &Exit) {
        match exit {
            Exit::Returned(answer) => numbers.check(item, answer.as_i64().expect("a number")),
            Exit::Exited(0) if self.is_command => {}
            other => panic!("a guest failed: {other}"),
        }
    }

    /// Spawns a process for each of so many items, a bounded number of them at once, and waits for all. Whoever spawns them are
    /// processes of the embedder, one for each worker, as it is with [`super::tokio_tasks`]: what a worker starts goes to its own
    /// queue.
    pub(crate) fn run(&self, numbers: Numbers, items: u64) -> Duration {
        let begin = Instant::now();
        *self.numbers.lock().expect("nobody panics with it") = numbers;
        for worker in 0..WORKERS as u64 {
            self.ours.spawn("starter", [worker.into(), items.into()]);
        }
        let started = self.started.lock().expect("nobody panics with it");
        (0..WORKERS).for_each(|_| started.recv().expect("each starter says when it is done"));
        begin.elapsed()
    }

    /// What one of them does: spawns each of its items, and at the bound waits like [`super::window`].
    async fn start_all(&self, first: u64, items: u64) {
        let numbers = *self.numbers.lock().expect("nobody panics with it");
        let mut running: VecDeque<(u64, ProcessHandle)> = VecDeque::with_capacity(WINDOW);
        let launcher = self.launcher();
        for item in (first..items).step_by(WORKERS) {
            if running.len() == WINDOW {
                for (item, process) in running.drain(..WINDOW.div_ceil(2)).rev() {
                    self.check(numbers, item, &process.await);
                }
            }
            running.push_back((item, launcher.spawn(self.input(numbers, item)).expect("room")));
        }
        for (item, process) in running.into_iter().rev() {
            self.check(numbers, item, &process.await);
        }
    }

    /// The same from a thread outside.
    pub(crate) fn run_from_outside(&self, numbers: Numbers, items: u64) -> Duration {
        let begin = Instant::now();
        let launcher = self.launcher();
        let start = |item| launcher.spawn(self.input(numbers, item)).expect("a host with room");
        let wait = |item, process: ProcessHandle| self.check(numbers, item, &process.wait());
        windowed(items, WORKERS * WINDOW, start, wait);
        begin.elapsed()
    }
}
