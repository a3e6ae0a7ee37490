//! The kinds there are, and which of them something is done with.

use crate::suggest::near_miss;

/// What is known of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KindStatus {
    /// Typed and served.
    Served,
    /// Typed, but nothing serves it yet.
    NotServedYet,
    /// A kind of Wippy that is kept as data.
    Foreign,
    /// Probably a slip.
    NearMiss(&'static str),
    /// Unknown: kept as data.
    Unknown,
}

const SERVED: [&str; 21] = [
    "process.wasm",
    "process.lua",
    "library.lua",
    "function.lua",
    "function.wasm",
    "function.wat",
    "process.service",
    "process.host",
    "terminal.host",
    "fs.directory",
    "env.storage.os",
    "env.storage.memory",
    "env.storage.static",
    "env.storage.file",
    "env.storage.router",
    "env.variable",
    "security.policy",
    "security.policy.expr",
    "ns.requirement",
    "ns.dependency",
    "ns.definition",
];

const NOT_SERVED_YET: [&str; 1] = ["fs.embed"];

/// The other kinds that Wippy's documents name.
const FOREIGN: [&str; 39] = [
    "workflow.lua",
    "module.lua",
    "function.lua.bc",
    "library.lua.bc",
    "process.lua.bc",
    "workflow.lua.bc",
    "http.service",
    "http.router",
    "http.endpoint",
    "http.static",
    "db.sql.sqlite",
    "db.sql.postgres",
    "db.sql.mysql",
    "store.memory",
    "store.sql",
    "store.kv.raft",
    "store.kv.crdt",
    "queue.driver.memory",
    "queue.driver.amqp",
    "queue.driver.sqs",
    "queue.queue",
    "queue.consumer",
    "temporal.client",
    "temporal.worker",
    "config.aws",
    "cloudstorage.s3",
    "template.jet",
    "template.set",
    "security.token_store",
    "contract.definition",
    "contract.binding",
    "exec.native",
    "exec.docker",
    "network",
    "network.socks5",
    "network.i2p",
    "network.tailscale",
    "registry.entry",
    "pg.scope",
];

impl KindStatus {
    /// Looks a kind up.
    pub(crate) fn of(kind: &str) -> Self {
        if SERVED.contains(&kind) {
            return Self::Served;
        }
        if NOT_SERVED_YET.contains(&kind) {
            return Self::NotServedYet;
        }
        if FOREIGN.contains(&kind) {
            return Self::Foreign;
        }
        near_miss(kind, all()).map_or(Self::Unknown, Self::NearMiss)
    }
}

/// Every known kind, the served ones first.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    SERVED.into_iter().chain(NOT_SERVED_YET).chain(FOREIGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_sorted_by_what_is_done_with_them() {
        assert_eq!(KindStatus::of("process.wasm"), KindStatus::Served);
        assert_eq!(KindStatus::of("function.lua"), KindStatus::Served);
        assert_eq!(KindStatus::of("fs.embed"), KindStatus::NotServedYet);
        assert_eq!(KindStatus::of("http.endpoint"), KindStatus::Foreign);
        assert_eq!(KindStatus::of("proces.wasm"), KindStatus::NearMiss("process.wasm"));
        assert_eq!(KindStatus::of("fs.directroy"), KindStatus::NearMiss("fs.directory"));
        assert_eq!(KindStatus::of("app.view"), KindStatus::Unknown);
    }

    #[test]
    fn no_kind_is_listed_twice() {
        let mut kinds: Vec<_> = all().collect();
        kinds.sort_unstable();
        let count = kinds.len();
        kinds.dedup();
        assert_eq!(kinds.len(), count);
    }
}
