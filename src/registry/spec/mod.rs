//! The typed kinds: one struct a kind, one file a family, each with the reader of its fields beside it.

mod env;
mod fs;
mod host;
mod lifecycle;
mod limits;
mod lua;
mod modules;
mod peers;
mod pool;
mod security;
mod service;
mod wasm;

pub use env::{EnvStorageFile, EnvStorageRouter, EnvStorageStatic, EnvVariable};
pub use fs::{DirectoryBase, FsDirectory};
pub use host::{MailboxSpec, ProcessHost, TerminalHost};
pub use lifecycle::{Lifecycle, Restart, RestartPolicy, ServiceSecurity, Startup};
pub use limits::{LimitsSpec, Preempt};
pub use lua::LuaSpec;
pub use modules::{Dependency, Parameter, Requirement, Target};
pub use peers::{PeerRules, Reach};
pub use pool::{Isolation, Pool, PoolType};
pub use security::{Condition, ConditionOperator, Effect, FieldPath, Operand, PolicySpec, PolicyTest};
pub use service::ProcessService;
pub use wasm::{Mount, NetworkRules, Transport, Values, WasiEnv, WasiSpec, WasmCode, WasmFile, WasmSpec, WatSpec};

pub(crate) use host::{MAX_DROP_OLDEST, MAX_TOPIC};
pub(crate) use modules::is_module_name;

use super::fields::Fields;
use super::source::RawEntry;
use super::{Diagnostics, Value};

/// What an entry declares, typed by its kind.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Spec {
    /// `fs.directory`: a folder of the host.
    FsDirectory(FsDirectory),
    /// `fs.embed`: the files of a pack; not served yet.
    FsEmbed,
    /// `env.storage.os`: the environment of the program, read only.
    EnvStorageOs,
    /// `env.storage.memory`: values that last as long as the runtime.
    EnvStorageMemory,
    /// `env.storage.static`: values written in the entry, read only.
    EnvStorageStatic(EnvStorageStatic),
    /// `env.storage.file`: a `.env` file.
    EnvStorageFile(EnvStorageFile),
    /// `env.storage.router`: several storages, tried in order.
    EnvStorageRouter(EnvStorageRouter),
    /// `env.variable`: a variable of a storage.
    EnvVariable(EnvVariable),
    /// `process.host`: where processes run.
    ProcessHost(ProcessHost),
    /// `terminal.host`: where a command runs, with the terminal's streams.
    TerminalHost(TerminalHost),
    /// `process.lua`: a Lua process.
    ProcessLua(LuaSpec),
    /// `function.lua`: a Lua function.
    FunctionLua(LuaSpec),
    /// `library.lua`: Lua code for others.
    LibraryLua(LuaSpec),
    /// `process.wasm`: a WebAssembly process.
    ProcessWasm(WasmSpec),
    /// `function.wasm`: a WebAssembly function.
    FunctionWasm(WasmSpec),
    /// `function.wat`: a WebAssembly function in text form.
    FunctionWat(WatSpec),
    /// `process.service`: a supervised process.
    ProcessService(ProcessService),
    /// `security.policy`: what may be done with what, by conditions.
    SecurityPolicy(PolicySpec),
    /// `security.policy.expr`: the same by an expression.
    SecurityPolicyExpr(PolicySpec),
    /// `ns.requirement`: a value that a module needs.
    Requirement(Requirement),
    /// `ns.dependency`: a module that is used, with its parameters.
    Dependency(Dependency),
    /// `ns.definition`: describes a namespace.
    Definition(Value),
    /// Any other kind: kept as data.
    Unserved(Value),
}

impl Spec {
    /// The kind that has this form; none for [`Spec::Unserved`].
    pub fn kind(&self) -> Option<&'static str> {
        Some(match self {
            Self::FsDirectory(_) => "fs.directory",
            Self::FsEmbed => "fs.embed",
            Self::EnvStorageOs => "env.storage.os",
            Self::EnvStorageMemory => "env.storage.memory",
            Self::EnvStorageStatic(_) => "env.storage.static",
            Self::EnvStorageFile(_) => "env.storage.file",
            Self::EnvStorageRouter(_) => "env.storage.router",
            Self::EnvVariable(_) => "env.variable",
            Self::ProcessHost(_) => "process.host",
            Self::TerminalHost(_) => "terminal.host",
            Self::ProcessLua(_) => "process.lua",
            Self::FunctionLua(_) => "function.lua",
            Self::LibraryLua(_) => "library.lua",
            Self::ProcessWasm(_) => "process.wasm",
            Self::FunctionWasm(_) => "function.wasm",
            Self::FunctionWat(_) => "function.wat",
            Self::ProcessService(_) => "process.service",
            Self::SecurityPolicy(_) => "security.policy",
            Self::SecurityPolicyExpr(_) => "security.policy.expr",
            Self::Requirement(_) => "ns.requirement",
            Self::Dependency(_) => "ns.dependency",
            Self::Definition(_) => "ns.definition",
            Self::Unserved(_) => return None,
        })
    }

    /// The wasm fields of `process.wasm` and `function.wasm`.
    pub fn wasm(&self) -> Option<&WasmSpec> {
        match self {
            Self::ProcessWasm(spec) | Self::FunctionWasm(spec) => Some(spec),
            _ => None,
        }
    }

    /// The fields of `security.policy` and `security.policy.expr`.
    pub fn policy(&self) -> Option<&PolicySpec> {
        match self {
            Self::SecurityPolicy(spec) | Self::SecurityPolicyExpr(spec) => Some(spec),
            _ => None,
        }
    }

    /// The lifecycle, where the kind has one.
    pub fn lifecycle(&self) -> Option<&Lifecycle> {
        match self {
            Self::ProcessHost(host) => Some(&host.lifecycle),
            Self::TerminalHost(host) => Some(&host.lifecycle),
            Self::ProcessService(service) => Some(&service.lifecycle),
            _ => None,
        }
    }

    /// Types an entry. None when a field is missing without which there is nothing to type; every problem is reported.
    pub(crate) fn decode(raw: &RawEntry, problems: &mut Diagnostics) -> Option<Self> {
        let mut fields = Fields::of_payload(raw, problems);
        let f = &mut fields;
        let spec = match raw.kind.as_str() {
            "fs.directory" => FsDirectory::decode(f).map(Self::FsDirectory),
            "fs.embed" => Some(Self::FsEmbed),
            "env.storage.os" => Some(Self::EnvStorageOs),
            "env.storage.memory" => Some(Self::EnvStorageMemory),
            "env.storage.static" => Some(Self::EnvStorageStatic(EnvStorageStatic::decode(f))),
            "env.storage.file" => EnvStorageFile::decode(f).map(Self::EnvStorageFile),
            "env.storage.router" => Some(Self::EnvStorageRouter(EnvStorageRouter::decode(f))),
            "env.variable" => EnvVariable::decode(f).map(Self::EnvVariable),
            "process.host" => Some(Self::ProcessHost(ProcessHost::decode(f))),
            "terminal.host" => Some(Self::TerminalHost(TerminalHost::decode(f))),
            "process.lua" => LuaSpec::decode(f, true).map(Self::ProcessLua),
            "function.lua" => LuaSpec::decode(f, true).map(Self::FunctionLua),
            "library.lua" => LuaSpec::decode(f, false).map(Self::LibraryLua),
            "process.wasm" => WasmSpec::decode(f).map(Self::ProcessWasm),
            "function.wasm" => WasmSpec::decode(f).map(Self::FunctionWasm),
            "function.wat" => WatSpec::decode(f).map(Self::FunctionWat),
            "process.service" => ProcessService::decode(f).map(Self::ProcessService),
            "security.policy" => PolicySpec::decode(f).map(Self::SecurityPolicy),
            "security.policy.expr" => PolicySpec::decode_expr(f).map(Self::SecurityPolicyExpr),
            "ns.requirement" => Some(Self::Requirement(Requirement::decode(f))),
            "ns.dependency" => Dependency::decode(f).map(Self::Dependency),
            // What else may stand in these is not known here, so nothing in them is unknown either.
            "ns.definition" => return Some(Self::Definition(raw.payload.clone())),
            _ => return Some(Self::Unserved(raw.payload.clone())),
        };
        fields.finish();
        spec
    }
}

#[cfg(test)]
mod tests;
