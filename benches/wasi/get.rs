//! HTTP GETs, one guest each as in practice, a few dozen in flight.
//!
//! Our client keeps connections for the next guest of an entry, the peer's default handler opens one for each request. With
//! a server that closes after its answer both open one for each.

use std::rc::Rc;
use std::time::{Duration, Instant};

use criterion::Throughput;
use wippy::process::Payload;
use wippy::runtime::TICK;

use crate::common::case::{Case, Side};
use crate::common::ours::{Ours, result};
use crate::common::servers::{ANSWER, Servers};
use crate::common::wasi_peer::Peer;
use crate::common::window::windowed;
use crate::{OURS, PEER};

/// Guests in flight.
const IN_FLIGHT: usize = 32;

/// What the server does after an answer.
pub(crate) enum Server {
    KeepsAlive,
    Closes,
}

/// Runs as many guests as iterations, a window at a time.
fn timed<G>(iterations: u64, start: impl Fn(u64) -> G, wait: impl Fn(u64, G)) -> Duration {
    let begin = Instant::now();
    windowed(iterations, IN_FLIGHT, start, wait);
    begin.elapsed()
}

pub(crate) fn case(server: Server) -> Case {
    let servers = Rc::new(Servers::start());
    let path = match server {
        Server::KeepsAlive => "",
        Server::Closes => "close",
    };
    let url = format!("http://127.0.0.1:{}/{path}", servers.http);
    let kept = servers.clone();
    let entries = format!(
        "- {{ name: settings, kind: env.storage.static, values: {{ API_URL: '{url}' }} }}
         - {{ name: url, kind: env.variable, storage: app:settings, variable: API_URL }}
         - {{ name: get, guest: http-worker, method: run, imports: [wasi:io, wasi:cli, wasi:http], wasi: {{ env: [{{ id: app:url, name: API_URL }}] }} }}"
    );
    let ours = Ours::new(&entries, TICK);
    let ours = Side::new(OURS, move |iterations| {
        let _kept = &kept;
        let start = |_| ours.spawn("get", [Payload::Nil; 0]);
        timed(iterations, start, |_, guest| assert_eq!(result(guest.wait()), Payload::String(ANSWER.into())))
    });
    let peer = Peer::new();
    let guest = peer.load("http-worker", "run");
    let peer = Side::new(PEER, move |iterations| {
        let _kept = &servers;
        let start = |_| {
            let world = |wasi: &mut wasmtime_wasi::WasiCtxBuilder| {
                wasi.env("API_URL", &url);
            };
            peer.spawn::<_, String>(&guest, world, ())
        };
        peer.awake(|| timed(iterations, start, |_, guest| assert_eq!(peer.wait(guest), ANSWER)))
    });
    Case { per_iteration: Throughput::Elements(1), sides: vec![ours, peer] }
}
