//! What a process may ask about the step it is in. The worker of the step answers, through a thread-local: a guest that
//! computes holds no reference to it, since it changes workers between steps.

pub(crate) use crate::scheduler::current::{
    cancelled, is_slice_over, mark_preempted, mark_unpreemptible, on_worker, others_wait, should_yield, take_preempted,
};
