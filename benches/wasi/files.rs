//! A large file through a stream, 64 KiB at a time: written by a guest that waits when it is not permitted to write more, and
//! read by one that reads until the end. The page cache holds all of it.

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::Throughput;
use wasmtime_wasi::FsPerms;
use wippy::process::Payload;
use wippy::runtime::TICK;

use crate::common::case::{Case, Side};
use crate::common::ours::{Ours, result};
use crate::common::wasi_peer::Peer;
use crate::{OURS, PEER};

/// A case whose guest carries out `script` in a folder that holds `content` as `large`, and answers its last line with
/// `answer`.
fn case(bytes: u64, content: Option<u8>, script: Vec<String>, answer: &str) -> Case {
    let lines = script.len();
    let answers = vec!["ok".to_owned(); lines - 1].into_iter().chain([answer.to_owned()]).collect::<Vec<_>>();
    let folder = |place: &Path| {
        if let Some(byte) = content {
            let size = usize::try_from(bytes).expect("a file that fits memory");
            std::fs::write(place.join("large"), vec![byte; size]).expect("a file");
        }
    };
    let timed = |iterations: u64, run: &dyn Fn()| -> Duration {
        let begin = Instant::now();
        (0..iterations).for_each(|_| run());
        begin.elapsed()
    };

    let data = tempfile::tempdir().expect("a folder");
    folder(data.path());
    let entries = format!(
        "- {{ name: data, kind: fs.directory, directory: '{}' }}
         - {{ name: files, guest: files, method: run, imports: [wasi:filesystem, wasi:io], wasi: {{ mounts: [{{ fs: app:data, guest: /data }}] }} }}",
        data.path().display()
    );
    let ours = Ours::new(&entries, TICK);
    let input = Payload::List(script.iter().cloned().map(Payload::String).collect());
    let expected = Payload::List(answers.iter().cloned().map(Payload::String).collect());
    let ours = Side::new(OURS, move |iterations| {
        let _kept = &data;
        timed(iterations, &|| assert_eq!(result(ours.spawn("files", [input.clone()]).wait()), expected))
    });

    let data = tempfile::tempdir().expect("a folder");
    folder(data.path());
    let peer = Peer::new();
    let guest = peer.load("files", "run");
    let peer = Side::new(PEER, move |iterations| {
        let run = || {
            let world = |wasi: &mut wasmtime_wasi::WasiCtxBuilder| {
                wasi.preopened_dir(data.path(), "/data", FsPerms::ReadWrite).expect("a folder");
            };
            let running = peer.spawn::<_, Vec<String>>(&guest, world, (script.clone(),));
            assert_eq!(peer.wait(running), answers);
        };
        peer.awake(|| timed(iterations, &run))
    });
    Case { per_iteration: Throughput::Bytes(bytes), sides: vec![ours, peer] }
}

pub(crate) fn write(bytes: u64) -> Case {
    let script = ["open f /data large create,truncate,write".into(), format!("fill f {bytes}")];
    case(bytes, None, script.into(), "ok")
}

pub(crate) fn read(bytes: u64) -> Case {
    let script = ["open f /data large read".into(), "read-stream f 0".into()];
    case(bytes, Some(b'x'), script.into(), &format!("ok {bytes} {}", "x".repeat(40)))
}
