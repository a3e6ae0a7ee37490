//! Entries that are made in code: the fields of a file without the file, and all of its checks.
//!
//! A declaration is written out as the JSON that a file would have, and goes on as one. So nothing can be said in code that
//! a file could not say, but for a binary, and every problem has a place: the line of that JSON, in a file whose name is the
//! entry and the place in the source where it was made.

mod kinds;

use std::panic::Location;
use std::path::PathBuf;

use serde_json::Map;

pub use kinds::{DirectoryEntry, HostEntry, ServiceEntry, VariableEntry, WasmEntry};

use super::{Entry, EntryId, ParseIdError, Value, WasmCode};

/// An entry that is made in code, as a file would declare it; of any kind. Those of the common kinds have builders of their
/// own, which [`Entry::wasm`], [`Entry::function`], [`Entry::host`], [`Entry::directory`] and others begin.
///
/// ```
/// use wippy::Runtime;
/// use wippy::registry::{Declaration, Entry};
///
/// let double = "(module (func (export \"run\") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2))))";
/// let runtime = Runtime::builder()
///     .entry(Entry::host("app:processes"))
///     .entry(Declaration::new("app:double", "function.wat").field("source", double).field("method", "run"))
///     .build()?;
/// assert_eq!(runtime.call("app:double", [21]).wait()?, 42.into());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "give it to `RuntimeBuilder::entry`"]
pub struct Declaration {
    id: String,
    kind: String,
    fields: Map<String, Value>,
    pub(super) code: Option<WasmCode>,
    made_at: &'static Location<'static>,
}

impl Declaration {
    /// An entry of this ID, `namespace:name`, and this kind. What is wrong with either is told when the runtime is built.
    #[track_caller]
    pub fn new(id: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { id: id.into(), kind: kind.into(), fields: Map::new(), code: None, made_at: Location::caller() }
    }

    /// Sets a field to what a file would have there. A path with dots is a field of a mapping: `limits.max_memory`.
    pub fn field(mut self, path: &str, value: impl Into<Value>) -> Self {
        *self.place(path) = value.into();
        self
    }

    /// The entry as a command of this name, for `wippy run`.
    pub fn command(self, name: impl Into<String>) -> Self {
        self.field("meta.command.name", name.into())
    }

    /// One more item of the list that is at this path.
    fn item(mut self, path: &str, value: impl Into<Value>) -> Self {
        match self.place(path) {
            Value::Array(items) => items.push(value.into()),
            other => *other = Value::Array(vec![value.into()]),
        }
        self
    }

    /// The value at this path; what is on the way and no mapping becomes one.
    fn place(&mut self, path: &str) -> &mut Value {
        let mut steps = path.split('.');
        let first = steps.next().unwrap_or_default();
        steps.fold(self.fields.entry(first).or_insert(Value::Null), |value, step| {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            match value {
                Value::Object(fields) => fields.entry(step).or_insert(Value::Null),
                other => other,
            }
        })
    }

    pub(super) fn id(&self) -> Result<EntryId, ParseIdError> {
        EntryId::resolve(&self.id, "")
    }

    /// The name under which its text is shown.
    pub(super) fn shown(&self) -> PathBuf {
        format!("<{}, {}>", self.id, self.made_at).into()
    }

    /// The file that would declare it.
    pub(super) fn text(&self, id: &EntryId) -> String {
        let head = [("namespace", id.namespace()), ("name", id.name()), ("kind", &self.kind)];
        let head = head.map(|(name, value)| (name.to_owned(), Value::from(value)));
        let fields: Map<String, Value> = head.into_iter().chain(self.fields.clone()).collect();
        format!("{:#}", Value::Object(fields))
    }
}

impl Entry {
    /// A `process.wasm` that is made in code.
    ///
    /// ```
    /// use wippy::Runtime;
    /// use wippy::process::Exit;
    /// use wippy::registry::{Entry, LimitsSpec};
    ///
    /// const ADD: &str = r#"(module (func (export "add") (param i32 i32) (result i32)
    ///     (i32.add (local.get 0) (local.get 1))))"#;
    ///
    /// let limits = LimitsSpec { max_memory: Some(1 << 20), ..LimitsSpec::default() };
    /// let runtime = Runtime::builder()
    ///     .entry(Entry::host("app:processes").workers(2))
    ///     .entry(Entry::wasm("app:add").wat(ADD).method("add").limits(&limits))
    ///     .build()?;
    /// assert_eq!(runtime.spawn("app:add", [40, 2])?.wait(), Exit::Returned(42.into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn wasm(id: impl Into<String>) -> WasmEntry {
        WasmEntry::new(Declaration::new(id, "process.wasm"))
    }

    /// A `function.wasm` that is made in code: what [`Runtime::call`](crate::Runtime::call) calls.
    ///
    /// ```
    /// use wippy::Runtime;
    /// use wippy::registry::Entry;
    ///
    /// let greeter = std::fs::read("fixtures/guests/greet.wasm")?;
    /// let runtime = Runtime::builder()
    ///     .entry(Entry::host("app:processes"))
    ///     .entry(Entry::function("app:greet").bytes(greeter).method("greet"))
    ///     .build()?;
    /// assert_eq!(runtime.call("app:greet", ["World"]).wait()?, "Hello, World!".into());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn function(id: impl Into<String>) -> WasmEntry {
        WasmEntry::new(Declaration::new(id, "function.wasm"))
    }

    /// A `process.host` that is made in code: workers, and the processes that they run.
    #[track_caller]
    pub fn host(id: impl Into<String>) -> HostEntry {
        HostEntry::new(Declaration::new(id, "process.host"))
    }

    /// A `terminal.host` that is made in code: one worker, and the streams of this program.
    #[track_caller]
    pub fn terminal(id: impl Into<String>) -> Declaration {
        Declaration::new(id, "terminal.host")
    }

    /// An `fs.directory` that is made in code: a folder, which guests see where their entries mount it. A relative one begins
    /// at the application's folder, and without one at the current folder of the program.
    #[track_caller]
    pub fn directory(id: impl Into<String>, folder: impl Into<PathBuf>) -> DirectoryEntry {
        let folder: PathBuf = folder.into();
        DirectoryEntry::new(Declaration::new(id, "fs.directory").field("directory", folder.to_string_lossy().as_ref()))
    }

    /// An `env.storage.static` that is made in code: these values.
    #[track_caller]
    pub fn values<K: Into<String>, V: Into<String>>(
        id: impl Into<String>,
        values: impl IntoIterator<Item = (K, V)>,
    ) -> Declaration {
        let values: Map<_, _> =
            values.into_iter().map(|(key, value)| (key.into(), Value::from(value.into()))).collect();
        Declaration::new(id, "env.storage.static").field("values", values)
    }

    /// An `env.variable` that is made in code: a variable of this storage.
    #[track_caller]
    pub fn variable(id: impl Into<String>, storage: impl Into<String>) -> VariableEntry {
        VariableEntry::new(Declaration::new(id, "env.variable").field("storage", storage.into()))
    }

    /// A `process.service` that is made in code: a process that is kept running on a host.
    #[track_caller]
    pub fn service(id: impl Into<String>, process: impl Into<String>, host: impl Into<String>) -> ServiceEntry {
        let declaration = Declaration::new(id, "process.service");
        ServiceEntry::new(declaration.field("process", process.into()).field("host", host.into()))
    }
}
