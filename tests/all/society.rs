//! Guests among processes: what they start, say, hear and watch, and what they are refused. `WIPPY_TEST_SIZE=long` has a
//! hundred thousand of them at once and a million messages; `WIPPY_TEST_CROWD` says another number of processes.

/// Which entries, hosts and processes an entry's `process:` block lets a guest have to do with, and how its bounds answer.
mod rules;

/// The same as flat functions of a core module.
mod flat;

use std::time::Duration;

use parking_lot::Mutex;
use wippy::process::{Exit, Payload, ProcessHandle, Start, State};
use wippy::reactor::Clock;

use super::support::{House, app, fixture, guest_index, run_in};

/// Every function of the guest as an entry of its own, with nothing forbidden.
const ENTRIES: [(&str, &str); 10] = [
    ("perform", "perform"),
    ("ring", "ring"),
    ("ring-node", "ring-node"),
    ("cascade", "cascade"),
    ("cascade-node", "cascade-node"),
    ("flood", "flood"),
    ("sink", "sink"),
    ("echo", "echo"),
    ("idle", "idle"),
    ("end", "end"),
];

fn entries() -> String {
    let entry = |(name, method): &(&str, &str)| {
        format!(
            "- {{ name: {name}, kind: process.wasm, guest: society, method: {method}, \
             imports: [wippy:process, wasi:clocks, wasi:poll], \
             process: {{ spawn: ['app:*'], hosts: ['app:*'], signal: any }} }}\n"
        )
    };
    let alone = "- { name: deaf, kind: process.wasm, guest: sleeper, method: sleep-ms, imports: [wasi:clocks, wasi:poll] }\n\
                 - { name: small, kind: process.host, host: { max_processes: 1, mailbox: { max_messages: 3, max_bytes: 4096, drop_oldest: [news] } } }\n";
    ENTRIES.iter().map(entry).chain([alone.to_owned()]).collect()
}

fn house() -> House {
    House::new(&entries())
}

/// One at a time: they take some gigabytes when they are large.
static CROWDED: Mutex<()> = Mutex::new(());

/// A house for very many processes.
fn large_house() -> House {
    let index = guest_index(&entries()).replace(
        "name: processes, kind: process.host }",
        "name: processes, kind: process.host, host: { max_processes: 4000000 } }",
    );
    House::of(app(&[("_index.yaml", &index)]), Clock::real())
}

/// Starts an entry on a host.
fn start_on(house: &House, host: &str, entry: &str, input: impl IntoIterator<Item = Payload>) -> ProcessHandle {
    let id = |name: &str| format!("app:{name}").parse().expect("an ID");
    let start = Start::new(id(entry), id(host)).input(input);
    house.runtime.manager().spawn(start).unwrap_or_else(|error| panic!("{error}"))
}

fn start(house: &House, entry: &str, script: &[&str]) -> ProcessHandle {
    start_on(house, "processes", entry, [script.iter().map(|line| Payload::from(*line)).collect()])
}

/// The answers of a script; pids read as their numbers in the order in which they come up: `P1`, `P2` and so on.
pub(crate) fn answers(process: &ProcessHandle) -> Vec<String> {
    let Exit::Returned(Payload::List(answers)) = process.wait() else { panic!("{}", process.wait()) };
    let mut known = Vec::new();
    answers.iter().map(|answer| named(answer.as_str().expect("text"), &mut known)).collect()
}

/// Has an entry perform a script.
fn perform_at(house: &House, entry: &str, script: &[&str]) -> Vec<String> {
    answers(&start(house, entry, script))
}

fn perform(house: &House, script: &[&str]) -> Vec<String> {
    perform_at(house, "perform", script)
}

/// The text with numbers for pids.
fn named(text: &str, known: &mut Vec<String>) -> String {
    let mut named = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{app:") {
        let Some((pid, after)) = after.split_once('}') else { break };
        let at = known.iter().position(|one| one == pid).unwrap_or_else(|| {
            known.push(pid.to_owned());
            known.len() - 1
        });
        named.push_str(&format!("{before}P{}", at + 1));
        rest = after;
    }
    named + rest
}

/// How many processes there are at once, and how many messages a flood has.
fn sizes() -> (u32, u32) {
    let said = std::env::var("WIPPY_TEST_CROWD").ok().and_then(|count| count.parse().ok());
    let is_long = std::env::var("WIPPY_TEST_SIZE").is_ok_and(|size| size == "long");
    let (nodes, messages) = if is_long { (100_000, 1_000_000) } else { (1_000, 10_000) };
    (said.unwrap_or(nodes), messages)
}

#[test]
fn a_token_goes_round() {
    let _alone = CROWDED.lock();
    let (house, (nodes, _)) = (large_house(), sizes());
    let exit = start_on(&house, "processes", "ring", [nodes.into(), 10.into()]).wait();
    let text = format!("{nodes} processes passed the token round 10 times: {} hops", nodes * 10);
    assert_eq!(exit, Exit::Returned([("ok", Payload::from(text))].into_iter().collect()));
    assert_all_gone(&house);
}

#[test]
fn a_chain_of_links_ends_with_its_last() {
    let _alone = CROWDED.lock();
    let (house, (nodes, _)) = (large_house(), sizes());
    let Exit::Returned(said) = start_on(&house, "processes", "cascade", [nodes.into()]).wait() else {
        panic!("it returns")
    };
    let said = said.get("ok").and_then(Payload::as_str).expect("a text");
    let expected = format!("{nodes} linked processes ended with the last of them: failed: linked process");
    assert!(said.starts_with(&expected), "{said}");
    assert_all_gone(&house);
}

#[test]
fn a_flood_waits_for_room_and_loses_nothing() {
    let (house, (_, messages)) = (house(), sizes());
    let exit = start_on(&house, "processes", "flood", [messages.into(), 100.into()]).wait();
    let text = format!("the sink returned {}", u64::from(messages) * 100);
    assert_eq!(exit, Exit::Returned([("ok", Payload::from(text))].into_iter().collect()));
    assert_all_gone(&house);
}

/// Nobody is left, as soon as those that were told to end have.
#[track_caller]
fn assert_all_gone(house: &House) {
    let patience = std::time::Instant::now() + Duration::from_secs(600);
    while house.runtime.manager().hosts().any(|host| host.live() > 0) {
        assert!(std::time::Instant::now() < patience, "processes are left");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn commands_show_a_ring_a_cascade_and_a_flood() {
    for (words, expected) in [
        (["ring", "100", "10"], "100 processes passed the token round 10 times: 1000 hops\n"),
        (["flood", "10000", "100"], "the sink returned 1000000\n"),
    ] {
        let said = run_in(&fixture("apps/society"), ["run"].into_iter().chain(words));
        assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(0), expected, ""));
    }
    let said = run_in(&fixture("apps/society"), ["run", "cascade", "20"]);
    assert!(said.stdout.starts_with("20 linked processes ended with the last of them: failed: linked"), "{said:?}");
}

#[test]
fn a_guest_knows_who_it_is_and_who_started_it() {
    let house = house();
    let said = perform(&house, &["self", "spawn app:end true", "spawn app:perform [ t:self ] monitor", "next-event"]);
    assert_eq!(said[0], "P1 app:perform nobody");
    assert_eq!(said[1], "P2");
    assert_eq!(said[3], "exit P3 ExitKind::Returned [ t:P3 app:perform P1 ]: returned [\"P3 app:perform P1\"]");
}

#[test]
fn values_of_every_kind_come_back_as_they_went() {
    let house = house();
    let payloads = "nil true false i:-9223372036854775808 u:18446744073709551615 f:-2.5 t:text b:70000 [ ] { } \
                    [ i:1 [ t:a { k nil l [ b:3 ] } ] false ] { a i:1 b { c [ u:18446744073709551615 ] } }";
    let said = perform(&house, &["spawn app:echo", &format!("send $ back {payloads}"), "receive", "cancel $ enough"]);
    assert_eq!(said, ["P1", "ok", &format!("message P1 back {payloads}"), "ok"]);
    assert_all_gone(&house);
}

#[test]
fn a_wait_ends_with_its_timeout_and_not_before() {
    let clock = Clock::manual();
    let house = House::with_clock(&entries(), clock.clone());
    for (wait, content) in [("receive", "a message"), ("next-event", "an event"), ("next", "either")] {
        let process = start(&house, "perform", &[&format!("{wait} 0"), &format!("{wait} 1000")]);
        // A mailbox is what it waits for, not a completion.
        while process.state() != State::Idle {
            std::thread::yield_now();
        }
        clock.advance(Duration::from_millis(999)).expect("a manual clock");
        assert_eq!(process.exit(), None, "{content}");
        clock.advance(Duration::from_millis(1)).expect("a manual clock");
        let nothing: Payload = [Payload::from("nothing"), Payload::from("nothing")].into_iter().collect();
        assert_eq!(process.wait(), Exit::Returned(nothing), "{content}");
    }
}

#[test]
fn a_mailbox_is_polled_beside_a_timer() {
    let house = house();
    let said = perform(
        &house,
        &[
            "poll messages 0",
            "send @ hello t:me",
            "poll messages 3600000",
            "poll signals 3600000",
            "poll events 1",
            "receive",
            "monitor {app:processes|0xfffff}",
            "poll events 3600000",
            "poll messages 1",
            "next",
            "spawn app:echo",
            "send $ back",
            "poll messages 3600000",
            "terminate $",
        ],
    );
    let ready = |at: &[usize]| format!("{at:?}");
    assert_eq!(said[0], ready(&[1]));
    assert_eq!(said[2..5], [ready(&[0]), ready(&[0]), ready(&[1])]);
    assert_eq!(said[7..9], [ready(&[0]), ready(&[1])]);
    assert!(said[9].starts_with("exit P2 ExitKind::NoProcess: failed: noproc"), "{}", said[9]);
    assert_eq!(said[12], ready(&[0]));
}

#[test]
fn ends_are_told_with_all_that_is_known_of_them() {
    let house = house();
    let said = perform(
        &house,
        &[
            "spawn-monitored app:end true",
            "next-event",
            "spawn-monitored app:end false",
            "next-event",
            "spawn app:idle",
            "monitor $",
            "monitor $",
            "terminate $",
            "next-event",
            "monitor $",
            "next-event",
            "spawn app:idle monitor",
            "unmonitor $",
            "terminate $",
            "next-event 50",
        ],
    );
    assert_eq!(said[1], "exit P1 ExitKind::Returned t:well: returned \"well\"");
    assert!(said[3].starts_with("exit P2 ExitKind::Trapped: trapped: "), "{}", said[3]);
    assert_eq!(said[5..8], ["ok", "ErrorCode::Already: `P4` monitors `P3` already", "ok"]);
    assert_eq!(said[8], "exit P3 ExitKind::Terminated: terminated");
    assert_eq!(said[10], "exit P3 ExitKind::NoProcess: failed: noproc: process `P3` has ended, or never was");
    assert_eq!(said[12..], ["ok", "ok", "nothing"]);
}

#[test]
fn links_end_together_unless_they_are_trapped_or_undone() {
    let house = house();
    let script =
        ["trap-links true", "spawn-linked app:idle", "terminate $", "next-event", "spawn app:idle link", "unlink $"];
    let said =
        perform(&house, &[&script[..], &["terminate $", "next-event 50", "spawn app:end true", "link $"]].concat());
    assert_eq!(said[3], "link-down P1 ExitKind::Terminated: terminated");
    assert_eq!(said[5..8], ["ok", "ok", "nothing"]);
    // Without a trap the other one's end is its own: the parent sees how.
    let linked = start(&house, "perform", &["spawn app:idle", "link $", "terminate $", "receive"]);
    let exit = linked.wait().to_string();
    assert!(exit.starts_with("failed: linked process `{app:processes|0x"), "{exit}");
    assert!(exit.ends_with("failed: terminated"), "{exit}");
    // One that is started to trap links lives on.
    let said = perform(&house, &["spawn app:echo trap-links link", "send $ a", "receive", "cancel $ enough"]);
    assert_eq!(said[2], "message P1 a");
}

#[test]
fn a_name_is_as_good_as_a_pid_until_its_end() {
    let house = house();
    let said = perform(
        &house,
        &[
            "spawn app:echo name=mirror monitor",
            "lookup mirror",
            "send mirror a i:1",
            "receive",
            "register second $",
            "send second b",
            "receive",
            "unregister second",
            "send second c",
            "register me",
            "lookup me",
            "register mirror @",
            "spawn app:echo name=mirror message=hello",
            "receive",
            "cancel mirror enough",
            "next-event",
            "lookup mirror",
            "unregister mirror",
            "register {odd",
        ],
    );
    assert_eq!(said[..4], ["P1", "P1", "ok", "message P1 a i:1"]);
    assert_eq!(said[4..8], ["ok", "ok", "message P1 b", "ok"]);
    let unresolved = "it is neither a pid, as in `P2`, nor the name of a process";
    assert_eq!(said[8], format!("ErrorCode::NoName: could not resolve `second`: {unresolved}"));
    // The example of the text before is the first process, which is this one.
    assert_eq!(said[9..11], ["ok", "P2"]);
    assert_eq!(said[11], "ErrorCode::Taken: the name `mirror` is taken by `P1`");
    assert_eq!(said[12..15], ["P1", "message P1 first t:hello", "ok"], "whoever has the name got the message");
    assert_eq!(said[15], "exit P1 ExitKind::Returned i:3: returned 3");
    assert_eq!(said[16], "nothing");
    assert_eq!(said[17], "ErrorCode::NoName: no process is called `mirror`");
    assert!(said[18].starts_with("ErrorCode::Invalid: `{odd` is no name for a process"), "{}", said[18]);
}

#[test]
fn a_cancel_is_a_word_to_those_who_listen_and_an_end_to_others() {
    let house = house();
    let said = perform(
        &house,
        &[
            "spawn app:echo monitor",
            "cancel $ this is enough",
            "next-event",
            "spawn app:deaf i:3600000 monitor",
            "send $ lost",
            "send $ lost",
            "cancel $ this is enough",
            "next-event",
            "cancel @ from itself",
            "next-event",
        ],
    );
    assert_eq!(said[2], "exit P1 ExitKind::Returned i:0: returned 0");
    assert_eq!(said[7], "exit P2 ExitKind::Cancelled: cancelled: this is enough");
    assert_eq!(said[9], "cancel P3 from itself");
}

#[test]
fn a_start_has_its_own_limits_and_first_messages() {
    let house = house();
    let said = perform(
        &house,
        &[
            "spawn app:sink i:1 monitor message=seven",
            "next-event",
            "spawn app:idle monitor max-execution=1000000",
            "next-event",
            "spawn app:end true monitor max-memory=65536",
            "next-event",
            "spawn app:perform [ t:receive ] monitor message=one message=two",
            "next-event",
            "spawn app:idle monitor max-fuel=1000",
        ],
    );
    assert_eq!(said[1], "exit P1 ExitKind::Returned i:0: returned 0");
    assert!(said[3].starts_with("exit P2 ExitKind::LimitExceeded: limit `max_execution` exceeded"), "{}", said[3]);
    assert!(said[5].starts_with("exit P3 ExitKind::LimitExceeded: limit `max_memory` exceeded"), "{}", said[5]);
    assert_eq!(
        said[7],
        "exit P4 ExitKind::Returned [ t:message P5 first t:one ]: returned [\"message P5 first t:one\"]"
    );
    assert!(
        said[8].starts_with("ErrorCode::Invalid: `app:idle`: `max_stack` and `max_fuel` are compiled in"),
        "{}",
        said[8]
    );
}
