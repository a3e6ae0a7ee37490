//! The runtime of this program, seen by `wippy ps` of others.

use std::time::{Duration, Instant};

use crate::control::{Folders, Server};
use crate::runtime::Runtime;

/// A command that ends within this time is never seen: it pays nothing for it, neither a thread nor a file.
const DELAY: Duration = Duration::from_millis(100);

/// Makes a runtime reachable, now or when it has run for a while. What prevents it is a warning: nothing of the application
/// needs it.
pub(super) struct Reachable<'a> {
    runtime: &'a Runtime,
    /// When; `None` once it was tried.
    due: Option<Instant>,
    /// As long as this lives.
    server: Option<Server>,
}

impl<'a> Reachable<'a> {
    /// Of services, which stay.
    pub(super) fn now(runtime: &'a Runtime) -> Self {
        let mut reachable = Self { runtime, due: None, server: None };
        reachable.serve();
        reachable
    }

    /// Of a command, which may end at once.
    pub(super) fn later(runtime: &'a Runtime) -> Self {
        Self { runtime, due: Some(Instant::now() + DELAY), server: None }
    }

    /// Does what is due and says how long to wait for it otherwise.
    pub(super) fn look(&mut self) -> Option<Duration> {
        let left = self.due?.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Some(left);
        }
        self.due = None;
        self.serve();
        None
    }

    fn serve(&mut self) {
        match self.runtime.serve_control(&Folders::of_user()) {
            Ok(server) => {
                tracing::debug!(runtime = server.id(), socket = %server.socket().display(), "seen by `wippy ps`");
                self.server = Some(server);
            }
            Err(error) => tracing::warn!(%error, "`wippy ps` does not see this runtime"),
        }
    }
}
