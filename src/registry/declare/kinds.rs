//! Builders of the common kinds: each method is a field of the file.

use std::time::Duration;

use super::super::{Isolation, LimitsSpec, Pool, PoolType, Preempt, Value, Values, WasmCode};
use super::Declaration;

macro_rules! entries {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        #[must_use = "give it to `RuntimeBuilder::entry`"]
        pub struct $name(Declaration);

        impl $name {
            pub(super) fn new(declaration: Declaration) -> Self {
                Self(declaration)
            }

            /// Sets any field; see [`Declaration::field`].
            pub fn field(self, path: &str, value: impl Into<Value>) -> Self {
                Self(self.0.field(path, value))
            }
        }

        impl From<$name> for Declaration {
            fn from(entry: $name) -> Self {
                entry.0
            }
        }
    )*};
}

entries! {
    /// A `process.wasm` or `function.wasm` that is made in code; see [`Entry::wasm`](super::Entry::wasm) and
    /// [`Entry::function`](super::Entry::function).
    ///
    /// It needs its code, of one of [`bytes`](Self::bytes), [`wat`](Self::wat) and [`file`](Self::file), and its
    /// [`method`](Self::method). All else has the defaults of a file.
    WasmEntry;

    /// A `process.host` that is made in code; see [`Entry::host`](super::Entry::host).
    HostEntry;

    /// An `fs.directory` that is made in code; see [`Entry::directory`](super::Entry::directory).
    DirectoryEntry;

    /// An `env.variable` that is made in code; see [`Entry::variable`](super::Entry::variable).
    VariableEntry;

    /// A `process.service` that is made in code; see [`Entry::service`](super::Entry::service).
    ServiceEntry;
}

impl WasmEntry {
    /// The binary: a component or a core module.
    pub fn bytes(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.code = Some(WasmCode::Binary(bytes.as_ref().into()));
        self
    }

    /// The text of a component or of a core module. What is wrong with it is told when the runtime is built.
    pub fn wat(mut self, text: impl Into<String>) -> Self {
        self.0.code = Some(WasmCode::Text(text.into()));
        self
    }

    /// The file with the binary, in an `fs.directory`, and its SHA-256 as `sha256:` and 64 digits.
    pub fn file(mut self, fs: impl Into<String>, path: impl Into<String>, hash: impl Into<String>) -> Self {
        self.0.code = None;
        self.field("fs", fs.into()).field("path", path.into()).field("hash", hash.into())
    }

    /// The export that runs: `add`, or `acme:kit/math#gcd`; `run` of a command component, `_start` of a command module.
    pub fn method(self, method: impl Into<String>) -> Self {
        self.field("method", method.into())
    }

    /// The types of a core module's functions, in WIT.
    pub fn wit(self, wit: impl Into<String>) -> Self {
        self.field("wit", wit.into())
    }

    /// One more interface that the guest may use: `wasi:cli`, or one of
    /// [`RuntimeBuilder::host_func`](crate::RuntimeBuilder::host_func).
    pub fn import(self, interface: impl Into<String>) -> Self {
        Self(self.0.item("imports", interface.into()))
    }

    /// One more argument of the guest; those of a caller count only without any.
    pub fn arg(self, argument: impl Into<String>) -> Self {
        Self(self.0.item("wasi.args", argument.into()))
    }

    /// Where relative paths of the guest start; `/` without this.
    pub fn cwd(self, folder: impl Into<String>) -> Self {
        self.field("wasi.cwd", folder.into())
    }

    /// One more variable of the guest: the `env.variable` with this ID, under this name. Without a value the process does not
    /// start.
    pub fn env(self, name: &str, variable: &str) -> Self {
        Self(self.0.item("wasi.env", serde_json::json!({ "id": variable, "name": name, "required": true })))
    }

    /// One more folder of the guest: the `fs.directory` with this ID, at this path.
    pub fn mount(self, guest: &str, directory: &str) -> Self {
        Self(self.0.item("wasi.mounts", serde_json::json!({ "fs": directory, "guest": guest })))
    }

    /// [`mount`](Self::mount), to read only.
    pub fn mount_read_only(self, guest: &str, directory: &str) -> Self {
        Self(self.0.item("wasi.mounts", serde_json::json!({ "fs": directory, "guest": guest, "read_only": true })))
    }

    /// What a process may use up.
    pub fn limits(self, limits: &LimitsSpec) -> Self {
        self.field("limits", value_of(limits))
    }

    /// How it is kept from holding its worker.
    pub fn preempt(self, preempt: Preempt) -> Self {
        let word = match preempt {
            Preempt::Epoch => "epoch",
            Preempt::None => "none",
        };
        self.field("preempt", word)
    }

    /// The form in which scripts see what it returns.
    pub fn values(self, values: Values) -> Self {
        let word = match values {
            Values::Wippy => "wippy",
            Values::Named => "named",
        };
        self.field("values", word)
    }

    /// How many calls of a function are done at once. Processes have none.
    pub fn pool(self, pool: &Pool) -> Self {
        let kind = match pool.kind {
            PoolType::Auto => Value::Null,
            PoolType::Inline => "inline".into(),
            PoolType::Lazy => "lazy".into(),
            PoolType::Static => "static".into(),
            PoolType::Adaptive => "adaptive".into(),
        };
        let Pool { size, workers, buffer, max_size, .. } = pool;
        let value = serde_json::json!({ "type": kind, "size": size, "workers": workers, "buffer": buffer, "max_size": max_size });
        self.field("pool", value)
    }

    /// Whether calls of a function have an instance each.
    pub fn isolation(self, isolation: Isolation) -> Self {
        let word = match isolation {
            Isolation::Fresh => "fresh",
            Isolation::Reuse => "reuse",
        };
        self.field("isolation", word)
    }

    /// The entry as a command of this name, for `wippy run`.
    pub fn command(self, name: impl Into<String>) -> Self {
        Self(self.0.command(name))
    }
}

impl HostEntry {
    /// How many workers, up to 1,024; one a core without this.
    pub fn workers(self, workers: usize) -> Self {
        self.field("host.workers", workers)
    }

    /// How many processes may live at once; as many as the machine bears without this.
    pub fn max_processes(self, processes: u64) -> Self {
        self.field("host.max_processes", processes)
    }

    /// How many processes may wait for their first step.
    pub fn max_queued(self, processes: u64) -> Self {
        self.field("host.max_queued", processes)
    }

    /// Has it take entries with `preempt: none`.
    pub fn allow_preempt_none(self) -> Self {
        self.field("host.allow_preempt_none", true)
    }

    /// The limits of processes whose entry is silent.
    pub fn default_limits(self, limits: &LimitsSpec) -> Self {
        self.field("host.default_limits", value_of(limits))
    }

    /// What no process may exceed, whatever its entry says.
    pub fn limits(self, limits: &LimitsSpec) -> Self {
        self.field("host.limits", value_of(limits))
    }

    /// How long its processes may take to end when they are asked to; 10 s without this.
    pub fn stop_timeout(self, timeout: Duration) -> Self {
        self.field("lifecycle.stop_timeout", duration(timeout))
    }
}

impl DirectoryEntry {
    /// Permission bits, of which the owner's say what guests may do; `0o755` without this.
    pub fn mode(self, mode: u32) -> Self {
        self.field("mode", format!("{mode:o}"))
    }

    /// Has the folder made when it is missing.
    pub fn auto_init(self) -> Self {
        self.field("auto_init", true)
    }
}

impl VariableEntry {
    /// Its public name, and its key in the storage.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.field("variable", name.into())
    }

    /// What counts when the storage has no value.
    pub fn default(self, value: impl Into<String>) -> Self {
        self.field("default", value.into())
    }

    /// Has it refuse to be written.
    pub fn readonly(self) -> Self {
        self.field("readonly", true)
    }
}

impl ServiceEntry {
    /// One more argument of its process.
    pub fn input(self, argument: impl Into<Value>) -> Self {
        Self(self.0.item("input", argument))
    }

    /// Has it start with [`Runtime::start_services`](crate::Runtime::start_services).
    pub fn auto_start(self) -> Self {
        self.field("lifecycle.auto_start", true)
    }

    /// One more service or host that runs before it.
    pub fn requires(self, service: impl Into<String>) -> Self {
        Self(self.0.item("lifecycle.requires", service.into()))
    }
}

/// A time as a file says it.
fn duration(time: Duration) -> String {
    format!("{}ns", time.as_nanos())
}

/// Limits as a file says them, silent where they are.
fn value_of(limits: &LimitsSpec) -> Value {
    let times = [("max_execution", limits.max_execution), ("max_cpu", limits.max_cpu), ("max_step", limits.max_step)];
    let numbers = [
        ("max_fuel", limits.max_fuel),
        ("max_memory", limits.max_memory),
        ("max_stack", limits.max_stack),
        ("max_instances", limits.max_instances),
        ("max_tables", limits.max_tables),
        ("max_handles", limits.max_handles),
        ("max_output", limits.max_output),
        ("max_open_sockets", limits.max_open_sockets),
        ("max_open_files", limits.max_open_files),
    ];
    let times = times.into_iter().filter_map(|(name, time)| Some((name.to_owned(), Value::from(duration(time?)))));
    let numbers = numbers.into_iter().filter_map(|(name, number)| Some((name.to_owned(), Value::from(number?))));
    Value::Object(times.chain(numbers).collect())
}
