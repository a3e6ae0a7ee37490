//! What becomes of inputs: each once, in order or not, within the window, tried again, stopped, ended.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use parking_lot::Mutex;
use wippy::Runtime;
use wippy::batch::{Done, Fed, Feed, ItemError, Map, Next, Poker};
use wippy::process::{
    ArgumentError, Birth, Exit, Failure, FailureKind, Payload, Process, Program, Progress, ResultStyle, SpawnError,
    Start,
};
use wippy::registry::{EntryId, LimitsSpec};

use crate::support::text_app;

/// What the items do: told by their first argument.
#[derive(Default)]
struct Shared {
    live: AtomicUsize,
    live_most: AtomicUsize,
    created: AtomicU64,
    /// Whether those that wait may go.
    open: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
    /// How often each item has been tried.
    tries: Mutex<std::collections::BTreeMap<i64, u32>>,
}

impl Shared {
    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        std::mem::take(&mut *self.wakers.lock()).into_iter().for_each(Waker::wake);
    }
}

/// `["value", n]` returns n; `["wait", n]` when the gate is open; `["fail", n, times]` fails so often before.
struct Items(EntryId, Arc<Shared>);

impl Program for Items {
    fn entry(&self) -> &EntryId {
        &self.0
    }

    fn check(&self, input: &[Payload]) -> Result<(), ArgumentError> {
        match input {
            [Payload::String(_), Payload::Int(_), ..] => Ok(()),
            other => Err(ArgumentError { message: format!("{} arguments", other.len()) }),
        }
    }

    fn read_arguments(&self, _: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        Ok(Vec::new())
    }

    fn create(&self, birth: Birth) -> Box<dyn Process> {
        self.1.created.fetch_add(1, Ordering::SeqCst);
        let live = self.1.live.fetch_add(1, Ordering::SeqCst) + 1;
        self.1.live_most.fetch_max(live, Ordering::SeqCst);
        Box::new(Item { input: birth.input, shared: Arc::clone(&self.1) })
    }

    fn result_style(&self) -> ResultStyle {
        ResultStyle::Result
    }
}

struct Item {
    input: Vec<Payload>,
    shared: Arc<Shared>,
}

impl Process for Item {
    fn step(&mut self, context: &mut Context<'_>) -> Progress {
        let number = self.input[1].as_i64().expect("checked");
        let value = |name: &str| Payload::parse_json(&format!("{{\"{name}\": {number}}}")).expect("JSON");
        match self.input[0].as_str().expect("checked") {
            "wait" if !self.shared.open.load(Ordering::SeqCst) => {
                self.shared.wakers.lock().push(context.waker().clone());
                // Somebody may have opened it meanwhile, and then nobody wakes.
                if self.shared.open.load(Ordering::SeqCst) {
                    context.waker().wake_by_ref();
                }
                return Progress::Blocked;
            }
            "fail" => {
                let mut tries = self.shared.tries.lock();
                let tries = tries.entry(number).or_default();
                *tries += 1;
                if i64::from(*tries) <= self.input[2].as_i64().expect("a count") {
                    return Progress::Exit(Exit::Failed(Failure::new(FailureKind::Host, "not yet")));
                }
            }
            "err" => return Progress::Exit(Exit::Returned(value("err"))),
            _ => {}
        }
        Progress::Exit(Exit::Returned(value("ok")))
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.shared.live.fetch_sub(1, Ordering::SeqCst);
    }
}

struct World {
    runtime: Runtime,
    shared: Arc<Shared>,
}

impl World {
    fn new() -> Self {
        Self::with("")
    }

    fn with(entries: &str) -> Self {
        let shared = Arc::<Shared>::default();
        let items = Items("native:items".parse().expect("an ID"), Arc::clone(&shared));
        let app = text_app(&[], entries);
        let runtime = Runtime::builder().load(app.path()).workers(2).program(items).build().expect("a runtime");
        Self { runtime, shared }
    }

    fn map<I>(&self, inputs: I) -> Map<wippy::batch::Inputs<I::IntoIter>>
    where
        I: IntoIterator<Item = Vec<Payload>, IntoIter: Send>,
    {
        self.runtime.map("native:items", inputs).expect("an entry and a host")
    }
}

fn item(what: &str, number: i64) -> Vec<Payload> {
    vec![what.into(), number.into()]
}

fn values(count: i64) -> impl Iterator<Item = Vec<Payload>> + Send {
    (0..count).map(|number| item("value", number))
}

fn number(done: &Done) -> i64 {
    done.result.as_ref().expect("a value").as_i64().expect("a number")
}

#[test]
fn results_come_in_the_order_of_the_inputs() {
    let world = World::new();
    for window in [1, 2, 7, 1000] {
        let results: Vec<_> = world.map(values(2000)).window(window).map(|done| (done.index, number(&done))).collect();
        let expected: Vec<_> = (0..2000_i64).map(|number| (number.unsigned_abs(), number)).collect();
        assert_eq!(results, expected, "a window of {window}");
    }
    assert_eq!(world.map(values(0)).count(), 0);
}

#[test]
fn unordered_results_are_the_same_and_none_waits_for_another() {
    let world = World::new();
    let inputs = std::iter::once(item("wait", 0)).chain(values(500).skip(1));
    let mut map = world.map(inputs).window(4).unordered();
    let mut seen: BTreeSet<_> = map.by_ref().take(499).map(|done| number(&done)).collect();
    assert_eq!(seen, (1..500).collect(), "the first one waits, and nobody for it");
    world.shared.open();
    seen.extend(map.map(|done| number(&done)));
    assert_eq!(seen, (0..500).collect());
}

#[test]
fn no_more_items_are_in_flight_than_the_window_has_room_for() {
    let world = World::new();
    for (window, most) in [(1, 1), (5, 5)] {
        let shared = &world.shared;
        shared.open.store(false, Ordering::SeqCst);
        shared.live_most.store(0, Ordering::SeqCst);
        let mut map = world.map((0..20).map(|number| item("wait", number))).window(window);
        assert!(matches!(map.next_within(Duration::from_millis(5)), Next::Later));
        assert_eq!((map.in_flight(), map.begun()), (window, window as u64));
        shared.open();
        assert_eq!(map.count(), 20);
        assert_eq!(shared.live_most.load(Ordering::SeqCst), most);
    }
}

#[test]
fn in_order_nothing_begins_while_too_much_waits_for_its_turn() {
    let world = World::new();
    let inputs = std::iter::once(item("wait", 0)).chain(values(1000).skip(1));
    let mut map = world.map(inputs).window(2);
    for _ in 0..3 {
        assert!(matches!(map.next_within(Duration::from_millis(20)), Next::Later));
    }
    assert!(map.begun() <= 2 + 8 * 2 + 2, "{} of 1000 have begun", map.begun());
    world.shared.open();
    assert_eq!(map.map(|done| number(&done)).collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_failure_is_the_result_of_its_item_and_is_tried_again_as_often_as_wanted() {
    let world = World::new();
    let inputs = || {
        [
            item("value", 1),
            item("err", 2),
            vec!["fail".into(), 3.into(), 2.into()],
            vec!["fail".into(), 4.into(), 1.into()],
            vec!["no number".into()],
        ]
    };
    let what = |done: &Done| match &done.result {
        Ok(value) => (done.attempts, value.to_string()),
        Err(error) => (done.attempts, format!("{}: {error}", error.cause())),
    };
    let results = |retries| {
        world.shared.tries.lock().clear();
        world.map(inputs()).retries(retries).map(|done| what(&done)).collect::<Vec<_>>()
    };
    let refused = (0, "spawn: `native:items`: 1 arguments".to_owned());
    let not_yet = "host: failed: not yet".to_owned();
    let expected = [
        (1, "1".to_owned()),
        (1, "error: returned an error: 2".to_owned()),
        (1, not_yet.clone()),
        (1, not_yet.clone()),
        refused.clone(),
    ];
    assert_eq!(results(0), expected);
    let again = [
        (1, "1".to_owned()),
        (2, "error: returned an error: 2".to_owned()),
        (2, not_yet),
        (2, "4".to_owned()),
        refused.clone(),
    ];
    assert_eq!(results(1), again);
    assert_eq!(results(2)[2..4], [(3, "3".to_owned()), (2, "4".to_owned())]);
}

#[test]
fn a_full_host_makes_items_wait_and_none_fail() {
    let world = World::with("- { name: small, kind: process.host, host: { max_processes: 2 } }\n");
    let manager = world.runtime.manager();
    let map = |inputs: Vec<Vec<Payload>>| {
        let small = "app:small".parse().expect("an ID");
        let entry = "native:items".parse().expect("an ID");
        world.runtime.map_on(&entry, Some(small), wippy::batch::Inputs(inputs.into_iter())).expect("a host")
    };
    let results = map(values(300).collect()).window(50).retries(1);
    assert_eq!(results.map(|done| number(&done)).collect::<Vec<_>>(), (0..300).collect::<Vec<_>>());
    // Others have all the room.
    let start = || {
        Start::new("native:items".parse().expect("an ID"), "app:small".parse().expect("an ID")).input(item("wait", 0))
    };
    let others = [manager.spawn(start()).expect("room"), manager.spawn(start()).expect("room")];
    let mut waiting = map(values(3).collect());
    assert!(matches!(waiting.next_within(Duration::from_millis(5)), Next::Later));
    assert_eq!(waiting.in_flight(), 0);
    // As a stream there is nobody who would wake it.
    let mut stream = map(values(1).collect());
    match Pin::new(&mut stream).poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Done { result: Err(ItemError::NotStarted(SpawnError::Busy { .. })), .. })) => {}
        other => panic!("{other:?}"),
    }
    world.shared.open();
    others.iter().for_each(|other| assert!(other.wait().is_normal()));
    assert_eq!(waiting.count(), 3);
}

#[test]
fn who_stops_gets_what_has_begun_and_who_terminates_gets_it_at_once() {
    let world = World::new();
    let inputs = || (0..100).map(|number| item("wait", number));
    let mut map = world.map(inputs()).window(3);
    assert!(matches!(map.next_within(Duration::ZERO), Next::Later));
    map.stop();
    assert!(matches!(map.next_within(Duration::from_millis(5)), Next::Later));
    world.shared.open();
    assert_eq!(map.map(|done| number(&done)).collect::<Vec<_>>(), [0, 1, 2]);

    world.shared.open.store(false, Ordering::SeqCst);
    let mut map = world.map(inputs()).window(3).retries(5);
    assert!(matches!(map.next_within(Duration::ZERO), Next::Later));
    map.terminate();
    let causes: Vec<_> = map.map(|done| (done.index, done.result.expect_err("by force").cause())).collect();
    assert_eq!(causes, [(0, "terminated"), (1, "terminated"), (2, "terminated")]);
}

#[test]
fn a_map_that_is_dropped_ends_what_it_has_begun() {
    let world = World::new();
    let events = world.runtime.subscribe();
    let mut map = world.map((0..9).map(|number| item("wait", number))).window(3);
    assert!(matches!(map.next_within(Duration::ZERO), Next::Later));
    drop(map);
    let mut ended = 0;
    while ended < 3 {
        match events.next_within(Duration::from_secs(60)) {
            Some(wippy::process::LifecycleEvent::Ended { exit, .. }) => {
                assert_eq!(*exit, Exit::Terminated);
                ended += 1;
            }
            Some(_) => {}
            None => panic!("{ended} have ended"),
        }
    }
}

/// Has an input each time somebody gave it one.
struct Given(Arc<Mutex<Vec<Fed>>>);

impl Feed for Given {
    fn next(&mut self) -> Fed {
        self.0.lock().pop().unwrap_or(Fed::Later)
    }
}

#[test]
fn a_feed_that_has_nothing_yet_is_asked_again_when_somebody_pokes() {
    let world = World::new();
    let given = Arc::new(Mutex::new(Vec::new()));
    let entry: EntryId = "native:items".parse().expect("an ID");
    let poker = Poker::default();
    let map = world.runtime.map_on(&entry, None, Given(Arc::clone(&given))).expect("a host");
    let mut map = map.poked_by(&poker);
    assert!(matches!(map.next_within(Duration::ZERO), Next::Later));
    let giver = std::thread::spawn({
        let given = Arc::clone(&given);
        move || {
            given.lock().push(Fed::Item(item("value", 5)));
            poker.poke();
        }
    });
    assert_eq!(map.next().map(|done| number(&done)), Some(5));
    giver.join().expect("no panic");
    given.lock().push(Fed::End);
    assert!(map.next().is_none());
}

#[test]
fn an_input_that_is_skipped_has_an_index_and_no_result() {
    let world = World::new();
    let entry: EntryId = "native:items".parse().expect("an ID");
    for window in [1, 8] {
        let fed = [
            Fed::End,
            Fed::Unreadable("torn".to_owned()),
            Fed::Skip,
            Fed::Item(item("value", 7)),
            Fed::Skip,
            Fed::Item(item("value", 5)),
        ];
        let given = Given(Arc::new(Mutex::new(fed.into())));
        let map = world.runtime.map_on(&entry, None, given).expect("a host").window(window).starting_at(10);
        let results: Vec<_> = map.map(|done| (done.index, done.result.map_err(|error| error.to_string()))).collect();
        let expected = [(10, Ok(5.into())), (12, Ok(7.into())), (14, Err("torn".to_owned()))];
        assert_eq!(results, expected);
    }
}

#[test]
fn a_stream_gives_the_same_on_any_executor() {
    let world = World::new();
    let mut map = world.map(values(1000)).window(8);
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut results, mut parked) = (Vec::new(), 0);
    loop {
        match Pin::new(&mut map).poll_next(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(done)) => results.push(number(&done)),
            Poll::Ready(None) => break,
            Poll::Pending => {
                parked += 1;
                std::thread::park();
            }
        }
    }
    assert_eq!(results, (0..1000).collect::<Vec<_>>());
    assert!(parked > 0, "it had to wait at times");
}

#[test]
fn limits_of_items_come_before_those_of_the_entry() {
    let world = World::with("- { name: spin, kind: process.wasm, guest: unruly, method: loop-for-ever }\n");
    let limits = LimitsSpec { max_cpu: Some(Duration::from_millis(2)), ..LimitsSpec::default() };
    let map = world.runtime.map("app:spin", [[0i64; 0]]).expect("an entry").limits(limits);
    let causes: Vec<_> = map.map(|done| done.result.expect_err("a limit").cause()).collect();
    assert_eq!(causes, ["limit"]);
}

#[test]
fn what_an_item_writes_is_kept_up_to_a_bound() {
    let world = World::with("- { name: args, kind: process.wasm, guest: args, method: _start }\n");
    let inputs = [vec!["--err", "oh"], vec!["--exit", "3"]];
    let mut output = world.runtime.map("app:args", inputs).expect("an entry").capture(20).map(|done| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let Done { output, result, .. } = done;
        (text(&output.stdout), text(&output.stderr), output.dropped, result.map_err(|error| error.to_string()))
    });
    let whole =
        ["argc=3\nargv[0]=args\nargv[1]=--err\nargv[2]=oh\n", "argc=3\nargv[0]=args\nargv[1]=--exit\nargv[2]=3\n"];
    let dropped = whole.map(|text| text.len() as u64 - 20);
    let first = (whole[0][..20].to_owned(), "oh\n".to_owned(), dropped[0], Ok(Payload::Nil));
    assert_eq!(output.next(), Some(first));
    let second = (whole[1][..20].to_owned(), String::new(), dropped[1], Err("exited with code 3".to_owned()));
    assert_eq!(output.next(), Some(second));
    assert_eq!(output.next(), None);
}
