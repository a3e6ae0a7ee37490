//! The matrix of ends: each request for the end of a process, wherever that process is. The right exit comes within a few
//! slices, exactly one, and nothing of the process is left behind.
//!
//! Under a clock that the test moves a slice is a tick, and ticks are what is counted. All of it happens in a program of its
//! own, since descriptors, memory mappings and standard streams belong to whole programs.

/// Where a process can be.
mod states;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wippy::process::{Exit, ProcessHandle, State as TaskState};
use wippy::reactor::{Clock, ReactorStats};
use wippy::registry::LimitsSpec;

use crate::support::text_app;
use crate::yielding::rows::{Kind, Row, SPOKEN, Stuck};
use crate::yielding::stage::{PATIENCE, Stage, make_fifo, until};
use states::{Does, LEFT_OUT, State, TEXTS, states};

/// A process ends within this many slices of the request.
const SLICES_MAX: u32 = 10;

/// A slice.
const TICK: Duration = Duration::from_millis(1);

/// The limits of time. They are reached when the test lets this much time pass, and not before.
const LIMIT: Duration = Duration::from_millis(5);

/// How long everybody has for what a tick brings about, before the next one comes: no measure of anything.
const PATIENCE_A_TICK: Duration = Duration::from_secs(6);

/// How long mappings have to go after everything else is gone, before the cell is tried again.
const PATIENCE_A_TRY: Duration = Duration::from_secs(1);

/// How often a cell may leave more mappings than there were: what else the program does (a heap that grows, a mapping that is
/// split) can look like that once in a while. What is left behind is left behind each time, so one try without it is the
/// proof.
const TRIES_MAX: u32 = 10;

/// The reason of a cancel.
const REASON: &str = "enough";

/// How the end is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Terminate,
    Cancel,
    Wall,
    Cpu,
    Shutdown,
}

impl Request {
    const ALL: [Self; 5] = [Self::Terminate, Self::Cancel, Self::Wall, Self::Cpu, Self::Shutdown];

    /// The limit that is this request.
    fn limits(self) -> LimitsSpec {
        let mut limits = LimitsSpec::default();
        match self {
            Self::Wall => limits.max_execution = Some(LIMIT),
            Self::Cpu => limits.max_cpu = Some(LIMIT),
            Self::Terminate | Self::Cancel | Self::Shutdown => {}
        }
        limits
    }
}

fn is_left_out(request: Request, does: Does) -> bool {
    LEFT_OUT.iter().any(|(left, where_to, _)| *left == request && where_to.contains(&does))
}

#[test]
fn every_request_ends_every_process_wherever_it_is() {
    let streams = tempfile::tempdir().expect("a folder");
    let [stdin, stdout] = ["stdin", "stdout"].map(|name| {
        let path = streams.path().join(name);
        make_fifo(&path);
        // With both sides: it never ends, and nobody waits for the other side to come.
        OpenOptions::new().read(true).write(true).open(path).expect("a FIFO")
    });
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "kill::the_other_program", "--nocapture"])
        .env("WIPPY_TEST_STREAMS", streams.path())
        // One heap: how many there are is a matter of which thread allocates when.
        .env("MALLOC_ARENA_MAX", "1")
        // Stacks of threads that have ended are given back.
        .env("GLIBC_TUNABLES", "glibc.pthread.stack_cache_size=0")
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program");
    let mut cells = BTreeSet::new();
    let mut said = Vec::new();
    for line in BufReader::new(child.stderr.take().expect("a pipe")).lines() {
        let line = line.expect("text");
        match line.strip_prefix("cell ").and_then(|cell| cell.split_once(": ")) {
            Some((cell, _)) => drop(cells.insert(cell.to_owned())),
            None => said.push(line.clone()),
        }
        eprintln!("{line}");
    }
    assert!(child.wait().expect("its end").success(), "{}", said.join("\n"));
    let all = states().into_iter().flat_map(|state| Request::ALL.map(|request| (request, state)));
    let expected: BTreeSet<_> = all
        .filter(|(request, state)| !is_left_out(*request, state.does))
        .map(|(request, state)| format!("{request:?} {}", state.row.name))
        .collect();
    assert_eq!(cells, expected, "every cell but those that are left out");
}

/// Bulk operations without end; a page is taken after each, before the guest looks up again.
const BULK: &str = r#"(module
    (memory 2048) (table $from 8000000 funcref) (table $to 8000000 funcref)
    (func (export "memory-fill") (loop $again
        (memory.fill (i32.const 0) (i32.const 7) (i32.const 134217728))
        (drop (memory.grow (i32.const 1))) (br $again)))
    (func (export "memory-copy") (loop $again
        (memory.copy (i32.const 67108864) (i32.const 0) (i32.const 67108864))
        (drop (memory.grow (i32.const 1))) (br $again)))
    (func (export "table-fill") (loop $again
        (table.fill $from (i32.const 0) (ref.null func) (i32.const 8000000))
        (drop (memory.grow (i32.const 1))) (br $again)))
    (func (export "table-copy") (loop $again
        (table.copy $to $from (i32.const 0) (i32.const 0) (i32.const 8000000))
        (drop (memory.grow (i32.const 1))) (br $again))))"#;

/// Each bulk operation, and the MiB that it writes.
const BULKS: [(&str, u32); 4] = [("memory-fill", 128), ("memory-copy", 64), ("table-fill", 61), ("table-copy", 61)];

#[test]
fn a_bulk_operation_goes_to_its_end_and_no_other_begins() {
    let entry =
        |(name, _): &(&str, u32)| format!("- {{ name: {name}, kind: process.wasm, text: bulk, method: {name} }}\n");
    let clock = Clock::manual();
    let app = text_app(&[("bulk", BULK)], &BULKS.iter().map(entry).collect::<String>());
    let house = crate::support::House::of(app, clock.clone());
    for (name, mib) in BULKS {
        let process = house.start(name, &[]).expect("a process");
        let operations = || (process.usage().memory_peak().saturating_sub((2048 << 16) + 2 * 64_000_000)) >> 16;
        until("its first operation is over", || operations() > 0);
        let start = Instant::now();
        process.terminate();
        clock.advance(TICK).expect("a manual clock");
        let before = operations();
        assert_eq!(process.wait_timeout(PATIENCE), Some(Exit::Terminated), "{name}");
        let took = start.elapsed();
        assert!(operations() <= before + 1, "{name}: {before} operations at the request, {} at the end", operations());
        eprintln!("{name}: it ended {took:?} after the request; an operation writes {mib} MiB");
    }
}

/// No test: all cells, in a program with standard streams that nobody reads or writes.
#[test]
#[ignore = "run as a program by another test"]
fn the_other_program() {
    let Ok(streams) = std::env::var("WIPPY_TEST_STREAMS") else { return };
    let house = House {
        streams: Streams::new(Path::new(&streams)),
        #[cfg(all(feature = "cli", feature = "http"))]
        web: crate::yielding::rows::Web::new(),
    };
    let wanted = std::env::var("WIPPY_TEST_STATES").ok();
    let mut all = states();
    all.retain(|state| wanted.as_ref().is_none_or(|wanted| wanted.split(',').any(|name| name == state.row.name)));
    let stages = ["processes", "terminal"].map(|host| house.stage(host, &all));
    for stage in &stages {
        stage.others_complete();
        // All its threads are there from now on.
        stage.hold_pool();
        stage.let_go_of_pool();
    }
    for lap in [Lap::WarmUp, Lap::Measured] {
        for state in &all {
            let stage = &stages[usize::from(state.host == "terminal")];
            for request in Request::ALL.into_iter().filter(|request| *request != Request::Shutdown) {
                tries(lap, state, request, Some(stage), || house.cell(stage, state, request));
            }
            // A shutdown is the end of a whole runtime, and each needs one of its own.
            tries(lap, state, Request::Shutdown, None, || {
                let stage = house.stage(state.host, std::slice::from_ref(state));
                house.cell(&stage, state, Request::Shutdown)
            });
        }
    }
}

/// A cell, until it leaves nothing behind; the stage is the one that is still there then.
fn tries(lap: Lap, state: &State, request: Request, stage: Option<&Stage>, cell: impl Fn() -> Option<(u32, Exit)>) {
    let name = state.row.name;
    let mut mappings = Vec::new();
    for _ in 0..TRIES_MAX {
        let before = Left::now(stage);
        let ended = cell();
        let after = settled(stage, &before, lap);
        if lap == Lap::WarmUp || after.mappings <= before.mappings {
            if let (Lap::Measured, Some((ticks, exit))) = (lap, ended) {
                eprintln!("cell {request:?} {name}: {ticks} ticks, {exit}, tries {}", mappings.len() + 1);
            }
            return;
        }
        mappings.push((before.mappings, after.mappings));
    }
    panic!("{request:?} {name}: mappings before and after each try: {mappings:?}");
}

/// What is left when everything but mappings is as it was before.
fn settled(stage: Option<&Stage>, before: &Left, lap: Lap) -> Left {
    let start = Instant::now();
    loop {
        let now = Left::now(stage);
        let is_same = now.without_mappings() == before.without_mappings();
        let has_less = now.mappings <= before.mappings || start.elapsed() > PATIENCE_A_TRY;
        if lap == Lap::WarmUp || is_same && has_less {
            return now;
        }
        assert!(start.elapsed() < PATIENCE, "something is left behind: {before:?}, {now:?}");
        std::thread::sleep(TICK);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lap {
    WarmUp,
    Measured,
}

/// The standard streams of this program, which it sees from both sides.
struct Streams {
    stdin: File,
    stdout: File,
}

impl Streams {
    fn new(folder: &Path) -> Self {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let stdout = OpenOptions::new().read(true).custom_flags(flags).open(folder.join("stdout")).expect("a FIFO");
        let stdin = OpenOptions::new().write(true).open(folder.join("stdin")).expect("a FIFO");
        Self { stdin, stdout }
    }

    /// Takes what is on its way out.
    fn read(&self) -> usize {
        let (mut all, mut buffer) = (0, vec![0; 65_536]);
        while let Ok(count @ 1..) = (&self.stdout).read(&mut buffer) {
            all += count;
        }
        all
    }
}

impl Drop for Streams {
    /// What is written from here on, the result of this test for example, must find a reader.
    fn drop(&mut self) {
        let stdout = self.stdout.try_clone().expect("a descriptor");
        std::thread::spawn(move || {
            loop {
                let _ = (&stdout).read(&mut [0; 4096]);
                std::thread::sleep(TICK);
            }
        });
    }
}

/// What could be left behind by a process.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Left {
    descriptors: usize,
    mappings: usize,
    /// Of the stage: living processes, tasks beside them, timers and sources.
    of_host: Option<(usize, usize, ReactorStats)>,
    jobs: Option<[usize; 4]>,
}

impl Left {
    fn now(stage: Option<&Stage>) -> Self {
        let lines = |path: &str| std::fs::read_to_string(path).expect("Linux").lines().count();
        Self {
            descriptors: std::fs::read_dir("/proc/self/fd").expect("Linux").count(),
            mappings: lines("/proc/self/maps"),
            of_host: stage.and_then(|stage| {
                let host = stage.host();
                Some((host.live(), host.stats()?.live_tasks, host.reactor_stats()?))
            }),
            jobs: stage.map(jobs),
        }
    }

    fn without_mappings(&self) -> Self {
        Self { mappings: 0, ..self.clone() }
    }
}

/// Jobs of a stage's pool: queued, waiting for room, running, abandoned.
fn jobs(stage: &Stage) -> [usize; 4] {
    let pool = stage.pool();
    [pool.queued, pool.waiting, pool.running, pool.abandoned_jobs]
}

/// What all cells run in.
struct House {
    streams: Streams,
    #[cfg(all(feature = "cli", feature = "http"))]
    web: crate::yielding::rows::Web,
}

impl House {
    fn stage(&self, host: &'static str, states: &[State]) -> Stage {
        let mut rows: Vec<Row> = states.iter().filter(|state| state.host == host).map(|state| state.row).collect();
        if rows.iter().any(|row| row.name == "queued") {
            rows.push(Row { name: "queued-behind", entry: "text: loops, method: spin", ..rows[0] });
        }
        Stage::with(
            host,
            Clock::manual(),
            &rows,
            TEXTS,
            #[cfg(all(feature = "cli", feature = "http"))]
            self.web.clone(),
        )
    }

    /// One request to one process, from its start to when no call on the pool is left of it. Gives the ticks that the end
    /// took and the exit, except for a cell that is left out.
    fn cell(&self, stage: &Stage, state: &State, request: Request) -> Option<(u32, Exit)> {
        let name = state.row.name;
        // What the last one wrote may have come since it was looked for.
        self.streams.read();
        stage.set_limits(request.limits());
        let mut stuck = state.row.start(stage);
        until(&format!("{name} is there, {:?}", stuck.process), || is_there(stage, state, &stuck));
        if state.row.kind == Kind::Pool {
            stage.hold_pool();
            if state.does == Does::WaitsForRoom {
                stage.fill_pool();
            }
            stuck.gate.take().expect("a gate").write_all(b"x").expect("the guest");
            until("it waits for the pool", || {
                let pool = stage.pool();
                let surplus = stage.surplus();
                let waits = if state.does == Does::WaitsForRoom { pool.waiting } else { pool.queued - surplus };
                waits == 1 && is_there(stage, state, &stuck)
            });
        }
        let ended = if is_left_out(request, state.does) {
            stage.advance(LIMIT);
            stage.advance(TICK);
            assert_eq!(stuck.process.exit(), None, "{name}: {request:?} can't occur");
            stuck.process.terminate();
            let _ = ticks_to_end(stage, &stuck.process, Looks::AtOnce);
            None
        } else {
            let (ticks, exit) = self.ask(stage, state, request, &stuck.process);
            assert_right(state, request, &exit);
            Some((ticks, exit))
        };
        // Calls that nothing can end are counted until they have ended by themselves.
        until("the calls that were left behind are counted", || stage.pool().abandoned_jobs == state.abandons);
        drop(stuck);
        stage.let_go_of_pool();
        stage.names.answer();
        #[cfg(all(feature = "cli", feature = "http"))]
        self.web.hang_up();
        if state.row.kind == Kind::Stdin {
            // The read that is under way is the program's and not the guest's; it is there for whoever reads next.
            (&self.streams.stdin).write_all(SPOKEN).expect("a FIFO");
        }
        until("nobody lives, and its calls on the pool are over", || {
            self.streams.read();
            // Who was only there for the sake of another ends at a tick.
            stage.advance(TICK);
            stage.host().live() == 0 && jobs(stage) == [0; 4]
        });
        ended
    }

    /// Asks for the end, and gives the ticks that it took, and the exit.
    fn ask(&self, stage: &Stage, state: &State, request: Request, process: &ProcessHandle) -> (u32, Exit) {
        // Who computes looks up at a tick; a limit that is reached is one.
        let looks = match (request, state.does) {
            (Request::Terminate | Request::Cancel, Does::Computes | Does::Queued) => Looks::AtATick,
            _ => Looks::AtOnce,
        };
        match request {
            Request::Terminate => process.terminate(),
            Request::Cancel => process.cancel(REASON),
            Request::Wall | Request::Cpu => stage.advance(LIMIT),
            Request::Shutdown => {
                let terminated = stage.runtime().shutdown(Duration::ZERO);
                // It ticks by itself until all have ended.
                let exit = process.exit().unwrap_or_else(|| panic!("{process:?} is left"));
                assert!(exit != Exit::Terminated || terminated.contains(process.pid()), "{terminated:?}");
                return (0, exit);
            }
        }
        match (request, state.does) {
            (Request::Cancel, Does::Computes) => {
                // It can't receive events and does not wait: what follows is what a stop does after its timeout, 0 here.
                for _ in 0..3 {
                    stage.advance(TICK);
                    std::thread::sleep(TICK);
                    assert_eq!(process.exit(), None, "{}", state.row.name);
                }
                process.terminate();
            }
            (Request::Cancel | Request::Wall, Does::Leaves) => {
                // The guest is over and has its exit. What it wrote is not lost for the sake of time.
                for _ in 0..SLICES_MAX {
                    stage.advance(TICK);
                    std::thread::sleep(TICK);
                    assert_eq!(process.exit(), None, "{}", state.row.name);
                }
                until("its output leaves", || {
                    self.streams.read();
                    process.exit().is_some()
                });
            }
            _ => {}
        }
        (ticks_to_end(stage, process, looks), process.exit().expect("it has ended"))
    }
}

fn is_there(stage: &Stage, state: &State, stuck: &Stuck) -> bool {
    let process = &stuck.process;
    assert_eq!(process.exit(), None, "{}", state.row.name);
    let does = match state.does {
        Does::Waits | Does::WaitsForRoom | Does::Leaves => process.state() == TaskState::Blocked,
        Does::Computes => process.state() == TaskState::Running,
        Does::Queued => process.state() == TaskState::Ready && process.steps() == 0,
    };
    let reads = state.row.kind == Kind::Stdin;
    does && (stuck.is_there)(stage) && (!reads || stage.pool().running == 1)
}

/// When a process sees that its end was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    AtOnce,
    AtATick,
}

fn ticks_to_end(stage: &Stage, process: &ProcessHandle, looks: Looks) -> u32 {
    for ticks in 0..=SLICES_MAX {
        let patience = if ticks == 0 && looks == Looks::AtATick { Duration::ZERO } else { PATIENCE_A_TICK };
        if process.wait_timeout(patience).is_some() {
            return ticks;
        }
        stage.advance(TICK);
    }
    panic!("{process:?} has not ended after {SLICES_MAX} ticks");
}

fn assert_right(state: &State, request: Request, exit: &Exit) {
    let cancelled = |reason: &str| *exit == Exit::Cancelled { reason: reason.to_owned() };
    let limit = |name: &str| matches!(exit, Exit::LimitExceeded(found) if found.limit == name);
    let terminated = *exit == Exit::Terminated;
    let is_right = match (request, state.does) {
        (Request::Cancel | Request::Wall, Does::Leaves) => exit.is_normal(),
        (Request::Terminate, _) | (Request::Cancel | Request::Shutdown, Does::Computes) => terminated,
        (Request::Shutdown, Does::Leaves) => terminated,
        (Request::Cancel, _) => cancelled(REASON),
        (Request::Wall, _) => limit("max_execution"),
        (Request::Cpu, _) => limit("max_cpu"),
        // It asks first, and does not wait: either comes first.
        (Request::Shutdown, _) => terminated || cancelled("host shutdown"),
    };
    assert!(is_right, "{request:?} {}: {exit:?}", state.row.name);
}
