//! `process.service`.

use super::super::fields::Fields;
use super::super::{EntryId, Value};
use super::lifecycle::Lifecycle;

/// A supervised process.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessService {
    /// The process to start.
    pub process: EntryId,
    /// The host that it runs on.
    pub host: EntryId,
    /// The arguments.
    pub input: Vec<Value>,
    /// When it starts, stops and restarts.
    pub lifecycle: Lifecycle,
}

impl ProcessService {
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Option<Self> {
        let process = f.required_id("process", "process is required");
        let host = f.required_id("host", "host is required");
        if host.as_ref().is_some_and(|host| (host.namespace(), host.name()) == ("node", "control")) {
            let problem = f.problem("invalid-value", "host", "invalid host: node:control");
            f.error(problem.expected("a `process.host`"));
        }
        let input = match f.any("input") {
            None => Vec::new(),
            Some(Value::Array(items)) => items.clone(),
            Some(_) => {
                let problem = f.problem("wrong-type", "input", "`input` has the wrong type").expected("a list");
                f.error(problem.help("put the one argument into brackets: `input: [ … ]`"));
                Vec::new()
            }
        };
        let lifecycle = Lifecycle::decode(f);
        Some(Self { process: process?, host: host?, input, lifecycle })
    }
}
