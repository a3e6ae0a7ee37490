//! The limit of open descriptors: as high as the system lets this program raise it.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit to the hard one and says so in the log (`trace`). The usual soft limit is for programs that use `select`; a
/// socket or file of a guest is a descriptor of this program.
pub(super) fn raise_limit() {
    let before = getrlimit(Resource::Nofile);
    let mut wanted = before;
    wanted.current = before.maximum;
    if wanted.current != before.current {
        // A system that refuses leaves the program as it was: its guests get `new-socket-limit` sooner.
        let _ = setrlimit(Resource::Nofile, wanted);
    }
    let now = getrlimit(Resource::Nofile);
    tracing::trace!(before = ?before.current, now = ?now.current, "limit of open descriptors");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_highest_afterwards() {
        raise_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
