//! Round trips of 64 bytes over TCP: what a write, a wait and a read cost a guest.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use criterion::Throughput;
use wippy::process::Payload;
use wippy::runtime::TICK;

use crate::common::case::{Case, Side};
use crate::common::ours::{Ours, result};
use crate::common::servers::Servers;
use crate::common::wasi_peer::Peer;
use crate::{NATIVE, OURS, PEER};

const BYTES: u32 = 64;

/// Splits `iterations` round trips among `guests`, each of which makes as many.
fn shared(iterations: u64, guests: u64, run: impl FnOnce(u32)) -> Duration {
    let rounds = iterations.div_ceil(guests);
    let begin = Instant::now();
    run(u32::try_from(rounds).expect("rounds that end today"));
    // As if it had been just as many as were asked for.
    begin.elapsed().mul_f64(iterations as f64 / (rounds * guests) as f64)
}

/// Blocking threads that do what the guests do.
fn threads(port: u16, threads: u64, rounds: u32) {
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server");
                stream.set_nodelay(true).expect("a socket");
                let mut bytes = [b'x'; BYTES as usize];
                for _ in 0..rounds {
                    stream.write_all(&bytes).expect("a server that reads");
                    stream.read_exact(&mut bytes).expect("a server that answers");
                }
            });
        }
    });
}

/// The time of one round trip while this many guests make them side by side: what each waits, divided by their number.
pub(crate) fn case(guests: u64) -> Case {
    let servers = std::rc::Rc::new(Servers::start());
    let (port, kept) = (servers.echo, servers.clone());
    let ours = Ours::new("- { name: echo, guest: net, method: echo-client, imports: [wasi:sockets, wasi:io] }", TICK);
    let ours = Side::new(OURS, move |iterations| {
        let _kept = &kept;
        shared(iterations, guests, |rounds| {
            let input = || [i64::from(port), i64::from(rounds), i64::from(BYTES)].map(Payload::from);
            let running: Vec<_> = (0..guests).map(|_| ours.spawn("echo", input())).collect();
            for guest in running {
                let echoed = result(guest.wait());
                assert_eq!(echoed.get("ok").and_then(Payload::as_u64), Some(u64::from(rounds * BYTES)), "{echoed}");
            }
        })
    });
    let peer = Peer::new();
    let guest = peer.load("net", "echo-client");
    let peer = Side::new(PEER, move |iterations| {
        let _kept = &servers;
        let run = |rounds: u32| {
            let start = || {
                let world = |wasi: &mut wasmtime_wasi::WasiCtxBuilder| {
                    wasi.inherit_network().allow_tcp(true);
                };
                peer.spawn::<_, Result<u64, String>>(&guest, world, (port, rounds, BYTES))
            };
            let running: Vec<_> = (0..guests).map(|_| start()).collect();
            for guest in running {
                assert_eq!(peer.wait(guest), Ok(u64::from(rounds * BYTES)));
            }
        };
        peer.awake(|| shared(iterations, guests, run))
    });
    let native =
        Side::new(NATIVE, move |iterations| shared(iterations, guests, |rounds| threads(port, guests, rounds)));
    Case { per_iteration: Throughput::Elements(1), sides: vec![native, ours, peer] }
}
