use super::*;

/// The guest under an entry with this `process:` block.
fn with_rules(rules: &str) -> House {
    House::new(&format!(
        "{}- {{ name: bound, kind: process.wasm, guest: society, method: perform, \
         imports: [wippy:process, wasi:clocks, wasi:poll]{rules} }}\n",
        entries()
    ))
}

#[test]
fn nothing_is_started_that_is_not_listed() {
    let house = with_rules("");
    let said = perform_at(&house, "bound", &["spawn app:end true"]);
    let hint = "list it in `process: { spawn: [...] }` of its entry";
    assert_eq!(said, [format!("ErrorCode::NotAllowed: `P1` may not start `app:end`: {hint}")]);

    let house = with_rules(", process: { spawn: ['app:e*', 'app:idle'] }");
    let said = perform_at(
        &house,
        "bound",
        &[
            "spawn app:end true",
            "spawn app:echo",
            "cancel $ enough",
            "spawn app:idle",
            "terminate $",
            "spawn app:idler",
        ],
    );
    assert_eq!(said[..5], ["P1", "P2", "ok", "P3", "ok"]);
    assert_eq!(said[5], format!("ErrorCode::NotAllowed: `P4` may not start `app:idler`: {hint}"));
}

#[test]
fn hosts_are_the_own_one_or_those_that_are_listed() {
    let hint = "list the host in `process: { hosts: [...] }` of its entry";
    let script = ["spawn app:end true", "spawn app:end true host=app:processes", "spawn app:end true host=app:small"];
    let house = with_rules(", process: { spawn: ['*'] }");
    let said = perform_at(&house, "bound", &script);
    assert_eq!(said[..2], ["P1", "P2"]);
    assert_eq!(said[2], format!("ErrorCode::NotAllowed: `P3` may not start `app:small`: {hint}"));

    let house = with_rules(", process: { spawn: ['*'], hosts: ['app:small'] }");
    let said = perform_at(&house, "bound", &script);
    let refused = format!("ErrorCode::NotAllowed: `P1` may not start `app:processes`: {hint}");
    assert_eq!(said, [refused.as_str(), refused.as_str(), "P2"]);
}

#[test]
fn children_are_signalled_and_nobody_else_without_leave() {
    let house = with_rules(", process: { spawn: ['*'] }");
    let stranger = start_on(&house, "processes", "echo", []);
    let stranger_pid = stranger.pid().to_string();
    house.runtime.manager().register("stranger", stranger.pid()).expect("a free name");
    let script = [
        format!("send {stranger_pid} a"),
        format!("send-wait {stranger_pid} a"),
        format!("monitor {stranger_pid}"),
        format!("link {stranger_pid}"),
        format!("cancel {stranger_pid} a"),
        format!("terminate {stranger_pid}"),
        format!("register mine {stranger_pid}"),
        "unregister stranger".to_owned(),
        // A name that somebody has is no way round.
        "spawn app:echo name=stranger message=a".to_owned(),
    ];
    let deeds =
        ["send to", "send to", "monitor", "link with", "cancel", "terminate", "give a name to", "give a name to"];
    let said = perform_at(&house, "bound", &script.each_ref().map(String::as_str));
    for (said, deed) in said.iter().zip(deeds) {
        let hint = "it is not its child; `process: { signal: any }` in its entry allows it";
        assert_eq!(
            *said,
            format!("ErrorCode::NotAllowed: `P1` may not {deed} `P2`: {hint}")
                .replace("P1", &own(said))
                .replace("P2", &other(said))
        );
    }
    assert!(said[8].starts_with("ErrorCode::NotAllowed: `app:echo`: `P"), "{}", said[8]);
    assert_eq!(stranger.exit(), None);
    assert_eq!(house.runtime.manager().lookup("stranger").as_ref(), Some(stranger.pid()));

    // Its children are its own to signal, and it is theirs to talk to.
    let said = perform_at(&house, "bound", &["spawn app:echo", "send $ a", "receive", "register c $", "cancel $ a"]);
    assert_eq!(said, ["P1", "ok", "message P1 a", "ok", "ok"]);
    let house = with_rules(", process: { signal: any }");
    let stranger = start_on(&house, "processes", "echo", []);
    let said = perform_at(&house, "bound", &[&format!("send {} a", stranger.pid()), "receive"]);
    assert_eq!(said, ["ok", "message P1 a"]);
}

/// The pids of a refusal, as they are numbered in it.
fn own(said: &str) -> String {
    said.split('`').nth(1).unwrap_or_default().to_owned()
}

fn other(said: &str) -> String {
    said.split('`').nth(3).unwrap_or_default().to_owned()
}

#[test]
fn what_can_not_be_delivered_says_why_with_the_ids() {
    let house = house();
    let said = perform(
        &house,
        &[
            "spawn app:end true monitor",
            "next-event",
            "send $ late",
            "send-wait $ late",
            "link $",
            "cancel $ late",
            "send {app:processes|0xfffff} a",
            "send {elsewhere@app:processes|0x00001} a",
            "send {app:nowhere|0x00001} a",
            "send {app:processes} a",
            "send nobody a",
            "spawn app:nothing",
            "spawn nothing",
            "spawn app:end true host=app:nowhere",
            "spawn app:end true host=app:end",
            "spawn app:end i:1",
            "send @ @reserved",
            "send-empty-topic @",
            "send-tree @ empty",
            "send-tree @ missing",
            "send-tree @ backwards",
            "send-tree @ shared",
            "send-tree @ loose",
            "send-tree @ deep",
            "receive 0",
        ],
    );
    let gone = "ErrorCode::NoProcess: process `P1` not found: it has ended, or never was";
    assert_eq!(said[2..6], [gone; 4]);
    assert_eq!(said[6], "ErrorCode::NoProcess: process `P2` not found: it has ended, or never was");
    assert_eq!(said[7], "ErrorCode::Foreign: `{elsewhere@app:processes|0x00001}` is no process of this runtime");
    assert_eq!(said[8], "ErrorCode::Foreign: `P3` is no process of this runtime");
    assert!(said[9].starts_with("ErrorCode::Invalid: `P4` is not a pid: expected `|`"), "{}", said[9]);
    assert!(said[10].starts_with("ErrorCode::NoName: could not resolve `nobody`"), "{}", said[10]);
    assert!(said[11].starts_with("ErrorCode::NoEntry: no process entry `app:nothing`; there are "), "{}", said[11]);
    assert!(said[12].starts_with("ErrorCode::Invalid: `nothing` has no namespace"), "{}", said[12]);
    assert!(said[13].starts_with("ErrorCode::NoHost: no host `app:nowhere`; there are "), "{}", said[13]);
    assert!(said[14].starts_with("ErrorCode::NoHost: no host `app:end`; there are "), "{}", said[14]);
    assert!(said[15].starts_with("ErrorCode::Invalid: `app:end`: argument 1"), "{}", said[15]);
    assert!(said[16].starts_with("ErrorCode::Invalid: `@reserved` is no topic"), "{}", said[16]);
    assert_eq!(said[17], "ErrorCode::Invalid: a topic must not be empty");
    assert_eq!(said[18], "ErrorCode::Invalid: a payload without nodes: the value itself is its first node");
    assert!(said[19..23].iter().all(|said| said.starts_with("ErrorCode::Invalid: node ")), "{said:#?}");
    assert_eq!(said[23], "ErrorCode::TooLarge: node 99871 nests deeper than 128 levels");
    assert_eq!(said[24], "nothing");
}

#[test]
fn bounds_of_a_mailbox_refuse_what_they_do_not_take_and_lose_nothing() {
    let house = house();
    let said = perform(
        &house,
        &[
            "spawn app:idle host=app:small monitor",
            "fill $ a 10",
            "send $ large b:4096",
            "spawn app:idle host=app:small",
            "terminate $1",
            "next-event",
        ],
    );
    assert_eq!(said[1], "3 ErrorCode::Busy: the mailbox of `P1` is full: its `max_messages` is 3; try again");
    assert!(said[2].starts_with("ErrorCode::TooLarge: a message of 4"), "{}", said[2]);
    assert!(said[2].ends_with(" bytes to `P1`, whose mailbox has room for 4096"), "{}", said[2]);
    assert!(
        said[3].starts_with("ErrorCode::Busy: host `app:small` is full: 1 processes, and its `max_processes` is 1"),
        "{}",
        said[3]
    );

    // Its own mailbox, read back: what was accepted is there, in order, and nothing else.
    let perform_on = |host: &str, script: &[&str]| {
        answers(&start_on(&house, host, "perform", [script.iter().map(|line| Payload::from(*line)).collect()]))
    };
    let own = ["send @ a i:1", "send @ a i:2", "send @ a i:3", "send @ a i:4", "send-wait @ a i:5", "drain"];
    let said = perform_on("small", &own);
    let busy = "ErrorCode::Busy: the mailbox of `P1` is full: its `max_messages` is 3; try again";
    assert_eq!(said[..5], ["ok", "ok", "ok", busy, busy], "nobody else would make room for one who waits");
    assert_eq!(said[5], "3 message P1 a i:1 .. message P1 a i:3");
    let said = perform_on("small", &["fill @ a 1500", "drain"]);
    assert_eq!(said[0], "2 ErrorCode::Busy: the mailbox of `P1` is full: its `max_bytes` is 4096; try again");
    assert_eq!(said[1], "2 message P1 a b:1500 .. message P1 a b:1500");
    // Of the host's topic and of one that the guest declares the newest count.
    let said = perform_on(
        "small",
        &[
            "send @ news i:1",
            "send @ a i:2",
            "send @ news i:3",
            "send @ news i:4",
            "drop-oldest a",
            "send @ a i:5",
            "drain",
        ],
    );
    assert_eq!(said[..6], ["ok"; 6]);
    assert_eq!(said[6], "3 message P1 news i:3 .. message P1 a i:5");
}

#[test]
fn a_message_that_no_mailbox_takes_is_refused_and_one_beyond_a_call_ends_its_sender() {
    let house = house();
    let said = perform(&house, &["send @ large b:67108864", "receive 0"]);
    assert!(said[0].starts_with("ErrorCode::TooLarge: a message of 671"), "{}", said[0]);
    assert!(said[0].ends_with(" bytes to `P1`, whose mailbox has room for 67108864"), "{}", said[0]);
    assert_eq!(said[1], "nothing");
    let exit = start(&house, "perform", &["send @ large b:140000000"]).wait();
    assert!(exit.to_string().contains("`max_transfer` exceeded"), "{exit}");
}
