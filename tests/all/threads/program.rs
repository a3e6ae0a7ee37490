//! The threads of the program itself, while guests of its run.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{is_documented, thread_names};

/// The epoll instances of a program, each by what it watches: descriptors of one instance watch the same.
fn epoll_instances(pid: u32) -> BTreeSet<BTreeSet<String>> {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("a living child")
        .filter_map(Result::ok)
        .filter(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|target| target.to_string_lossy().contains("eventpoll"))
        })
        .map(|descriptor| {
            let info = format!("/proc/{pid}/fdinfo/{}", descriptor.file_name().to_string_lossy());
            let info = fs::read_to_string(info).expect("a descriptor of a living child");
            info.lines().filter(|line| line.starts_with("tfd:")).map(str::to_owned).collect()
        })
        .collect()
}

#[test]
fn a_program_with_wasi_guests_has_only_documented_threads() {
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/apps/hello");
    let cache = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_wippy"))
        .arg("-C")
        .arg(app)
        .arg("-v")
        .args(["run", "command", "--time", "--random", "--cat"])
        .env("XDG_CACHE_HOME", cache.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program");
    let mut input = child.stdin.take().expect("a pipe");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    // It has begun, used clocks and random numbers, and now reads: a first line comes back while it waits for a second.
    input.write_all(b"first\n").unwrap();
    let echoed = output.by_ref().map(Result::unwrap).find(|line| line.contains("first"));
    assert!(echoed.is_some(), "the guest echoes");
    let (names, epolls) = (thread_names(child.id()), epoll_instances(child.id()));
    let strangers: Vec<_> = names.iter().filter(|name| !is_documented(name)).collect();
    assert!(strangers.is_empty(), "undocumented threads {strangers:?} among {names:?}");
    for expected in ["wippy-w", "wippy-log"] {
        assert!(names.iter().any(|name| name.starts_with(expected)), "{expected} is missing: {names:?}");
    }
    assert_eq!(epolls.len(), 1, "one host, one reactor, and nobody else's: {epolls:?}");
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
#[cfg(feature = "http")]
fn a_program_with_a_request_under_way_has_only_documented_threads() {
    let (tell, told) = std::sync::mpsc::channel();
    let address = crate::http::server(move |stream| {
        crate::http::read_head(&mut BufReader::new(&stream));
        tell.send(stream).expect("the test listens");
    });
    let url = format!("myns:settings:values.API_URL=http://localhost:{}/", address.port());
    let mut running = crate::support::Running::start(
        crate::support::wippy().arg("-C").arg(crate::support::fixture("apps/mission")).args([
            "-o",
            &url,
            "run",
            "-x",
            "myns:http_worker",
        ]),
    );
    let stream = told.recv().expect("a request");
    let (names, epolls) = (thread_names(running.child().id()), epoll_instances(running.child().id()));
    let strangers: Vec<_> = names.iter().filter(|name| !is_documented(name)).collect();
    assert!(strangers.is_empty(), "undocumented threads {strangers:?} among {names:?}");
    assert!(names.contains("wippy-blocking"), "it looked up a name: {names:?}");
    assert_eq!(epolls.len(), 1, "one host, one reactor, and nobody else's: {epolls:?}");
    (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
    assert_eq!(running.end().stdout, "200 2 ok\n");
}
