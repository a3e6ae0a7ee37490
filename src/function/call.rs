//! One call: what is asked, where it stands, and its answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::error::CallError;
use super::options::CallOptions;
use super::pool::Pool;
use crate::process::{CallChain, Payload, Peers, ProcessHandle, step};

/// What a call leads to.
pub type Answer = Result<Payload, CallError>;

/// A function call that goes on, whether somebody looks or not. Dropping it ends the call: one that waits for its turn
/// leaves, one that runs is terminated, and its slot is free for the next one.
///
/// It is a [`Future`] of the answer on any executor, and [`wait`](Self::wait) blocks a plain thread for it.
#[must_use = "dropping a call ends it"]
pub struct Call(Inner);

enum Inner {
    /// It was refused before there was anybody to do it; the error, until it is taken.
    Refused(Option<CallError>),
    Taken(Arc<CallCell>, Arc<Pool>),
}

/// What the caller and the pool share of a call.
pub(super) struct CallCell {
    number: u64,
    /// This call and those that it is made in.
    calls: CallChain,
    /// The process that calls, if one does.
    caller: Option<Peers>,
    stand: Mutex<Stand>,
    answered: Condvar,
}

/// What the process of a call is given: its arguments, and what it has beside them.
pub(super) type Asked = (Vec<Payload>, CallOptions);

#[derive(Default)]
struct Stand {
    /// Until it runs.
    asked: Option<Asked>,
    /// While it runs.
    process: Option<ProcessHandle>,
    answer: Option<Answer>,
    /// The answer was taken.
    is_over: bool,
    /// Nobody wants an answer any more.
    is_abandoned: bool,
    waker: Option<Waker>,
}

impl Stand {
    fn is_answered(&self) -> bool {
        self.answer.is_some() || self.is_over
    }

    fn take(&mut self) -> Option<Answer> {
        let answer = self.answer.take();
        self.is_over |= answer.is_some();
        answer
    }
}

impl CallCell {
    pub(super) fn new(number: u64, calls: CallChain, caller: Option<Peers>, asked: Asked) -> Arc<Self> {
        let stand = Mutex::new(Stand { asked: Some(asked), ..Stand::default() });
        Arc::new(Self { number, calls, caller, stand, answered: Condvar::new() })
    }

    /// Its number in the runtime, which is the order of calls.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn calls(&self) -> &CallChain {
        &self.calls
    }

    pub(super) fn caller(&self) -> Option<&Peers> {
        self.caller.as_ref()
    }

    /// The number of the call that it is made in.
    pub(super) fn made_in(&self) -> Option<u64> {
        self.caller.as_ref().and_then(|caller| caller.calls().last())
    }

    /// What was asked, once; `None` when nobody wants its answer any more.
    pub(super) fn begin(&self) -> Option<Asked> {
        let mut stand = self.stand.lock();
        if stand.is_abandoned { None } else { stand.asked.take() }
    }

    /// It runs as this process, unless it has ended already.
    pub(super) fn runs_as(&self, process: ProcessHandle) {
        let mut stand = self.stand.lock();
        if stand.is_answered() {
            return;
        }
        if stand.is_abandoned {
            drop(stand);
            process.terminate();
        } else {
            stand.process = Some(process);
        }
    }

    /// Gives the answer, once.
    pub(super) fn answer(&self, answer: Answer) {
        let (waker, process) = {
            let mut stand = self.stand.lock();
            stand.answer = Some(answer);
            (stand.waker.take(), stand.process.take())
        };
        drop(process);
        self.answered.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nobody wants the answer any more. True when the call may still wait for its turn.
    #[must_use]
    fn abandon(&self) -> bool {
        let (process, asked) = {
            let mut stand = self.stand.lock();
            stand.is_abandoned = true;
            stand.waker = None;
            if stand.is_answered() {
                return false;
            }
            (stand.process.take(), stand.asked.take())
        };
        if let Some(process) = process {
            process.terminate();
        }
        asked.is_some()
    }
}

impl Call {
    pub(super) fn new(cell: Arc<CallCell>, pool: Arc<Pool>) -> Self {
        Self(Inner::Taken(cell, pool))
    }

    pub(super) fn refused(error: CallError) -> Self {
        Self(Inner::Refused(Some(error)))
    }

    /// Why there is nobody who does it, if that is known already; it is the answer then.
    #[cfg(feature = "lua")]
    pub(crate) fn refusal(&self) -> Option<&CallError> {
        match &self.0 {
            Inner::Refused(error) => error.as_ref(),
            Inner::Taken(..) => None,
        }
    }

    /// Whether the answer is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.0 {
            Inner::Refused(_) => true,
            Inner::Taken(cell, _) => cell.stand.lock().is_answered(),
        }
    }

    /// Blocks this thread until the answer is there.
    ///
    /// # Errors
    /// See [`CallError`]. On a worker, where waiting would be waiting for itself, it is [`CallError::Deadlock`] at once:
    /// await the call there instead.
    ///
    /// # Panics
    /// When [`wait_timeout`](Self::wait_timeout) has returned the answer before.
    pub fn wait(mut self) -> Answer {
        if let Inner::Taken(_, pool) = &self.0
            && step::on_worker()
            && !self.is_complete()
        {
            return Err(CallError::Deadlock { entry: pool.entry().clone() });
        }
        self.wait_until(None).expect("a call has one answer")
    }

    /// Blocks this thread until the answer is there, at most this long; `None` when it is not, when it was taken before, or
    /// on a worker. The call goes on then.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Answer> {
        if step::on_worker() && !self.is_complete() {
            return None;
        }
        // A time beyond the clock's end is one without an end.
        self.wait_until(Instant::now().checked_add(timeout))
    }

    fn wait_until(&mut self, deadline: Option<Instant>) -> Option<Answer> {
        let cell = match &mut self.0 {
            Inner::Refused(error) => return error.take().map(Err),
            Inner::Taken(cell, _) => cell,
        };
        let mut stand = cell.stand.lock();
        while !stand.is_answered() {
            match deadline {
                None => cell.answered.wait(&mut stand),
                Some(deadline) => {
                    if cell.answered.wait_until(&mut stand, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        stand.take()
    }
}

impl Future for Call {
    type Output = Answer;

    /// # Panics
    /// When it is polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let cell = match &mut self.0 {
            Inner::Refused(error) => return Poll::Ready(Err(error.take().expect("a call has one answer"))),
            Inner::Taken(cell, _) => cell,
        };
        let mut stand = cell.stand.lock();
        if stand.is_answered() {
            return Poll::Ready(stand.take().expect("a call has one answer"));
        }
        let known = stand.waker.replace(context.waker().clone());
        drop(stand);
        drop(known);
        Poll::Pending
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Inner::Taken(cell, pool) = &self.0
            && cell.abandon()
        {
            pool.withdraw(cell);
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Call");
        match &self.0 {
            Inner::Refused(error) => shown.field("refused", error),
            Inner::Taken(_, pool) => shown.field("entry", pool.entry()).field("complete", &self.is_complete()),
        };
        shown.finish()
    }
}
