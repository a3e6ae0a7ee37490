//! Calls on the blocking pool that nobody waits for.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

use crate::reactor::{BlockingCall, BlockingError, Reactor};

/// Runs `job` on the pool of `reactor`, as soon as it has room. `failed` is told when it never ran or panicked.
pub(in crate::wasi) fn run_detached(
    reactor: &Reactor,
    job: impl FnOnce() + Send + 'static,
    failed: impl FnOnce(BlockingError) + Send + 'static,
) {
    let call = reactor.blocking().run(job);
    let inner = Inner { call, failed: Box::new(failed) };
    Arc::new(Detached { inner: Mutex::new(Some(inner)), again: AtomicBool::new(false) }).look();
}

/// A call that is its own waker: who wakes it looks after it. The pool holds the waker, and so this, until the end.
struct Detached {
    /// `None` once the call is over.
    inner: Mutex<Option<Inner>>,
    /// Set by every wake; a look that ends with it set is repeated.
    again: AtomicBool,
}

struct Inner {
    call: BlockingCall<()>,
    failed: Box<dyn FnOnce(BlockingError) + Send>,
}

impl Detached {
    fn look(self: &Arc<Self>) {
        // SeqCst on both accesses of `again` and the lock between them: a wake that fails to take the lock has set the
        // flag before, and who holds the lock reads the flag after letting it go.
        self.again.store(true, Ordering::SeqCst);
        while self.again.load(Ordering::SeqCst) {
            // Taken: the holder, perhaps this very thread further up, sees the flag.
            let Some(mut guard) = self.inner.try_lock() else { return };
            self.again.store(false, Ordering::SeqCst);
            let Some(inner) = guard.as_mut() else { return };
            let waker = Waker::from(self.clone());
            if let Poll::Ready(result) = pin!(&mut inner.call).poll(&mut Context::from_waker(&waker)) {
                let inner = guard.take();
                drop(guard);
                if let (Some(inner), Err(error)) = (inner, result) {
                    (inner.failed)(error);
                }
                return;
            }
        }
    }
}

impl Wake for Detached {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}
