//! What an entry says of its guest, whatever its kind.

use std::sync::Arc;

use crate::registry::{
    Entry, EntryId, Hash, Isolation, LimitsSpec, PeerRules, Pool, Preempt, Spec, Values, WasiSpec, WasmCode, WasmSpec,
    WatSpec,
};

/// A `process.wasm`, a `function.wasm` or a `function.wat`.
pub(super) struct GuestSpec<'r> {
    pub(super) code: CodeSpec<'r>,
    pub(super) method: &'r str,
    pub(super) wit: Option<&'r str>,
    pub(super) imports: &'r [String],
    pub(super) wasi: &'r WasiSpec,
    pub(super) limits: &'r LimitsSpec,
    pub(super) preempt: Preempt,
    pub(super) peers: &'r PeerRules,
    pub(super) values: Values,
    /// What there is besides, when it is a function.
    pub(super) function: Option<FunctionSpec<'r>>,
}

/// Where its code is.
#[derive(Clone, Copy)]
pub(super) enum CodeSpec<'r> {
    /// In a file.
    File { fs: &'r EntryId, path: &'r str, hash: &'r Hash },
    /// In the entry, as text of a core module.
    ModuleText(&'r str),
    /// In the entry, as text of a core module or a component.
    Text(&'r str),
    /// In the entry, as it is.
    Binary(&'r Arc<[u8]>),
}

/// How a function is called.
#[derive(Clone, Copy)]
pub(super) struct FunctionSpec<'r> {
    pub(super) pool: Option<&'r Pool>,
    pub(super) isolation: Isolation,
}

impl<'r> GuestSpec<'r> {
    /// That of an entry; none for other kinds.
    pub(super) fn of(entry: &'r Entry) -> Option<Self> {
        match entry.spec() {
            Spec::ProcessWasm(spec) => Some(Self::of_file(spec, false)),
            Spec::FunctionWasm(spec) => Some(Self::of_file(spec, true)),
            Spec::FunctionWat(spec) => Some(Self::of_text(spec)),
            _ => None,
        }
    }

    fn of_file(spec: &'r WasmSpec, is_function: bool) -> Self {
        let function = FunctionSpec { pool: spec.pool.as_ref(), isolation: spec.isolation };
        Self {
            code: match &spec.code {
                WasmCode::File(file) => CodeSpec::File { fs: &file.fs, path: &file.path, hash: &file.hash },
                WasmCode::Text(text) => CodeSpec::Text(text),
                WasmCode::Binary(bytes) => CodeSpec::Binary(bytes),
            },
            method: &spec.method,
            wit: spec.wit.as_deref(),
            imports: &spec.imports,
            wasi: &spec.wasi,
            limits: &spec.limits,
            preempt: spec.preempt,
            peers: &spec.peers,
            values: spec.values,
            function: is_function.then_some(function),
        }
    }

    fn of_text(spec: &'r WatSpec) -> Self {
        Self {
            code: CodeSpec::ModuleText(&spec.source),
            method: &spec.method,
            wit: spec.wit.as_deref(),
            imports: &spec.imports,
            wasi: &spec.wasi,
            limits: &spec.limits,
            preempt: spec.preempt,
            peers: &spec.peers,
            values: spec.values,
            function: Some(FunctionSpec { pool: spec.pool.as_ref(), isolation: spec.isolation }),
        }
    }
}

impl CodeSpec<'_> {
    /// What it is called in a message.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::File { path, .. } => path,
            Self::ModuleText(_) => "source",
            Self::Text(_) => "the text",
            Self::Binary(_) => "the binary",
        }
    }

    /// Bytes that the entry itself has of it.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::File { .. } => 0,
            Self::ModuleText(text) | Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// The field of the entry that has it.
    pub(super) fn field(&self) -> &'static str {
        match self {
            Self::File { .. } => "path",
            Self::ModuleText(_) => "source",
            Self::Text(_) | Self::Binary(_) => "name",
        }
    }
}
