//! What was promised, and what was measured.

use std::fmt::Write as _;

use crate::pages;
use crate::record::{Record, Time, Turns};
use crate::stats::Estimate;

/// Something that is to be so.
struct Goal {
    what: &'static str,
    group: &'static str,
    /// How the name of the case ends.
    case: &'static str,
    measure: Measure,
    bound: Bound,
}

/// What is looked at.
enum Measure {
    /// The time of one side as a multiple of that of another.
    Ratio(Time, &'static str, &'static str),
    /// Microseconds of CPU that one side takes beyond another, for each piece of work.
    Beyond(&'static str, &'static str),
    /// A figure of one side as a multiple of another one, or of the same one of another side.
    Figures((&'static str, &'static str), (&'static str, &'static str)),
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};
use Measure::{Beyond, Figures, Ratio};
use Time::{Cpu, Wall};

const fn goal(what: &'static str, group: &'static str, case: &'static str, measure: Measure, bound: Bound) -> Goal {
    Goal { what, group, case, measure, bound }
}

const CORE: &str = "tiny core module";
const COMPONENT: &str = "tiny component";
const MAP: &str = "tiny items in one map";
const YIELDS: &str = "yields of 100 guests";
const MIX: &str = "short items among long ones";
const ONE_GUEST: &str = "tcp echo, one guest";

const WIPPY: &str = "wippy";
const NONE: &str = "wippy, preempt: none";
const TOKIO: &str = "tokio, tuned";
const DEFAULTS: &str = "tokio, defaults";
const FLOOR: &str = "floor";
const UNCHECKED: &str = "floor, no epochs";
const LOOP: &str = "floor, one thread";
const THREADS: &str = "blocking threads";
const TASKS: &str = "tokio";
const EXECUTOR: &str = "async-executor";
const RAYON: &str = "rayon";
const STEPS: &str = "wippy, a state machine";

/// All of them.
const GOALS: [Goal; 36] = [
    goal(
        "A tiny core module from spawn to exit, CPU: of the floor",
        "spawn",
        CORE,
        Ratio(Cpu, WIPPY, FLOOR),
        AtMost(1.25),
    ),
    goal("A tiny component, CPU: of the floor", "spawn", COMPONENT, Ratio(Cpu, WIPPY, FLOOR), AtMost(1.25)),
    goal("A tiny core module, CPU: tuned tokio, of ours", "spawn", CORE, Ratio(Cpu, TOKIO, WIPPY), AtLeast(1.4)),
    goal("A tiny component, CPU: tuned tokio, of ours", "spawn", COMPONENT, Ratio(Cpu, TOKIO, WIPPY), AtLeast(1.4)),
    goal(
        "A tiny core module, CPU: tokio and defaults, of ours",
        "spawn",
        CORE,
        Ratio(Cpu, DEFAULTS, WIPPY),
        AtLeast(8.0),
    ),
    goal(
        "A tiny component, CPU: tokio and defaults, of ours",
        "spawn",
        COMPONENT,
        Ratio(Cpu, DEFAULTS, WIPPY),
        AtLeast(8.0),
    ),
    goal("A long map, CPU an item beyond the floor, us", "map", MAP, Beyond(WIPPY, FLOOR), AtMost(1.0)),
    goal(
        "A long map, memory at its end: of that after a tenth",
        "map",
        MAP,
        Figures((WIPPY, "MiB held at the end"), (WIPPY, "MiB held after a tenth")),
        AtMost(1.02),
    ),
    goal("A yield, CPU: of a loop that only polls again", "step", YIELDS, Ratio(Cpu, WIPPY, LOOP), AtMost(1.4)),
    goal("A yield, CPU: tuned tokio, of ours", "step", YIELDS, Ratio(Cpu, TOKIO, WIPPY), AtLeast(1.4)),
    goal("A TCP echo, by the wall: of a blocking thread", "step", ONE_GUEST, Ratio(Wall, WIPPY, THREADS), AtMost(2.0)),
    goal(
        "Tasks spawned by a worker, CPU: tokio, of ours",
        "steal",
        "tasks from a worker",
        Ratio(Cpu, TASKS, WIPPY),
        AtLeast(3.0),
    ),
    goal("The same, of our state machines", "steal", "tasks from a worker", Ratio(Cpu, TASKS, STEPS), AtLeast(3.0)),
    goal(
        "Tasks spawned from outside, CPU: tokio, of ours",
        "steal",
        "tasks from outside",
        Ratio(Cpu, TASKS, WIPPY),
        AtLeast(3.0),
    ),
    goal(
        "Ping-pong of a pair, CPU: tokio, of ours",
        "steal",
        "pong of one pair",
        Ratio(Cpu, TASKS, WIPPY),
        AtLeast(1.0),
    ),
    goal("The same, async-executor, of ours", "steal", "pong of one pair", Ratio(Cpu, EXECUTOR, WIPPY), AtLeast(1.0)),
    goal(
        "Ping-pong of 100 pairs, CPU: tokio, of ours",
        "steal",
        "of 100 pairs",
        Ratio(Cpu, TASKS, WIPPY),
        AtLeast(1.0),
    ),
    goal("The same, async-executor, of ours", "steal", "of 100 pairs", Ratio(Cpu, EXECUTOR, WIPPY), AtLeast(1.0)),
    goal(
        "Ping-pong with a thread, CPU: tokio, of ours",
        "steal",
        "a task and a thread",
        Ratio(Cpu, TASKS, WIPPY),
        AtLeast(1.0),
    ),
    goal(
        "The same, async-executor, of ours",
        "steal",
        "a task and a thread",
        Ratio(Cpu, EXECUTOR, WIPPY),
        AtLeast(1.0),
    ),
    goal("Fan-out and fan-in, CPU: tokio, of ours", "steal", "tasks of 500ns", Ratio(Cpu, TASKS, WIPPY), AtLeast(1.0)),
    goal("The same, async-executor, of ours", "steal", "tasks of 500ns", Ratio(Cpu, EXECUTOR, WIPPY), AtLeast(1.0)),
    goal(
        "Theft of uneven tasks, CPU: tokio, of ours",
        "steal",
        "us from one worker",
        Ratio(Cpu, TASKS, WIPPY),
        AtLeast(1.0),
    ),
    goal("The same, async-executor, of ours", "steal", "us from one worker", Ratio(Cpu, EXECUTOR, WIPPY), AtLeast(1.0)),
    goal(
        "A yield of a native task, CPU: tokio, of ours",
        "steal",
        "yields of 1000 tasks",
        Ratio(Cpu, TASKS, WIPPY),
        AtLeast(1.0),
    ),
    goal(
        "The same, async-executor, of ours",
        "steal",
        "yields of 1000 tasks",
        Ratio(Cpu, EXECUTOR, WIPPY),
        AtLeast(1.0),
    ),
    goal(
        "Fork and join, leaves of 1 us, CPU: of rayon",
        "steal",
        "leaves of 1µs",
        Ratio(Cpu, WIPPY, RAYON),
        AtMost(1.2),
    ),
    goal(
        "Fork and join, leaves of 10 us, CPU: of rayon",
        "steal",
        "leaves of 10µs",
        Ratio(Cpu, WIPPY, RAYON),
        AtMost(1.2),
    ),
    goal(
        "1 ms of SHA-256, CPU: the floor, of ours",
        "compute",
        "sha256, 1 ms each",
        Ratio(Cpu, FLOOR, WIPPY),
        AtLeast(0.98),
    ),
    goal(
        "1 ms of matrices, CPU: the floor, of ours",
        "compute",
        "matrix, 1 ms each",
        Ratio(Cpu, FLOOR, WIPPY),
        AtLeast(0.98),
    ),
    goal(
        "1 ms of an interpreter, CPU: the floor, of ours",
        "compute",
        "interpret, 1 ms each",
        Ratio(Cpu, FLOOR, WIPPY),
        AtLeast(0.98),
    ),
    goal(
        "1 ms of SHA-256 without preemption",
        "compute",
        "sha256, 1 ms each",
        Ratio(Cpu, UNCHECKED, NONE),
        AtLeast(0.98),
    ),
    goal(
        "1 ms of matrices without preemption",
        "compute",
        "matrix, 1 ms each",
        Ratio(Cpu, UNCHECKED, NONE),
        AtLeast(0.98),
    ),
    goal(
        "1 ms of an interpreter without preemption",
        "compute",
        "interpret, 1 ms each",
        Ratio(Cpu, UNCHECKED, NONE),
        AtLeast(0.98),
    ),
    goal(
        "p99 of short items among long ones: tuned tokio, of ours",
        "compute",
        MIX,
        Figures((TOKIO, "us, short, p99"), (WIPPY, "us, short, p99")),
        AtLeast(1.0),
    ),
    goal(
        "16 guests that take turns, CPU: of the floor",
        "preempt",
        "guests of 20 ms each",
        Ratio(Cpu, WIPPY, FLOOR),
        AtMost(1.02),
    ),
];

impl Measure {
    fn of(&self, record: &Record) -> Option<Estimate> {
        let side = |name: &str| record.side(name);
        match self {
            Ratio(time, one, other) => Some(time.ratio(side(one)?, side(other)?)),
            Beyond(one, other) => {
                let micros = 1e6 / record.elements as f64;
                let (one, other) = (Cpu.of(side(one)?), Cpu.of(side(other)?));
                Some(Estimate::of(one.iter().zip(other).map(|(one, other)| (one - other) * micros)))
            }
            Figures((one, what), (other, of)) => {
                let (one, other) = (figures(side(one)?, what)?, figures(side(other)?, of)?);
                Some(Estimate::of(one.iter().zip(other).map(|(one, other)| one / other)))
            }
        }
    }
}

fn figures<'a>(turns: &'a Turns, what: &str) -> Option<&'a Vec<f64>> {
    turns.also.iter().find(|(name, _)| name == what).map(|(_, figures)| figures)
}

impl Bound {
    /// Whether the median keeps it, and whether both ends do.
    fn verdict(self, found: Estimate) -> &'static str {
        let keeps = |value: f64| match self {
            AtMost(bound) => value <= bound,
            AtLeast(bound) => value >= bound,
        };
        match (keeps(found.median), keeps(found.low) == keeps(found.high)) {
            (true, true) => "yes",
            (true, false) => "yes, within the noise",
            (false, true) => "**no**",
            (false, false) => "**no**, within the noise",
        }
    }
}

/// A table of the goals that were measured.
pub(crate) fn table(records: &[Record]) -> String {
    let mut table = String::from("| What | Wanted | Found | |\n|---|---|---|---|\n");
    for goal in &GOALS {
        let record = records.iter().find(|record| record.group == goal.group && record.case.ends_with(goal.case));
        let Some(found) = record.and_then(|record| goal.measure.of(record)) else { continue };
        let wanted = match goal.bound {
            AtMost(bound) => format!("≤ {bound}"),
            AtLeast(bound) => format!("≥ {bound}"),
        };
        let _ = writeln!(
            table,
            "| {} | {wanted} | {} | {} |",
            goal.what,
            pages::estimate(found),
            goal.bound.verdict(found)
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(side: &str, cpu: [f64; 6], figure: f64) -> Turns {
        let also =
            vec![("MiB held after a tenth".into(), vec![10.0; 6]), ("MiB held at the end".into(), vec![figure; 6])];
        Turns { side: side.into(), iterations: 1, wall: vec![1.0; 6], cpu: cpu.into(), also }
    }

    #[test]
    fn a_goal_is_met_missed_or_open() {
        let record = Record {
            group: "map".into(),
            at: 0,
            case: "1000 tiny items in one map".into(),
            allocator: "pool".into(),
            elements: 1000,
            references: 1,
            sides: vec![
                turns(FLOOR, [1e-3; 6], 0.0),
                turns(WIPPY, [1.5e-3, 1.6e-3, 1.7e-3, 1.8e-3, 1.9e-3, 2.5e-3], 11.0),
            ],
        };
        let table = table(&[record]);
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| A long map, CPU an item beyond the floor, us | ≤ 1 | 0.750 [0.500, 1.500] | yes, within the noise |",
                "| A long map, memory at its end: of that after a tenth | ≤ 1.02 | 1.100 [1.100, 1.100] | **no** |",
            ]
        );
        let found = Estimate { median: 2.0, low: 1.5, high: 2.5 };
        assert_eq!(AtLeast(1.4).verdict(found), "yes");
        assert_eq!(AtLeast(2.2).verdict(found), "**no**, within the noise");
    }
}
