//! Every call of a guest that waits leaves its worker to others. A guest is stuck in each of them, alone and all at once,
//! on a host with one worker; a thousand other processes come and go meanwhile; then what it waits for comes, and it ends
//! with the right answer. All of this without one step in which the worker's thread waits for anything.

/// Each way to be stuck.
pub(crate) mod rows;
/// What they are stuck on.
pub(crate) mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::task::Context;
use std::time::Instant;

use wippy::Runtime;
use wippy::process::{Exit, State};
use wippy::reactor::Clock;
use wippy::scheduler::{Scheduler, Step, Task};
use wippy::volume::Volume;

use rows::{End, Kind, ROWS, Row, SPEAK, SPOKEN, STDIN_ROWS, Stuck};
use stage::{Inside, OTHER, PATIENCE, Stage, Switches, until};

/// A wait for a lock or for a page can put a worker to sleep once in a while. A call that waits by design does so in every
/// lap: one lap of its entry without any is the proof, and this many without such a lap are the failure.
const LAPS_MAX: u32 = 30;

/// Of those who come and go, at least one of this many meets no such wait. They are all the same and take a step each: what
/// waits by design waits in all of them.
const OTHERS_CLEAN: u64 = 10;

/// What the steps of each entry did in a lap.
type Lap = BTreeMap<String, Inside>;

/// From the start of the stuck ones to their end.
fn lap(stage: &Stage, rows: &[Row]) -> Lap {
    lap_with(stage, rows, || ())
}

/// A lap with something that is done while everybody is stuck.
fn lap_with(stage: &Stage, rows: &[Row], meanwhile: impl FnOnce()) -> Lap {
    stage.switches.begin();
    let mut stuck: Vec<(Row, Stuck)> = rows.iter().map(|row| (*row, row.start(stage))).collect();
    let is_stuck = |(row, stuck): &(Row, Stuck)| {
        assert!(stuck.process.exit().is_none(), "{}: {:?}", row.name, stuck.process.exit());
        stuck.process.state() == State::Blocked && (stuck.is_there)(stage)
    };
    let reads = rows.iter().any(|row| row.kind == Kind::Stdin);
    let looks = !stage.is_manual() && rows.iter().any(|row| row.kind == Kind::Looks);
    until("everybody waits", || stuck.iter().all(is_stuck) && (looks || stage.is_quiet(reads)));
    // From now on those who have opened their files get nothing from the pool.
    let on_pool = rows.iter().filter(|row| row.kind == Kind::Pool).count();
    if on_pool > 0 {
        stage.hold_pool();
        for (_, stuck) in &mut stuck {
            if let Some(mut gate) = stuck.gate.take() {
                gate.write_all(b"x").expect("the guest");
            }
        }
        let looking = rows.iter().filter(|row| row.kind == Kind::Looks).count();
        let least = on_pool + stage.surplus();
        let queued = least..=least + if looks { looking } else { 0 };
        until("the files wait for the pool", || queued.contains(&stage.pool().queued) && stuck.iter().all(is_stuck));
    }
    for (row, stuck) in &stuck {
        let waits = stuck.process.usage();
        until(&format!("{} waits for {}", row.name, row.waits()), || waits.waits().to_string() == row.waits());
    }
    while_others_complete(stage, &stuck, is_stuck);
    meanwhile();
    // The last ones first: hours pass for the first ones, too long for what knows limits of time.
    for (row, stuck) in stuck.into_iter().rev() {
        match (stuck.release)(stage) {
            End::Answer(check) => check(stage.exit(&stuck.process, row.kind == Kind::Looks)),
            End::ByForce => {
                assert!(stuck.process.exit().is_none(), "{}: {:?}", row.name, stuck.process.exit());
                stuck.process.terminate();
                assert_eq!(stuck.process.wait_timeout(PATIENCE), Some(Exit::Terminated), "{}", row.name);
            }
        }
    }
    stage.switches.entries()
}

/// Others come and go, and nobody who is stuck makes a step meanwhile. Who had something left to do before (buffers to fill)
/// has done it at some time.
fn while_others_complete(stage: &Stage, stuck: &[(Row, Stuck)], is_stuck: impl Fn(&(Row, Stuck)) -> bool) {
    let steps = || -> Vec<u64> {
        let resting = stuck.iter().filter(|(row, _)| row.kind != Kind::Looks || stage.is_manual());
        resting.map(|(_, stuck)| stuck.process.steps()).collect()
    };
    let start = Instant::now();
    loop {
        let before = steps();
        stage.others_complete();
        let rested = steps() == before;
        until("everybody waits still", || stuck.iter().all(&is_stuck));
        if rested {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "somebody goes on and on: {before:?}, {:?}", steps());
    }
}

/// Laps until each entry has had a clean one.
#[track_caller]
fn laps(what: &str, mut lap: impl FnMut() -> Lap) {
    let mut steps = 0;
    let mut laps = BTreeMap::<String, Vec<Inside>>::new();
    while laps.is_empty() || !laps.values().all(|laps| laps.iter().any(Inside::is_clean)) {
        if laps.values().any(|laps| laps.len() == LAPS_MAX as usize) {
            laps.retain(|_, laps| !laps.iter().any(Inside::is_clean));
            panic!("{what}: the worker waited in every lap of {laps:?}");
        }
        for (entry, inside) in lap() {
            steps += inside.steps;
            if entry == OTHER {
                let clean = inside.steps - inside.waits.len() as u64;
                assert!(clean * OTHERS_CLEAN >= inside.steps, "{what}: the others waited: {inside:?}");
            } else {
                laps.entry(entry).or_default().push(inside);
            }
        }
    }
    laps.retain(|_, laps| laps.iter().any(|inside| !inside.waits.is_empty()));
    eprintln!("{what}: {steps} steps; waits inside of them, lap by lap: {laps:?}");
}

#[test]
fn each_guest_that_waits_leaves_the_worker_to_others() {
    let stage = Stage::new("processes", Clock::manual(), ROWS);
    for row in ROWS {
        laps(row.name, || lap(&stage, &[*row]));
    }
}

#[test]
fn guests_that_wait_for_everything_at_once_leave_the_worker_to_others() {
    for clock in [Clock::manual(), Clock::real()] {
        let what = if clock.is_manual() { "all" } else { "all, with the real clock" };
        let stage = Stage::new("processes", clock, ROWS);
        laps(what, || lap(&stage, ROWS));
    }
}

#[test]
fn a_guest_that_reads_its_standard_input_leaves_the_worker_to_others() {
    for row in STDIN_ROWS {
        laps(row.name, || {
            let program = OtherProgram::run(row.name);
            match row.name {
                "stdin" => assert!(program.said.contains("1: late"), "{:?}", program.said),
                _ => assert!(program.said.iter().any(|line| line.starts_with("sum ") && line != "sum 0")),
            }
            program.lap
        });
    }
}

#[test]
fn a_terminal_with_everybody_stuck_has_a_worker_for_others_and_only_documented_threads() {
    laps("all on a terminal", || {
        let program = OtherProgram::run("all");
        assert!(
            program.said.contains("1: late")
                || program.said.iter().any(|line| line.starts_with("sum ") && line != "sum 0")
        );
        let threads = program.said.iter().find_map(|line| line.strip_prefix("threads ")).expect("names of threads");
        let names: Vec<&str> = threads.split(',').collect();
        assert!(names.iter().any(|name| name.starts_with("wippy-w0")), "{names:?}");
        let ours = names.iter().filter(|name| name.starts_with("wippy"));
        let strangers: Vec<_> = ours.filter(|name| !super::threads::is_documented(name)).collect();
        assert!(strangers.is_empty() && !threads.contains("tokio"), "{names:?}");
        program.lap
    });
}

/// This program again, as one that has a standard input.
struct OtherProgram {
    said: BTreeSet<String>,
    lap: Lap,
}

impl OtherProgram {
    /// Runs a lap there. Its input stays open and silent until it says that everybody has waited for long enough.
    fn run(rows: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "yielding::the_other_program", "--nocapture"])
            .env("WIPPY_TEST_ROWS", rows)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program");
        let mut input = child.stdin.take();
        let mut said = BTreeSet::new();
        let mut lap = Lap::new();
        for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
            let line = line.expect("text");
            if line == SPEAK
                && let Some(mut input) = input.take()
            {
                input.write_all(SPOKEN).expect("somebody reads");
            }
            if let Some(counts) = line.strip_prefix("lap ") {
                let mut counts = counts.split(' ');
                let entry = counts.next().expect("an entry").to_owned();
                let mut counts = counts.map(|count| count.parse().expect("a number"));
                let steps = counts.next().expect("a count");
                lap.insert(entry, Inside { steps, waits: counts.collect() });
            }
            said.insert(line);
        }
        assert!(child.wait().expect("its end").success(), "{said:?}");
        assert!(!lap.is_empty(), "{said:?}");
        Self { said, lap }
    }
}

/// No test: a lap with this program's standard input.
#[test]
#[ignore = "run as a program by other tests"]
fn the_other_program() {
    let Ok(wanted) = std::env::var("WIPPY_TEST_ROWS") else { return };
    let rows: Vec<Row> = match wanted.as_str() {
        "all" => ROWS.iter().chain(STDIN_ROWS).copied().collect(),
        name => STDIN_ROWS.iter().filter(|row| row.name == name).copied().collect(),
    };
    let stage = Stage::new("terminal", Clock::real(), &rows);
    // What the first processes of a program cost is not what this is about.
    stage.others_complete();
    let lap = lap_with(&stage, &rows, || {
        let names: Vec<_> = super::threads::thread_names(std::process::id()).into_iter().collect();
        println!("\nthreads {}", names.join(","));
    });
    for (entry, inside) in lap {
        let waits: String = inside.waits.iter().map(|step| format!(" {step}")).collect();
        println!("\nlap {entry} {}{waits}", inside.steps);
    }
}

/// A task of one step, which tells what it panicked with.
struct OneStep {
    act: Option<Box<dyn FnOnce() + Send>>,
    tell: mpsc::Sender<Option<String>>,
}

impl Task for OneStep {
    fn step(&mut self, _: &mut Context<'_>) -> Step {
        self.act.take().expect("one step")();
        self.tell.send(None).expect("the test listens");
        Step::Done
    }

    fn panicked(&mut self, message: &str) {
        self.tell.send(Some(message.to_owned())).expect("the test listens");
    }
}

/// What a step that does this panics with.
fn in_a_step(scheduler: &Scheduler, act: impl FnOnce() + Send + 'static) -> Option<String> {
    let (tell, told) = mpsc::channel();
    scheduler.spawn(OneStep { act: Some(Box::new(act)), tell }).expect("a worker");
    told.recv_timeout(PATIENCE).expect("the step ends")
}

#[test]
fn a_step_that_waits_is_seen() {
    let switches = Arc::new(Switches::default());
    let scheduler = Scheduler::builder("seen").workers(1).observe(switches.clone()).build().expect("a thread");
    let inside = |steps: u64| {
        until("the steps are over", || switches.so_far().0 == steps);
        switches.so_far().1
    };
    assert_eq!(in_a_step(&scheduler, || std::thread::sleep(std::time::Duration::from_millis(1))), None);
    let waited = inside(1);
    assert!(waited > 0, "a sleep inside of a step");
    // Some step of a few that do nothing must be without.
    let idle = (2..100).any(|step| {
        let before = switches.so_far().1;
        assert_eq!(in_a_step(&scheduler, || ()), None);
        inside(step) == before
    });
    assert!(idle, "steps that do nothing");
    scheduler.shutdown().expect("this is no worker");
}

#[test]
fn what_blocks_refuses_to_run_on_a_worker() {
    let scheduler = Scheduler::builder("guarded").workers(1).build().expect("a thread");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), "text").expect("a file");
    let id = "app:folder".parse().expect("an ID");
    let volume = Volume::of_folder(id, folder.path()).expect("a folder");
    assert_eq!(volume.read("file").expect("a file"), b"text");
    let refused = |act: Box<dyn FnOnce() + Send>| {
        let message = in_a_step(&scheduler, act).expect("it panics");
        assert!(message.contains("a call that may block was made on a worker"), "{message}");
    };
    let path = folder.path().to_owned();
    let id = volume.id().clone();
    refused(Box::new(move || drop(Volume::of_folder(id, path))));
    refused(Box::new(move || drop(volume.read("file"))));
    let path = folder.path().to_owned();
    refused(Box::new(move || drop(Runtime::builder().load(path).check())));
    let path = folder.path().to_owned();
    refused(Box::new(move || drop(Runtime::builder().load(path).build())));
    scheduler.shutdown().expect("this is no worker");
}
