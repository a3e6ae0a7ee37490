//! What limits cost a guest that computes: three kernels beside plain wasmtime, without epochs and with them.
//!
//! Every side makes a store and an instance for each call, compiled with the same settings, and a call computes for tens of
//! milliseconds: what is left is what is done at each tick, and what is compiled in for it. The sides with epochs have a
//! ticker of the same period; that of plain wasmtime has a callback which does nothing but go on.
//!
//! `cargo bench --bench limits` lets criterion measure one side after the other. On a machine that others use as well,
//! `WIPPY_BENCH_ROUNDS=31 cargo bench --bench limits [FILTER]` measures the sides in turns and prints medians of the ratios
//! within each round to both of plain wasmtime. Those of CPU time are what to quote: others hardly touch it.

#[path = "../common/mod.rs"]
mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::Throughput;
use wasmtime::{Config, Engine, InstancePre, Linker, Module, Store, UpdateDeadline};
use wippy::process::Payload;
use wippy::runtime::TICK;

use common::asked::Asked;
use common::case::{Case, Named, Side};
use common::epochs::Epochs;
use common::ours::{Ours, result};

/// Workers of our side; one computes.
pub(crate) const WORKERS: usize = 2;

/// About how long a turn lasts.
const TURN: Duration = Duration::from_millis(150);

/// Sides of plain wasmtime, which come first.
const REFERENCES: [&str; 2] = ["wasmtime, epochs", "wasmtime, no epochs"];

/// Our sides: a name, and what the entry says. The limits are all there are but fuel, and none is ever reached.
const OURS: &[(&str, &str)] = &[
    ("wippy, defaults", ""),
    (
        "wippy, all but fuel",
        "limits: { max_execution: 1h, max_cpu: 1h, max_step: 1ms, max_memory: 512MiB, max_stack: 1MiB, max_instances: 10, \
         max_tables: 10, max_handles: 100, max_output: 1MiB, max_open_sockets: 10, max_open_files: 10 }",
    ),
    ("wippy, fuel", "limits: { max_fuel: 1_000_000_000_000_000 }"),
    (UNPREEMPTED, "preempt: none"),
];

/// The side to compare with plain wasmtime without epochs.
const UNPREEMPTED: &str = "wippy, preempt: none";

/// A function of the guest, and an argument with which it computes for some tens of milliseconds.
const KERNELS: [(&str, i64); 3] = [("sha256", 100_000), ("matrix", 320), ("interpret", 20_000)];

/// The same for a run that only asks whether it runs.
const TINY: i64 = 30;

/// Plain wasmtime, with the settings of our engines.
struct Plain {
    pre: InstancePre<()>,
    epochs: Option<Epochs>,
}

impl Plain {
    fn new(has_epochs: bool) -> Plain {
        let mut config = Config::new();
        config
            .epoch_interruption(has_epochs)
            .concurrency_support(false)
            .memory_init_cow(false)
            .max_wasm_stack(1 << 20)
            .wasm_backtrace_max_frames(std::num::NonZero::new(32));
        let engine = Engine::new(&config).expect("an engine");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/guests/kernels.wasm");
        let module = Module::from_file(&engine, file).expect("a module");
        let pre = Linker::new(&engine).instantiate_pre(&module).expect("no imports");
        Plain { pre, epochs: has_epochs.then(|| Epochs::new([&engine], TICK)) }
    }

    fn call(&self, function: &str, argument: i64) -> i64 {
        let mut store = Store::new(self.pre.module().engine(), ());
        if self.epochs.is_some() {
            store.set_epoch_deadline(1);
            store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(1)));
        }
        let instance = self.pre.instantiate(&mut store).expect("an instance");
        let function = instance.get_typed_func::<i64, i64>(&mut store, function).expect("the function's type");
        function.call(&mut store, argument).expect("a result")
    }

    fn calls(&self, iterations: u64, call: impl Fn()) -> Duration {
        let run = || {
            let begin = Instant::now();
            (0..iterations).for_each(|_| call());
            begin.elapsed()
        };
        match &self.epochs {
            Some(epochs) => epochs.awake(run),
            None => run(),
        }
    }
}

fn case(kernel: &'static str, argument: i64) -> Case {
    let mut sides = Vec::new();
    let expected = Plain::new(false).call(kernel, argument);
    for (name, has_epochs) in REFERENCES.into_iter().zip([true, false]) {
        let plain = Plain::new(has_epochs);
        sides.push(Side::new(name, move |iterations| {
            plain.calls(iterations, || assert_eq!(plain.call(kernel, argument), expected))
        }));
    }
    for (name, fields) in OURS {
        // A runtime for each, so that no tick is for more engines than its own.
        let ours = Ours::new(&format!("- {{ name: kernel, guest: kernels, method: {kernel}, {fields} }}"), TICK);
        sides.push(Side::new(name, move |iterations| {
            let begin = Instant::now();
            for _ in 0..iterations {
                let value = result(ours.spawn("kernel", [Payload::from(argument)]).wait());
                assert_eq!(value.as_i64(), Some(expected));
            }
            begin.elapsed()
        }));
    }
    Case { per_iteration: Throughput::Elements(1), sides }
}

fn main() {
    let asked = Asked::read();
    let names: Vec<_> = REFERENCES.into_iter().chain(OURS.iter().map(|(name, _)| *name)).collect();
    let cases = KERNELS.map(|(kernel, argument)| {
        let argument = asked.size.pick(TINY, argument, argument);
        Named::new(kernel, &names, move || case(kernel, argument))
    });
    common::group::run("limits", &asked, TURN, REFERENCES.len(), &cases);
}
