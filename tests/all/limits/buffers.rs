//! What waits on the host's side for a guest, or for the system on a guest's behalf, counts as its memory.

use std::net::TcpListener;

use wippy::process::{Exit, Payload, ProcessHandle, Start, State};
use wippy::registry::LimitsSpec;

use super::super::support::House;
use super::{end, until};

fn start(house: &House, entry: &str, input: &[Payload], max_memory: u64) -> ProcessHandle {
    let id = |name: &str| format!("app:{name}").parse().expect("an ID");
    let limits = LimitsSpec { max_memory: Some(max_memory), ..LimitsSpec::default() };
    let start = Start::new(id(entry), id("processes")).input(input.iter().cloned()).limits(limits);
    house.runtime.manager().spawn(start).expect("a process")
}

/// What a process held at most.
fn peak(process: &ProcessHandle) -> u64 {
    process.report().expect("it has ended").memory_peak
}

#[test]
fn what_is_not_yet_written_of_files_counts() {
    let data = tempfile::tempdir().expect("a folder");
    let house = House::new(&format!(
        "- {{ name: data, kind: fs.directory, directory: '{}' }}
         - {{ name: files, kind: process.wasm, guest: files, method: run, imports: [wasi:io, wasi:filesystem], wasi: {{ mounts: [{{ fs: data, guest: /data }}] }} }}",
        data.path().display()
    ));
    let run = |lines: &[&str], max_memory: u64| {
        let script = Payload::List(lines.iter().map(|line| Payload::String((*line).to_owned())).collect());
        let process = start(&house, "files", &[script], max_memory);
        match end(&process) {
            Exit::Returned(Payload::List(answers)) => (answers.last().expect("answers").to_string(), peak(&process)),
            other => panic!("{other:?}"),
        }
    };
    // The guest's own memory has grown before the first byte is written, so what comes last is the host's.
    let lines = ["open f /data new create,write", "fill f 100000"];
    let (answer, peak) = run(&lines, 0);
    assert_eq!(answer, "\"ok\"");
    assert_eq!(run(&lines, peak).0, "\"ok\"", "at");
    let (refused, held) = run(&lines, peak - 1);
    assert!(refused.contains("insufficient-memory") && held < peak, "{refused}: {held} of {peak}");
}

#[test]
fn what_the_other_side_does_not_take_of_a_connection_counts() {
    let house =
        House::new("- { name: pour, kind: process.wasm, guest: net, method: pour, imports: [wasi:sockets, wasi:io] }");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = Payload::Int(silent.local_addr().expect("an address").port().into());
    let pour = |bytes, max_memory| start(&house, "pour", &[port.clone(), Payload::Int(bytes)], max_memory);
    // A portion that the system takes whole: what the guest itself needs.
    let whole = pour(65_536, 0);
    assert!(matches!(end(&whole), Exit::Returned(_)));
    let own = peak(&whole);
    let stuck = pour(64 << 20, 0);
    until("the buffers of the system are full", || {
        let steps = stuck.steps();
        std::thread::sleep(std::time::Duration::from_millis(50));
        stuck.state() == State::Blocked && stuck.steps() == steps
    });
    // On top of that there is the rest of a write. How much differs: the system takes what it likes.
    assert!(stuck.usage().memory() > own, "{} and not more than {own}", stuck.usage().memory());
    stuck.terminate();
    assert_eq!((end(&stuck), stuck.usage().memory()), (Exit::Terminated, 0));
    // Without room for any of it the write fails.
    let refused = pour(64 << 20, own);
    let Exit::Returned(value) = end(&refused) else { panic!("{refused:?}") };
    assert!(value.to_string().contains("write: StreamError::LastOperationFailed"), "{value}");
}

#[cfg(all(feature = "cli", feature = "http"))]
#[test]
fn a_request_under_way_counts() {
    use std::io::Write as _;
    let address = super::super::http::server(|stream| {
        let mut reader = std::io::BufReader::new(&stream);
        super::super::http::read_head(&mut reader);
        (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").expect("a client");
    });
    let house = House::new(&format!(
        "- {{ name: store, kind: env.storage.memory }}
         - {{ name: url, kind: env.variable, storage: app:store, default: 'http://{address}/' }}
         - {{ name: get, kind: process.wasm, guest: http-worker, method: run, imports: [wasi:io, wasi:cli, wasi:http], wasi: {{ env: [{{ id: app:url, name: API_URL }}] }} }}"
    ));
    let get = |max_memory| {
        let process = start(&house, "get", &[], max_memory);
        let Exit::Returned(Payload::String(answer)) = end(&process) else { panic!("{process:?}") };
        (answer, peak(&process))
    };
    let (answer, peak) = get(0);
    assert_eq!(answer, "200 2 ok");
    assert_eq!(get(peak).0, "200 2 ok", "at");
    let (refused, _) = get(peak - (64 << 10));
    assert!(refused.contains("InternalError") && refused.contains("max_memory"), "{refused}");
}
