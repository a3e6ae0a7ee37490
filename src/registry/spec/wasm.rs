//! `process.wasm`, `function.wasm`, `function.wat`.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::super::fields::Fields;
use super::super::hash::{Hash, ParseHashError};
use super::super::{EntryId, Value};
use super::limits::{LimitsSpec, Preempt};
use super::peers::PeerRules;
use super::pool::{Isolation, Pool};

/// A WebAssembly binary and how it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct WasmSpec {
    /// Where its code is.
    pub code: WasmCode,
    /// The export that runs.
    pub method: String,
    /// How arguments travel.
    pub transport: Transport,
    /// The signatures of a core module.
    pub wit: Option<String>,
    /// The host interfaces it may use, as written.
    pub imports: Vec<String>,
    /// Arguments, environment and folders.
    pub wasi: WasiSpec,
    /// How many instances of a function there are; without effect for processes.
    pub pool: Option<Pool>,
    /// Whether the instances of a function serve one call or several; without effect for processes.
    pub isolation: Isolation,
    /// What it may use up.
    pub limits: LimitsSpec,
    /// How it is kept from holding its worker.
    pub preempt: Preempt,
    /// What its processes may do with others.
    pub peers: PeerRules,
    /// The form in which scripts see what it returns.
    pub values: Values,
}

/// Where the code of an entry is. In files it is always a [`WasmCode::File`]; the rest is for entries that are made in code.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum WasmCode {
    /// A file.
    File(WasmFile),
    /// These bytes.
    Binary(Arc<[u8]>),
    /// The text of a component or a core module.
    Text(String),
}

/// A binary in a file system.
#[derive(Clone, Debug, PartialEq)]
pub struct WasmFile {
    /// The file system that has the binary.
    pub fs: EntryId,
    /// The binary's path in it, as written; a leading `/` is its root.
    pub path: String,
    /// What the binary's SHA-256 must be.
    pub hash: Hash,
}

impl fmt::Debug for WasmCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.fmt(f),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
        }
    }
}

/// `function.wat`: WebAssembly in text form; always a core module.
#[derive(Clone, Debug, PartialEq)]
pub struct WatSpec {
    /// The text of the module.
    pub source: String,
    /// The export that runs.
    pub method: String,
    /// How arguments travel.
    pub transport: Transport,
    /// The signatures.
    pub wit: Option<String>,
    /// The host interfaces it may use, as written.
    pub imports: Vec<String>,
    /// Arguments, environment and folders.
    pub wasi: WasiSpec,
    /// How many instances there are.
    pub pool: Option<Pool>,
    /// Whether the instances of a function serve one call or several; without effect for processes.
    pub isolation: Isolation,
    /// What it may use up.
    pub limits: LimitsSpec,
    /// How it is kept from holding its worker.
    pub preempt: Preempt,
    /// What its processes may do with others.
    pub peers: PeerRules,
    /// The form in which scripts see what it returns.
    pub values: Values,
}

/// How arguments travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// As the arguments of the function.
    #[default]
    Payload,
    /// As an HTTP request.
    WasiHttp,
}

/// The form in which scripts see what a guest returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Values {
    /// Wippy's: bytes as a table of numbers; characters, cases of an enum and flags as numbers.
    #[default]
    Wippy,
    /// Names for what has a name, characters as texts, bytes as a string.
    Named,
}

const VALUES: [(&str, Values); 2] = [("wippy", Values::Wippy), ("named", Values::Named)];

/// What a guest sees of the world: the `wasi` block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WasiSpec {
    /// The guest's arguments; none when not written, and then those of the command line count.
    pub args: Option<Vec<String>>,
    /// The initial folder, absolute; `/` when not written.
    pub cwd: Option<String>,
    /// The environment.
    pub env: Vec<WasiEnv>,
    /// The folders.
    pub mounts: Vec<Mount>,
    /// Who it may talk to; none means everybody, for entries that list sockets or HTTP at all.
    pub network: Option<NetworkRules>,
}

/// A variable of the guest's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WasiEnv {
    /// The `env.variable` that has the value.
    pub id: EntryId,
    /// The name that the guest sees.
    pub name: String,
    /// Whether the process may not start without a value.
    pub required: bool,
}

/// A folder that the guest sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The file system.
    pub fs: EntryId,
    /// Where the guest sees it, absolute and cleaned.
    pub guest: String,
    /// Whether the guest may only read.
    pub read_only: bool,
}

/// Who a guest may talk to. `deny` wins; with an `allow` only that is allowed. Rules as written: names, address ranges,
/// ports, `loopback`, `private`; whoever serves the network reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkRules {
    /// What alone is allowed; none means everything.
    pub allow: Option<Vec<String>>,
    /// What is refused.
    pub deny: Vec<String>,
}

impl WasmSpec {
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Option<Self> {
        let code = WasmCode::decode(f);
        let method = f.required_text("method", "method is required");
        let common = Common::decode(f);
        Some(Self {
            code: code?,
            method: method?,
            transport: common.transport,
            wit: common.wit,
            imports: common.imports,
            wasi: common.wasi,
            pool: common.pool,
            isolation: common.isolation,
            limits: common.limits,
            preempt: common.preempt,
            peers: common.peers,
            values: common.values,
        })
    }
}

impl WasmCode {
    fn decode(f: &mut Fields<'_, '_>) -> Option<Self> {
        if let Some(code) = &f.raw().code {
            return Some(code.clone());
        }
        let fs = f.required_id("fs", "fs is required");
        let path = f.required_text("path", "path is required");
        let hash = hash(f);
        Some(Self::File(WasmFile { fs: fs?, path: path?, hash: hash? }))
    }
}

impl WatSpec {
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Option<Self> {
        let source = f.required_text("source", "source is required");
        let method = f.required_text("method", "method is required");
        let common = Common::decode(f);
        Some(Self {
            source: source?,
            method: method?,
            transport: common.transport,
            wit: common.wit,
            imports: common.imports,
            wasi: common.wasi,
            pool: common.pool,
            isolation: common.isolation,
            limits: common.limits,
            preempt: common.preempt,
            peers: common.peers,
            values: common.values,
        })
    }
}

/// The fields that both forms share.
struct Common {
    transport: Transport,
    wit: Option<String>,
    imports: Vec<String>,
    wasi: WasiSpec,
    pool: Option<Pool>,
    isolation: Isolation,
    limits: LimitsSpec,
    preempt: Preempt,
    peers: PeerRules,
    values: Values,
}

impl Common {
    fn decode(f: &mut Fields<'_, '_>) -> Self {
        let transports = [("payload", Transport::Payload), ("wasi-http", Transport::WasiHttp)];
        Self {
            transport: f.word("transport", &transports, "invalid transport type").unwrap_or_default(),
            wit: f.text("wit").filter(|text| !text.is_empty()),
            imports: imports(f),
            wasi: f.nested("wasi", WasiSpec::decode_fields),
            pool: f.optional("pool", Pool::decode_fields),
            isolation: Isolation::decode(f),
            limits: LimitsSpec::decode(f, "limits"),
            preempt: Preempt::decode(f),
            peers: PeerRules::decode(f),
            values: f.word("values", &VALUES, "invalid form of values").unwrap_or_default(),
        }
    }
}

fn hash(f: &mut Fields<'_, '_>) -> Option<Hash> {
    const EXPECTED: &str = "`sha256:` and 64 lowercase hexadecimal digits";
    let raw = f.raw();
    let text = f.required_text("hash", "hash is required");
    let path = raw.payload.get("path").and_then(Value::as_str).map_or("FILE", |path| path.trim_start_matches('/'));
    let command = format!("`wippy hash {path}` prints the right line");
    let text = text?;
    match text.parse::<Hash>() {
        Ok(hash) => Some(hash),
        Err(error) => {
            let lower = text.trim().to_ascii_lowercase();
            let slip = lower.parse::<Hash>().is_ok();
            let mut problem = f.problem("bad-hash", "hash", error.to_string()).expected(EXPECTED);
            problem = match error {
                _ if slip => problem.help(format!("write `hash: {lower}`")),
                ParseHashError::NoAlgorithm { .. } if format!("sha256:{lower}").parse::<Hash>().is_ok() => {
                    problem.help(format!("write `hash: sha256:{lower}`"))
                }
                _ => problem.help(command),
            };
            f.error(problem);
            None
        }
    }
}

/// Each item is an ID-like text; the object form of an ID is read as its text.
fn imports(f: &mut Fields<'_, '_>) -> Vec<String> {
    let Some(value) = f.any("imports") else { return Vec::new() };
    let Some(items) = value.as_array() else {
        let problem = f.problem("wrong-type", "imports", "`imports` has the wrong type");
        f.error(problem.expected("a list of interfaces, for example `[\"wasi:cli\", \"wasi:io\"]`"));
        return Vec::new();
    };
    let mut imports = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let at = at.to_string();
        let steps = ["imports", at.as_str()];
        let text = match item {
            Value::String(text) => text.clone(),
            Value::Object(parts) => {
                let part = |key: &str| parts.get(key).and_then(Value::as_str).unwrap_or_default();
                if part("ns").is_empty() { part("name").to_owned() } else { format!("{}:{}", part("ns"), part("name")) }
            }
            _ => {
                let problem = f.problem_at("wrong-type", &steps, "an import must be a text");
                f.error(problem.expected("an interface, for example `\"wasi:cli\"`"));
                continue;
            }
        };
        if text.trim().is_empty() || text.trim_end().ends_with(':') {
            let problem = f.problem_at("invalid-value", &steps, "import :name cannot be empty");
            f.error(problem.expected("an interface, for example `wasi:cli`"));
        } else {
            imports.push(text);
        }
    }
    imports
}

impl WasiSpec {
    fn decode_fields(f: &mut Fields<'_, '_>) -> Self {
        let given = f.any("args").is_some();
        let args = f.texts("args");
        let cwd = f.text("cwd").filter(|cwd| !cwd.is_empty());
        if cwd.as_ref().is_some_and(|cwd| !cwd.starts_with('/')) {
            let problem = f.problem("invalid-value", "cwd", "wasi.cwd must be absolute");
            f.error(problem.expected("a path of the guest, for example `/app`"));
        }
        Self {
            args: given.then_some(args),
            cwd,
            env: env(f),
            mounts: mounts(f),
            network: f.optional("network", |f| NetworkRules {
                allow: f.any("allow").is_some().then(|| f.texts("allow")),
                deny: f.texts("deny"),
            }),
        }
    }
}

fn env(f: &mut Fields<'_, '_>) -> Vec<WasiEnv> {
    let mut names = HashSet::new();
    f.list("env", |f| {
        let id = f.required_id("id", "wasi.env[].id is required");
        let name = f.required_text("name", "wasi.env[].name is required");
        let required = f.flag("required");
        let name = name?;
        if name.contains(['=', '\0']) {
            let problem =
                f.problem("invalid-value", "name", format!("invalid variable name: `{}`", name.escape_debug()));
            f.error(problem.expected("a name without `=`"));
        }
        if !names.insert(name.clone()) {
            let problem = f.problem("duplicate-value", "name", format!("wasi.env[].name must be unique: `{name}`"));
            f.error(problem);
        }
        Some(WasiEnv { id: id?, name, required })
    })
}

fn mounts(f: &mut Fields<'_, '_>) -> Vec<Mount> {
    let mut guests = HashSet::new();
    f.list("mounts", |f| {
        let fs = f.required_id("fs", "wasi.mounts[].fs is required");
        let guest = f.required_text("guest", "wasi.mounts[].guest is required");
        let read_only = f.flag("read_only");
        let written = guest?;
        if !written.starts_with('/') {
            let problem = f.problem("invalid-value", "guest", "wasi.mounts[].guest must be absolute");
            f.error(
                problem.expected(format!("a path of the guest, for example `/{}`", written.trim_start_matches("./"))),
            );
        }
        let guest = clean(&written);
        if !guests.insert(guest.clone()) {
            let problem =
                f.problem("duplicate-value", "guest", format!("wasi.mounts[].guest must be unique: `{guest}`"));
            f.error(problem);
        }
        Some(Mount { fs: fs?, guest, read_only })
    })
}

/// An absolute path without `.`, `..`, doubled or trailing slashes.
pub(super) fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
