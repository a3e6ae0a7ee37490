//! The typed errors by which a host function ends its process. Each can be found again in a `wasmtime::Error` by
//! downcasting, also below the backtrace that the engine adds.

/// The guest asked to exit: `wasi:cli/exit` or preview 1 `proc_exit`. An end, not a failure; look for it before a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest exited with code {code}")]
pub struct GuestExit {
    /// The code: 0 for `exit(ok)`, 1 for `exit(err)`, otherwise as the guest gave it.
    pub code: u32,
}

/// The guest called an import that its entry does not list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnlistedImport {
    /// The interface as the guest imports it, with its version; empty for a function without interface.
    pub interface: String,
    /// The function called.
    pub function: String,
    /// The entry whose process called it.
    pub entry: String,
    /// The line that enables it under `imports:`; `None` when nothing here serves the interface.
    pub line_to_add: Option<String>,
}

impl std::fmt::Display for UnlistedImport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let UnlistedImport { function, entry, .. } = self;
        write!(f, "the guest of `{entry}` called `{function}`")?;
        if !self.interface.is_empty() {
            write!(f, " of `{}`", self.interface)?;
        }
        match &self.line_to_add {
            Some(line) => write!(f, ", which the entry does not list: add `{line}` under `imports:`"),
            None => f.write_str(", which nothing here serves: build the guest without this import"),
        }
    }
}

impl std::error::Error for UnlistedImport {}

/// The guest called a function of a listed import that this version does not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest of `{entry}` called `{function}` of `{interface}`, which this version does not serve{}", .hint.unwrap_or_default())]
pub struct NotServed {
    /// The interface as the guest imports it, with its version.
    pub interface: String,
    /// The function called.
    pub function: String,
    /// The entry whose process called it.
    pub entry: String,
    /// What to do instead, as the end of the message.
    pub hint: Option<&'static str>,
}

/// A core module called a host function that works on memory, but exports no memory named `memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the module calls a host function that needs its memory, but exports no unshared memory named `memory`")]
pub struct NoMemory;
