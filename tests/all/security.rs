//! Policies as guests meet them: who may start, tell, end and name whom, see which folder and reach which address.

/// Calls of functions, by guests and scripts, and who a function acts as.
#[cfg(feature = "lua")]
mod calls;
/// The same for scripts, and what they know of it.
#[cfg(feature = "lua")]
mod scripts;
/// Files, variables and events of scripts.
#[cfg(feature = "lua")]
mod world;

use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use wippy::Runtime;
use wippy::process::{Exit, FailureKind, Payload, ProcessHandle, Start};
use wippy::reactor::Clock;
use wippy::security::{Actor, Scope};

use super::support::{House, app, fixture, guest_index, run_in};

/// Guests that may do everything, as far as their entries go.
const GUESTS: &str = "- { name: perform, kind: process.wasm, guest: society, method: perform, imports: [wippy:process, wasi:clocks, wasi:poll], process: { spawn: ['*'], hosts: ['*'], signal: any } }
- { name: echo, kind: process.wasm, guest: society, method: echo, imports: [wippy:process, wasi:clocks, wasi:poll], process: { signal: any } }
- { name: vault, kind: process.wasm, guest: society, method: echo, imports: [wippy:process, wasi:clocks, wasi:poll], process: { signal: any } }
- { name: other, kind: process.host }
- { name: dial, kind: process.wasm, guest: net, method: dial, imports: [wasi:sockets, wasi:io] }
- { name: dial-name, kind: process.wasm, guest: net, method: dial-name, imports: [wasi:sockets, wasi:io] }
- { name: dial-udp, kind: process.wasm, guest: net, method: dial-udp, imports: [wasi:sockets, wasi:io] }
- { name: resolve, kind: process.wasm, guest: net, method: resolve, imports: [wasi:sockets, wasi:io] }
- { name: echo-server, kind: process.wasm, guest: net, method: echo-server, imports: [wasi:sockets, wasi:io] }
- { name: data, kind: fs.directory, directory: ./data, auto_init: true }
- { name: secret, kind: fs.directory, directory: ./secret, auto_init: true }
- { name: files, kind: process.wasm, guest: files, method: run, imports: [wasi:io, wasi:filesystem], wasi: { mounts: [{ fs: data, guest: /data }] } }
- { name: secrets, kind: process.wasm, guest: files, method: run, imports: [wasi:io, wasi:filesystem], wasi: { mounts: [{ fs: data, guest: /data }, { fs: secret, guest: /secret }] } }
- { name: fetch, kind: process.wasm, guest: http-client, method: headers, imports: [wasi:io, wasi:http] }
";

/// A policy on one line, of the group `g`.
fn policy(name: &str, effect: &str, actions: &str, resources: &str, rest: &str) -> String {
    format!(
        "- {{ name: {name}, kind: security.policy, groups: [g], policy: {{ effect: {effect}, actions: {actions}, resources: {resources}{rest} }} }}\n"
    )
}

fn house_of(policies: &[String], config: &str) -> House {
    let index = guest_index(&format!("{GUESTS}{}", policies.concat()));
    House::of(app(&[("_index.yaml", &index), (".wippy.yaml", &format!("version: '1.0'\n{config}"))]), Clock::real())
}

fn house(policies: &[String]) -> House {
    house_of(policies, "")
}

/// Starts an entry that acts as somebody by the policies of the group `g`.
fn start_as(house: &House, actor: Actor, entry: &str, input: impl IntoIterator<Item = Payload>) -> ProcessHandle {
    let scope = house.runtime.policies().group("g").expect("policies of the group");
    house
        .runtime
        .manager()
        .spawn(start(entry, input).actor(actor).scope(scope))
        .unwrap_or_else(|error| panic!("{error}"))
}

fn start(entry: &str, input: impl IntoIterator<Item = Payload>) -> Start {
    let id = |name: &str| format!("app:{name}").parse().expect("an ID");
    Start::new(id(entry), id("processes")).input(input)
}

fn script(lines: &[&str]) -> [Payload; 1] {
    [lines.iter().map(|line| Payload::from(*line)).collect()]
}

fn ann() -> Actor {
    Actor::new("user:ann").with("level", 3)
}

/// What a script of Ann's answers, with `P1`, `P2` for pids.
fn perform(house: &House, lines: &[&str]) -> Vec<String> {
    answers(&start_as(house, ann(), "perform", script(lines)))
}

#[track_caller]
fn answers(process: &ProcessHandle) -> Vec<String> {
    super::society::answers(process)
}

fn denied(deed: &str) -> String {
    format!("ErrorCode::NotAllowed: not allowed to {deed}")
}

#[test]
fn nothing_is_allowed_that_no_policy_allows() {
    let house = house(&[policy("p", "allow", "process.spawn", "'app:echo'", "")]);
    let said = perform(&house, &["self", "spawn app:echo", "spawn app:vault", "send @ a", "register me", "lookup me"]);
    assert_eq!(
        said[1..],
        [
            denied("spawn process on host: app:processes"),
            denied("spawn process: app:vault"),
            denied("send to process: P1"),
            denied("register name: me"),
            "nothing".to_owned(),
        ]
    );
}

#[test]
fn a_policy_that_denies_wins() {
    let house = house(&[
        policy("all", "allow", "'*'", "'*'", ""),
        policy("none", "deny", "[process.terminate, process.link]", "'*'", ""),
        policy("p-vault", "deny", "process.spawn", "'app:va*'", ""),
        policy("host", "deny", "process.host", "'app:other'", ""),
    ]);
    let script = [
        "spawn app:vault",
        "spawn app:echo host=app:other",
        "spawn app:echo monitor name=mirror",
        "send mirror a",
        "receive 60000",
        "terminate $",
        "link $",
        "spawn-linked app:echo",
        "cancel $1 enough",
        "next-event 60000",
    ];
    let said = perform(&house, &script);
    assert_eq!(said[..2], [denied("spawn process: app:vault"), denied("spawn process on host: app:other")]);
    assert_eq!(said[3..5], ["ok", "message P1 a"]);
    assert_eq!(said[5..7], [denied("terminate process: P1"), denied("link process: P1")]);
    assert_eq!((said[7].as_str(), said[8].as_str()), ("P2", "ok"), "a start that links is another deed");
    assert_eq!(said[9].split(' ').next(), Some("exit"), "{}", said[9]);
}

#[test]
fn each_form_of_a_start_is_asked_about() {
    let house = house(&[policy("p", "allow", "[process.spawn, process.host, process.cancel]", "'*'", "")]);
    let script = [
        "spawn app:echo",
        "cancel $ enough",
        "spawn-monitored app:echo",
        "spawn-linked app:echo",
        "spawn app:echo monitor",
        "spawn app:echo link",
        "spawn app:echo name=me",
    ];
    let said = perform(&house, &script);
    assert_eq!(
        said,
        [
            "P1".to_owned(),
            "ok".to_owned(),
            denied("spawn monitored process: app:echo"),
            denied("spawn linked process: app:echo"),
            denied("spawn monitored process: app:echo"),
            denied("spawn linked process: app:echo"),
            denied("register name: me"),
        ]
    );
}

#[test]
fn what_is_known_of_the_actor_and_of_the_deed_decides() {
    let high = ", conditions: [{ field: actor.meta.level, operator: gte, value: 5 }]";
    let own = ", conditions: [{ field: meta.pid, operator: eq, value_from: resource }]";
    let expression = "- { name: e, kind: security.policy.expr, groups: [g], policy: { effect: deny, actions: process.registry.register, \
                      resources: '*', expression: 'not (resource startsWith actor.meta.team ?? \"?\")' } }\n";
    let house = house(&[
        policy("start", "allow", "[process.spawn, process.host, 'process.registry.*']", "'*'", ""),
        policy("p-vault", "allow", "process.terminate", "'*'", high),
        policy("own", "allow", "process.send", "'*'", own),
        expression.to_owned(),
    ]);
    let lines = ["spawn app:echo", "terminate $", "send @ a", "send $ a", "register core.me", "register me"];
    let said = |actor: Actor| answers(&start_as(&house, actor, "perform", script(&lines)));
    let low = said(ann());
    assert_eq!(low[1..4], [denied("terminate process: P1"), "ok".to_owned(), denied("send to process: P1")]);
    assert_eq!(low[4..], [denied("register name: core.me"), denied("register name: me")]);
    let high = said(Actor::new("user:bob").with("level", 5).with("team", "core"));
    assert_eq!(high[1..4], ["ok".to_owned(), "ok".to_owned(), denied("send to process: P1")]);
    assert_eq!(high[4..], ["ok".to_owned(), denied("register name: me")]);
    // What can't be compared makes the policy not apply.
    let odd = said(Actor::new("user:eve").with("level", "highest").with("team", 5));
    assert_eq!(odd[1], denied("terminate process: P1"));
    assert_eq!(odd[5], "ok", "and so it denies nothing either");
}

#[test]
fn in_strict_mode_nobody_may_do_anything() {
    let policies = [policy("p", "allow", "'*'", "'*'", "")];
    let lines = |ended: &str| {
        script(&["spawn app:echo", &format!("terminate {ended}"), "send @ a", "register me", "monitor @"])
    };
    let strict = house_of(&policies, "security: { strict_mode: true }");
    let refused = [
        "spawn process: app:echo",
        "terminate process: P1",
        "send to process: P1",
        "register name: me",
        "monitor process: P1",
    ];
    let nobody =
        |house: &House, ended| house.runtime.manager().spawn(start("perform", lines(ended))).expect("it starts");
    assert_eq!(answers(&nobody(&strict, "@")), refused.map(denied), "who starts it from outside is not asked");
    let only_actor = start("perform", lines("@")).actor(ann());
    assert_eq!(answers(&strict.runtime.manager().spawn(only_actor).expect("it starts")), refused.map(denied));
    let done = ["P1", "ok", "ok", "ok", "ok"];
    assert_eq!(answers(&start_as(&strict, ann(), "perform", lines("$"))), done, "both are there");
    let files = strict.runtime.manager().spawn(start("files", script(&[]))).expect("it starts");
    assert_eq!(
        failure(&files.wait()),
        (FailureKind::PermissionDenied, "`app:files`: not allowed to access filesystem: app:data")
    );
    // The default, written or not.
    for config in ["", "security: { strict_mode: false }"] {
        let house = house_of(&policies, config);
        assert_eq!(answers(&nobody(&house, "$")), done, "everything is allowed");
    }
}

#[track_caller]
fn failure(exit: &Exit) -> (FailureKind, &str) {
    let Exit::Failed(failure) = exit else { panic!("{exit}") };
    (failure.kind, &failure.message)
}

#[test]
fn a_folder_is_seen_by_those_who_may() {
    let house = house(&[policy("p", "allow", "fs.get", "'app:data'", "")]);
    let files = start_as(&house, ann(), "files", script(&[])).wait();
    assert!(matches!(files, Exit::Returned(_)), "{files}");
    let secrets = start_as(&house, ann(), "secrets", script(&[])).wait();
    assert_eq!(
        failure(&secrets),
        (FailureKind::PermissionDenied, "`app:secrets`: not allowed to access filesystem: app:secret")
    );
    // Nobody is not asked.
    let secrets = house.runtime.manager().spawn(start("secrets", script(&[]))).expect("it starts").wait();
    assert!(matches!(secrets, Exit::Returned(_)), "{secrets}");
}

fn returned(exit: Exit) -> Payload {
    let Exit::Returned(value) = exit else { panic!("{exit}") };
    value
}

#[test]
fn addresses_are_reached_by_those_who_may() {
    let (one, other) =
        (TcpListener::bind("127.0.0.1:0").expect("a port"), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = |address: std::io::Result<std::net::SocketAddr>| address.expect("an address").port();
    let (one, other, udp) = (port(one.local_addr()), port(other.local_addr()), port(udp.local_addr()));
    let connect = format!("['127.0.0.1:{one}', '127.0.0.1:{udp}']");
    let house = house(&[
        policy("p-connect", "allow", "socket.connect", &connect, ""),
        policy("p-resolve", "allow", "socket.resolve", "'localhost'", ""),
    ]);
    let ask = |entry: &str, input: Vec<Payload>| returned(start_as(&house, ann(), entry, input).wait());
    let dial = |entry: &str, host: &str, port: u16| ask(entry, vec![host.into(), u32::from(port).into()]);
    assert_eq!(dial("dial", "127.0.0.1", one), "connected".into());
    assert_eq!(
        dial("dial", "::ffff:127.0.0.1", one),
        dial("dial", "::ffff:127.0.0.1", one),
        "one address in two forms"
    );
    assert_eq!(dial("dial", "127.0.0.1", other), "access-denied".into());
    assert_eq!(dial("dial-udp", "127.0.0.1", udp), "sent".into());
    assert_eq!(dial("dial-udp", "127.0.0.1", other), "access-denied".into());
    assert_eq!(
        ask("resolve", vec!["example.com".into()]),
        [("err", Payload::from("access-denied"))].into_iter().collect()
    );
    assert!(ask("resolve", vec!["localhost".into()]).get("ok").is_some());
    assert_eq!(dial("dial-name", "example.com", one), "access-denied".into());
    let server = ask("echo-server", vec![u32::from(one).into(), 0.into()]);
    assert_eq!(server, [("err", Payload::from("access-denied"))].into_iter().collect(), "nobody may reach it");
}

#[test]
fn a_service_acts_as_its_entry_says_and_others_as_their_host() {
    let identity = |id: &str| {
        format!(
            "lifecycle: {{ auto_start: true, security: {{ actor: {{ id: '{id}' }}, groups: [g], policies: [own] }} }}"
        )
    };
    let service = format!(
        "- {{ name: service, kind: process.service, process: perform, host: processes, input: [['spawn app:echo', 'send @ a', 'register me']], {} }}\n\
         - {{ name: watched, kind: process.host, {} }}\n",
        identity("service:one"),
        identity("host:watched"),
    );
    let only = |field: &str, id: &str| format!(", conditions: [{{ field: {field}, operator: eq, value: '{id}' }}]");
    let house = house(&[
        policy("group", "allow", "process.send", "'*'", &only("actor.id", "service:one")),
        policy("own", "allow", "process.registry.register", "'*'", "").replace("groups: [g], ", ""),
        service,
    ]);
    let id = "app:service".parse().expect("an ID");
    house.runtime.start_services().expect("it starts");
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    let exit = loop {
        let status = house.runtime.services().into_iter().find(|status| status.id == id).expect("the service");
        if let Some(exit) = status.last_exit {
            break exit;
        }
        assert!(std::time::Instant::now() < patience, "it does not end: {status:?}");
        std::thread::sleep(Duration::from_millis(1));
    };
    let expected: Payload =
        [denied("spawn process: app:echo"), "ok".into(), "ok".into()].into_iter().map(Payload::from).collect();
    assert_eq!(returned(exit), expected);
    let on =
        |host: &str| Start::new("app:perform".parse().expect("an ID"), format!("app:{host}").parse().expect("an ID"));
    let run = |start: Start| {
        answers(&house.runtime.manager().spawn(start.input(script(&["send @ a", "register you"]))).expect("it starts"))
    };
    assert_eq!(run(on("watched")), [denied("send to process: P1"), "ok".to_owned()], "it acts as its host");
    assert_eq!(run(on("processes")), ["ok", "ok"], "it acts as nobody");
    assert_eq!(
        run(on("watched").actor(ann()).scope(Scope::default())),
        [denied("send to process: P1"), denied("register name: you")]
    );
}

#[test]
fn a_command_acts_as_its_terminal() {
    let lines = r#"["spawn secured:listener host=secured:processes","terminate $","spawn secured:vault host=secured:processes","register core.me","register me"]"#;
    let said = run_in(&fixture("apps/secured"), ["run", "perform", lines]);
    let answers: Vec<String> = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    assert!(answers[0].starts_with("{secured:processes|"), "{answers:?}");
    assert_eq!(answers[1], denied(&format!("terminate process: {}", answers[0])));
    assert_eq!(answers[2..], [denied("spawn process: secured:vault"), "ok".to_owned(), denied("register name: me")]);
    let checked = run_in(&fixture("apps/secured"), ["check"]);
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""));
}

#[test]
fn without_an_identity_nothing_is_asked() {
    let house = house(&[policy("p", "deny", "'*'", "'*'", "")]);
    let lines = ["spawn app:echo monitor", "send $ a", "receive 60000", "terminate $"];
    let process = house.runtime.manager().spawn(start("perform", script(&lines))).expect("it starts");
    assert_eq!(answers(&process), ["P1", "ok", "message P1 a", "ok"]);
    let runtime: &Runtime = &house.runtime;
    assert!(!runtime.policies().is_strict());
}

/// Requests need leave for their URL, and for an address that leads inside.
#[cfg(feature = "http")]
#[test]
fn urls_are_asked_for_by_those_who_may() {
    let address = super::http::answering(|_| super::http::ok(b""));
    let port = address.port();
    let urls = format!("['http://127.0.0.1:{port}/open/*', 'http://localhost:{port}/*']");
    let inside = ", conditions: [{ field: meta.host, operator: ne, value: localhost }]";
    let house = house(&[
        policy("urls", "allow", "http_client.request", &urls, ""),
        policy("inside", "allow", "http_client.private_ip", "'127.0.0.1'", inside),
    ]);
    let fetch = |host: &str, path: &str| {
        let url = Payload::from(format!("http://{host}:{port}{path}"));
        let said = returned(start_as(&house, ann(), "fetch", [url]).wait());
        said.as_str().expect("a text").to_owned()
    };
    assert!(!fetch("127.0.0.1", "/open/a?b").contains("denied"), "{}", fetch("127.0.0.1", "/open/a?b"));
    let refused = fetch("127.0.0.1", "/closed");
    assert!(refused.to_lowercase().contains("denied"), "{refused}");
    // The same server by another way to write it is the same server.
    let other_form = fetch("127.1", "/closed");
    assert_eq!(other_form, refused);
    assert!(fetch("localhost", "/open/").to_lowercase().contains("prohibited"), "{}", fetch("localhost", "/open/"));
}
