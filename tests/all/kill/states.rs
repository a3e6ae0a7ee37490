//! The table: where a process can be when its end is asked for.

use wippy::process::{Payload, ProcessHandle, State as TaskState};
use wippy::registry::LimitsSpec;

use super::Request;
use crate::yielding::rows::{self, End, Kind, ROWS, Row, STDIN_ROWS, Stuck, text};
use crate::yielding::stage::{Stage, until};

/// Where a process is, and how it gets there.
#[derive(Clone, Copy)]
pub(super) struct State {
    pub(super) row: Row,
    pub(super) does: Does,
    /// The host it runs on.
    pub(super) host: &'static str,
    /// Calls on the pool that can't be interrupted: they are left behind, and counted, until the test lets them go.
    pub(super) abandons: usize,
}

/// What it does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    /// It waits for something that does not come.
    Waits,
    /// It waits in a pool that takes nobody more, not even into its queue.
    WaitsForRoom,
    /// It computes without end.
    Computes,
    /// It has had no step: the worker computes for somebody else.
    Queued,
    /// It is over; its output can't leave.
    Leaves,
}

/// Cells that can't occur: which request, where, and why. The test shows of each that the request does not come.
pub(super) const LEFT_OUT: &[(Request, &[Does], &str)] = &[
    (Request::Cpu, &[Does::Waits, Does::WaitsForRoom], "who waits is in no step, so no CPU time passes"),
    (Request::Cpu, &[Does::Queued], "before the first step no CPU time has passed"),
    (Request::Cpu, &[Does::Leaves], "the guest is over, and uses none any more"),
];

/// The rows about others who go on that have a twin here: their files make a lap long.
const SLOW: &[&str] = &["file-read-1", "file-write-1"];

pub(super) fn states() -> Vec<State> {
    let waits = |row: &Row, host| State { row: *row, does: Does::Waits, host, abandons: 0 };
    let rows = ROWS.iter().filter(|row| !SLOW.contains(&row.name)).map(|row| waits(row, "processes"));
    rows.chain(OWN.iter().copied()).chain(STDIN_ROWS.iter().map(|row| waits(row, "terminal"))).collect()
}

const fn own(name: &'static str, entry: &'static str, does: Does, start: fn(&Stage, &Row) -> Stuck) -> State {
    State { row: Row { name, entry, kind: Kind::Plain, start }, does, host: "processes", abandons: 0 }
}

const fn on_terminal(state: State) -> State {
    State { host: "terminal", ..state }
}

const OWN: &[State] = &[
    own("queued", "guest: sleeper, method: sleep-ms, imports: [wasi:clocks, wasi:poll]", Does::Queued, queued),
    own("computing", "text: loops, method: spin", Does::Computes, computes),
    own("grow-storm", "text: loops, method: grow, limits: { max_memory: 64MiB }", Does::Computes, computes),
    own("recursion", "text: loops, method: recurse", Does::Computes, computes),
    own("start", "text: starts, method: run", Does::Computes, computes),
    own("start-sleep", "text: start-sleeps, method: run", Does::Waits, waits),
    own("bulk-memory", "text: bulk, method: memory", Does::Computes, computes),
    own("bulk-table", "text: bulk, method: table", Does::Computes, computes),
    State {
        row: Row { name: "pool-full", entry: rows::FILES, kind: Kind::Pool, start: rows::file_read },
        does: Does::WaitsForRoom,
        host: "processes",
        abandons: 0,
    },
    State { abandons: 1, ..own("lookup-thread", rows::NET, Does::Waits, lookup_on_a_thread) },
    on_terminal(own("stdout", "text: writes, method: endless", Does::Waits, writes)),
    on_terminal(own("leaving", "text: writes, method: ends", Does::Leaves, leaves)),
];

/// Guests in text form. Who computes takes a second page of memory as a sign that it does.
pub(super) const TEXTS: &[(&str, &str)] = &[
    (
        "loops",
        r#"(module (memory 1)
        (func $sign (drop (memory.grow (i32.const 1))))
        (func (export "spin") (call $sign) (loop $again (br $again)))
        (func (export "grow") (call $sign) (loop $again (drop (memory.grow (i32.const 1))) (br $again)))
        ;; Never far from its deepest place, 5000 calls below.
        (func $down (param $levels i32)
            (if (local.get $levels) (then
                (call $down (i32.sub (local.get $levels) (i32.const 1)))
                (call $down (i32.sub (local.get $levels) (i32.const 1))))))
        (func (export "recurse") (call $sign) (call $down (i32.const 5000))))"#,
    ),
    (
        "starts",
        r#"(module (memory 1)
        (func $start (drop (memory.grow (i32.const 1))) (loop $again (br $again)))
        (start $start) (func (export "run")))"#,
    ),
    (
        "start-sleeps",
        r#"(module
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func $start
            ;; The monotonic clock, in an hour.
            (i32.store (i32.const 16) (i32.const 1))
            (i64.store (i32.const 24) (i64.const 3600000000000))
            (drop (call $poll (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 512))))
        (start $start) (func (export "run")))"#,
    ),
    (
        "bulk",
        r#"(module
        (memory 2048) (table $from 1000000 funcref) (table $to 1000000 funcref)
        (func $sign (drop (memory.grow (i32.const 1))))
        (func (export "memory") (call $sign)
            (loop $again
                (memory.fill (i32.const 0) (i32.const 7) (i32.const 134217728))
                (memory.copy (i32.const 0) (i32.const 67108864) (i32.const 67108864))
                (br $again)))
        (func (export "table") (call $sign)
            (loop $again
                (table.fill $from (i32.const 0) (ref.null func) (i32.const 1000000))
                (table.copy $to $from (i32.const 0) (i32.const 0) (i32.const 1000000))
                (br $again))))"#,
    ),
    (
        "writes",
        r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2)
        (data (i32.const 0) "\10\00\00\00\00\00\01\00")
        ;; 64 KiB: two are more than a pipe holds, and three more than a pipe and the queue before it.
        (func $line (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
        (func (export "endless") (loop $again (call $line) (br $again)))
        (func (export "ends") (call $line) (call $line)))"#,
    ),
];

/// The end of its bytes in a pipe that nobody reads.
fn writes(stage: &Stage, row: &Row) -> Stuck {
    waits(stage, row).there_when(|stage| stage.pool().running == 1)
}

/// Over, with half of what it wrote still here.
fn leaves(stage: &Stage, row: &Row) -> Stuck {
    let stuck = waits(stage, row);
    let process = stuck.process.clone();
    stuck.there_when(move |stage| process.usage().bytes_out() == 128 << 10 && stage.pool().running == 1)
}

fn waits(stage: &Stage, row: &Row) -> Stuck {
    Stuck::new(row.spawn(stage, vec![]), |_| End::ByForce)
}

fn computes(stage: &Stage, row: &Row) -> Stuck {
    let process = row.spawn(stage, vec![]);
    let computing = process.clone();
    let first = if row.entry.contains("bulk") { 2048 } else { 1 };
    Stuck::new(process, |_| End::ByForce).there_when(move |_| is_computing(&computing, first))
}

/// Whether it has taken more than the pages it began with.
fn is_computing(process: &ProcessHandle, first: u64) -> bool {
    // Tables count, too, and are less than a page or there from the start.
    process.state() == TaskState::Running
        && process.usage().memory_peak() > (first << 16) + if first > 1 { 16_000_000 } else { 0 }
}

/// Ends a process when it is dropped.
struct Ends(ProcessHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.terminate();
    }
}

fn queued(stage: &Stage, row: &Row) -> Stuck {
    let limits = stage.set_limits(LimitsSpec::default());
    let other = Ends(stage.spawn("queued-behind", vec![]));
    stage.set_limits(limits);
    until("the other one computes", || is_computing(&other.0, 1));
    let process = row.spawn(stage, vec![Payload::Int(3_600_000)]);
    Stuck::new(process, |_| End::ByForce).there_when(move |_| other.0.state() == TaskState::Running)
}

/// A lookup that holds a thread: nothing can end it.
fn lookup_on_a_thread(stage: &Stage, row: &Row) -> Stuck {
    struct Opens(std::sync::Arc<crate::yielding::stage::Gate>);
    impl Drop for Opens {
        fn drop(&mut self) {
            self.0.open();
        }
    }
    let gate = Opens(stage.names.hold_threads(stage));
    let process = row.spawn(stage, vec![text("lookup"), Payload::Int(0)]);
    Stuck::new(process, |_| End::ByForce).there_when(move |stage| {
        let _held = &gate;
        stage.pool().running == 1
    })
}
