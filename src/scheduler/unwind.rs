//! A worker never unwinds: foreign code runs guarded, the scheduler's own panics abort.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs foreign code; a panic becomes its message.
///
/// Inlined, as all that lies between the loop of a worker and a guest should be: after a switch of stacks the processor foresees
/// none of the returns.
#[inline(always)]
pub(super) fn guarded<R>(run: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(said)
}

/// What a panic says.
#[cold]
fn said(payload: Box<dyn Any + Send>) -> String {
    let message = message_of(&*payload);
    // Dropping a payload is foreign code too. When that panics as well its payload is leaked: there is no end to it.
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(again);
    }
    message
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Ends the program when it is dropped by a panic: state of the scheduler is never half-trusted.
pub(super) struct AbortIfUnwinding(pub(super) &'static str);

impl Drop for AbortIfUnwinding {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("wippy: {} panicked, which is a bug of wippy or of its driver; aborting", self.0);
            std::process::abort();
        }
    }
}
