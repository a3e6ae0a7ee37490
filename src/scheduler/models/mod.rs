//! Every interleaving of the protocols of this room, by loom. Run them with
//! `WIPPY_LOOM=1 cargo test --lib loom_`.
//!
//! Nothing here checks a copy: the state word, the idle protocol, the parker and the ticker's sleep are the real ones, on
//! loom's atomics. Only the queue is a twin (see [`crate::sync`]), and a worker's loop is cut to what the protocol needs.

mod idle;
mod phase;
mod replace;
mod state;
mod tick;

/// Checks `model` under every schedule with at most `preemptions` switches away from a thread that could go on. Real bugs
/// of such protocols show with two or three; the cost grows by an order of magnitude with each.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(preemptions));
    builder.check(model);
}
