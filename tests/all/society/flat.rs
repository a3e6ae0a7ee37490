use super::*;
use crate::support::{guest_app, run_in};

/// What the flat guest prints about these calls; pids read as their numbers in the order in which they come up.
fn called(calls: &[&str]) -> Vec<String> {
    let app = guest_app(&format!(
        "{}- {{ name: flat, kind: process.wasm, guest: flat, method: _start, imports: [wippy:process], \
         process: {{ spawn: ['app:*'], hosts: ['app:*'], signal: any }} }}\n",
        entries()
    ));
    lines(&app, "app:flat", calls)
}

fn lines(app: &tempfile::TempDir, entry: &str, calls: &[&str]) -> Vec<String> {
    let said = run_in(app.path(), ["run", "-x", entry, "--"].into_iter().chain(calls.iter().copied()));
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{calls:?}");
    let mut known = Vec::new();
    said.stdout.lines().map(|line| named(line, &mut known)).collect()
}

#[test]
fn a_core_module_knows_who_it_is_and_starts_others() {
    let said = called(&[
        "self",
        "entry",
        "parent",
        "spawn app:end app:processes - 1 [true]",
        "next_event -1",
        "spawn app:end app:processes - 1 [false]",
        "next_event -1",
        "spawn app:perform app:processes - 1 [[\"self\"]]",
        "next_event -1",
        "spawn app:nothing app:processes - 0 -",
        "spawn app:end app:nowhere - 0 -",
        "spawn app:end app:processes - 0 {}",
        "spawn app:end app:processes - 0 [",
        "spawn app:end app:processes - 0 [1]",
        "send-bad spawn",
    ]);
    assert_eq!(said[..3], [" P1", " app:flat", " -"]);
    assert_eq!(said[3..5], ["0 P2", "exit P2 kind 0 code -1 value \"well\": returned \"well\""]);
    assert!(said[6].starts_with("exit P3 kind 2 code -1 value : trapped: "), "{}", said[6]);
    let child = "[\"P4 app:perform P1\"]";
    assert_eq!(said[8], format!("exit P4 kind 0 code -1 value {child}: returned {child}"));
    assert!(said[9].starts_with("-4 no process entry `app:nothing`; there are "), "{}", said[9]);
    assert!(said[10].starts_with("-5 no host `app:nowhere`; there are "), "{}", said[10]);
    assert!(said[11].starts_with("-8 the arguments are a JSON list, not map"), "{}", said[11]);
    assert!(said[12].starts_with("-8 this is no JSON: column 2: expected "), "{}", said[12]);
    assert!(said[13].starts_with("-8 `app:end`: argument 1"), "{}", said[13]);
    assert!(said[14].starts_with("-8 36 bytes at 0xfffffff0: the guest's memory has "), "{}", said[14]);
}

#[test]
fn messages_of_a_core_module_go_both_ways_in_every_format() {
    let said = called(&[
        "spawn app:flat app:processes - 1 [\"echo\"]",
        "send $ none 0 - 0",
        "send $ bytes 1 abc 0",
        "send $ text 2 abc 1",
        "send $ json 3 {\"a\":[1,null,2.5]} 1",
        "receive -1",
        "receive -1",
        "next -1",
        "next -1",
        "receive 0",
        "next 1",
        "send @ long 2 longer-than-four 0",
        "receive 0",
        "small",
        "cancel $ enough",
        "next_event -1",
        "send $ late 0 - 0",
        "send $ late 0 - 1",
        "send nobody a 0 - 0",
        "send @ @reserved 0 - 0",
        "send @ a 2 - 1",
        "next -1",
    ]);
    assert_eq!(said[1..5], ["0"; 4]);
    let back = ["message P1 none", "message P1 bytes bytes:3:abc", "message P1 text text:3:abc"];
    assert_eq!(said[5..8], back);
    assert_eq!(said[8..11], ["message P1 json json:18:{\"a\":[1,null,2.5]}", "-1", "-1"]);
    // A buffer that is too small keeps what was in it, and the message is there for the next one.
    assert_eq!(said[11..13], ["0", "message P2 long text:16:longer-than-four"]);
    let kept = "16 none 16 longer-than-four as bytes 16, as nothing 0, another one -1, of an end -1 -1 -1";
    assert_eq!(said[13], kept);
    assert_eq!(said[14], "-8 9 is no format: expected 0 to 3");
    assert_eq!(said[15..17], ["0", "exit P1 kind 1 code 0 value : exited with code 0"]);
    let gone = "-2 process `P1` not found: it has ended, or never was";
    assert_eq!(said[17..19], [gone; 2]);
    assert!(said[19].starts_with("-3 could not resolve `nobody`"), "{}", said[19]);
    assert!(said[20].starts_with("-8 `@reserved` is no topic"), "{}", said[20]);
    assert_eq!(said[21..], ["0", "message P2 a text:0:"]);
}

#[test]
fn a_core_module_watches_links_and_names() {
    let said = called(&[
        "spawn app:idle app:processes name 0 -",
        "monitor $",
        "monitor name",
        "unmonitor $",
        "monitor $",
        "terminate $",
        "next_event -1",
        "trap_links 1",
        "spawn app:idle app:processes - 2 -",
        "terminate $",
        "next -1",
        "spawn app:idle app:processes - 0 -",
        "link $",
        "unlink $",
        "terminate $",
        "next_event 50",
        "link $",
        "register me -",
        "lookup me",
        "register me {app:processes|0xfffff}",
        "unregister me",
        "lookup me",
        "cancel @ from itself",
        "next 0",
        "monitor {app:nowhere|0x00001}",
        "monitor {odd}",
        "drop_oldest news",
        "drop_oldest @reserved",
    ]);
    assert_eq!(said[1..6], ["0", "-13 `P2` monitors `P1` already", "0", "0", "0"]);
    assert_eq!(said[6], "exit P1 kind 5 code -1 value : terminated");
    assert_eq!(said[10], "link-down P3 kind 5 code -1 value : terminated");
    assert_eq!(said[12..16], ["0", "0", "0", "-1"]);
    assert_eq!(said[16], "-2 process `P4` not found: it has ended, or never was");
    assert_eq!(said[17..19], ["0", "P2"]);
    assert_eq!(said[19], "-2 process `P5` not found: it has ended, or never was");
    assert_eq!(said[20..22], ["0", "-"]);
    assert_eq!(said[22..24], ["0", "cancel P2 from"]);
    assert_eq!(said[24], "-6 `P6` is no process of this runtime");
    assert!(said[25].starts_with("-8 `{odd}` is not a pid"), "{}", said[25]);
    assert_eq!(said[26], "0");
    assert!(said[27].starts_with("-8 `@reserved` is no topic"), "{}", said[27]);
}

#[test]
fn wrong_words_of_a_core_module_are_answered_and_nothing_is_sent() {
    let said = called(&[
        "send-bad address",
        "send-bad utf8",
        "send-bad text",
        "send-bad format",
        "send-bad json",
        "send-bad long-json",
        "receive 0",
    ]);
    assert!(said[0].starts_with("-8 100 bytes at 0xfffffff0: the guest's memory has "), "{}", said[0]);
    assert!(said[1].starts_with("-8 a text is not UTF-8"), "{}", said[1]);
    assert!(said[2].starts_with("-8 invalid utf-8"), "{}", said[2]);
    assert_eq!(said[3], "-8 4 is no format: expected 0 to 3");
    assert!(said[4].starts_with("-8 this is no JSON: column 4: expected "), "{}", said[4]);
    assert_eq!(said[5..], ["-9 JSON of 1048577 bytes; a call takes 1048576", "-1"]);
}

#[test]
fn a_core_module_is_bound_by_its_entry() {
    let app = guest_app(
        "- { name: bound, kind: process.wasm, guest: flat, method: _start, imports: [wippy:process] }\n\
         - { name: unlisted, kind: process.wasm, guest: flat, method: _start }\n",
    );
    let said = lines(&app, "app:bound", &["spawn app:bound - - 0 -"]);
    let hint = "list it in `process: { spawn: [...] }` of its entry";
    assert_eq!(said, [format!("-7 `P1` may not start `app:bound`: {hint} -")]);
    let said = run_in(app.path(), ["run", "-x", "app:unlisted"]);
    assert_eq!(said.code, Some(1));
    let message = "the guest of `app:unlisted` called `self` of `wippy:process`, which the entry does not list: add \
                   `- wippy:process` under `imports:`";
    assert!(said.stderr.contains(message), "{}", said.stderr);
}
