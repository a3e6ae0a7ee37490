//! Looks after the number of slots of one pool, as long as that may change by itself: a task of the host on which functions
//! run, which waits most of its time. A pool in which nothing can change has none.

use std::sync::{Arc, Weak};

use super::pool::Pool;
use crate::reactor::Reactor;

/// Whoever tends a pool. A pool whose keeper is gone, for example with its host, is untended.
pub(super) struct Keeper {
    pool: Weak<Pool>,
    is_dismissed: bool,
}

impl Keeper {
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        Self { pool: Arc::downgrade(pool), is_dismissed: false }
    }

    pub(super) async fn tend(mut self, reactor: Arc<Reactor>) {
        let Some(first) = self.pool.upgrade().map(|pool| pool.first_look()) else { return };
        let mut next = Some(first);
        while let Some(at) = next {
            reactor.sleep_until(at).await;
            let Some(pool) = self.pool.upgrade() else { break };
            next = pool.look_after();
        }
        // The pool knows, and may have another keeper by now.
        self.is_dismissed = true;
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if !self.is_dismissed
            && let Some(pool) = self.pool.upgrade()
        {
            pool.untended();
        }
    }
}
