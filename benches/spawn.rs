//! What a process costs from spawn to exit, beside the floor: instantiate, call and drop in a bare loop without scheduler.
//!
//! Both run the same guest with the same engine settings in the same run, so their ratio means something on any machine.

use std::hint::black_box;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use wippy::Runtime;
use wippy::process::{Exit, Payload, ProcessHandle, Start};

/// Processes in flight at once: enough for every worker to have a next one.
const WINDOW: usize = 64;

fn poll_to_end<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

fn floor(criterion: &mut Criterion) {
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true).concurrency_support(false);
    let engine = wasmtime::Engine::new(&config).expect("an engine");
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/guests/math.wasm")).expect("math");
    let module = wasmtime::Module::new(&engine, bytes).expect("a module");
    let pre = wasmtime::Linker::<()>::new(&engine).instantiate_pre(&module).expect("no imports");
    let mut group = criterion.benchmark_group("spawn");
    group.throughput(Throughput::Elements(1));
    group.bench_function("floor, one thread", |bencher| {
        bencher.iter(|| {
            let mut store = wasmtime::Store::new(&engine, ());
            store.set_epoch_deadline(1 << 30);
            let sum = poll_to_end(async {
                let instance = pre.instantiate_async(&mut store).await?;
                let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
                add.call_async(&mut store, (6, 7)).await
            });
            black_box(sum.expect("a sum"))
        });
    });
    group.finish();
}

fn spawn(criterion: &mut Criterion) {
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/apps/scheduling");
    let runtime = Runtime::builder().load(app).build().expect("a sound app");
    let start = |host: &str| {
        let start = Start::new("sched:short".parse().expect("an ID"), host.parse().expect("an ID"));
        start.input([Payload::Int(6), Payload::Int(7)])
    };
    let mut group = criterion.benchmark_group("spawn");
    for (name, host) in [("wippy, one worker", "sched:one"), ("wippy, two workers", "sched:two")] {
        group.throughput(Throughput::Elements(WINDOW as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || (0..WINDOW).map(|_| start(host)).collect::<Vec<_>>(),
                |starts| {
                    let running: Vec<ProcessHandle> = starts
                        .into_iter()
                        .map(|start| runtime.manager().spawn(start).expect("a host with room"))
                        .collect();
                    for process in running {
                        assert_eq!(process.wait(), Exit::Returned(Payload::Int(13)));
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, floor, spawn);
criterion_main!(benches);
