//! The name of a running process.

/// Names one process of one runtime: `{host|0x00001}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pid {
    host: std::sync::Arc<str>,
    unique: u64,
}
