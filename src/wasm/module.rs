//! A binary: recognised and compiled.

use std::sync::Arc;

use wasmparser::{Encoding, Parser, Payload};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::engine::EngineError;

/// Compiled code of one binary.
#[derive(Clone)]
pub(super) enum Code {
    /// A component of the component model.
    Component(Component),
    /// A core module.
    Core(Module),
}

/// Why a binary could not be compiled.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum CompileError {
    #[error("this is no wasm binary: it begins with {found}, expected `\\0asm`{}", hint(.found))]
    NotWasm { found: String },
    #[error("this is a wasm binary of an unknown kind (layer {layer}): expected a core module or a component")]
    UnknownLayer { layer: u16 },
    #[error("the wasm binary is not valid: {cause}")]
    Invalid { cause: String },
    #[error("{0}")]
    Engine(Arc<EngineError>),
}

impl From<EngineError> for CompileError {
    fn from(error: EngineError) -> Self {
        Self::Engine(Arc::new(error))
    }
}

fn hint(found: &str) -> &'static str {
    if found.starts_with("`(") { "; this is wasm text: turn it into a binary first" } else { "" }
}

impl Code {
    /// Compiles a binary; its preamble says what it is.
    pub(super) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Self, CompileError> {
        let layer = match bytes {
            [0x00, b'a', b's', b'm', _, _, low, high, ..] => u16::from_le_bytes([*low, *high]),
            _ => {
                let start = &bytes[..bytes.len().min(8)];
                let found = if bytes.is_empty() { "nothing".to_owned() } else { format!("`{}`", start.escape_ascii()) };
                return Err(CompileError::NotWasm { found });
            }
        };
        let invalid = |error: wasmtime::Error| CompileError::Invalid { cause: chain(&error) };
        match layer {
            0 => Module::from_binary(engine, bytes).map(Self::Core).map_err(invalid),
            1 => Component::from_binary(engine, bytes).map(Self::Component).map_err(invalid),
            layer => Err(CompileError::UnknownLayer { layer }),
        }
    }
}

/// Whether instantiating a binary lays out its data and does no more: it has no start function, and no import that could wait.
pub(super) fn is_inert(bytes: &[u8]) -> bool {
    let (mut sections, mut is_component) = (Parser::new(0).parse_all(bytes), false);
    // Modules inside of a component import from each other.
    sections.all(|section| match section {
        Ok(Payload::Version { encoding, .. }) => {
            is_component |= encoding == Encoding::Component;
            true
        }
        Ok(Payload::ImportSection(imports)) => is_component || imports.count() == 0,
        Ok(Payload::ComponentImportSection(imports)) => imports.count() == 0,
        Ok(Payload::StartSection { .. } | Payload::ComponentStartSection { .. }) | Err(_) => false,
        Ok(_) => true,
    })
}

/// An error and its causes on one line.
pub(super) fn chain(error: &wasmtime::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(bytes: &[u8]) -> Result<Code, CompileError> {
        Code::compile(&Engine::default(), bytes)
    }

    #[test]
    fn the_preamble_decides() {
        assert!(matches!(compile(b"\0asm\x01\0\0\0"), Ok(Code::Core(_))));
        assert!(matches!(compile(b"\0asm\x0d\0\x01\0"), Ok(Code::Component(_))));
        assert!(matches!(compile(b"\0asm\x01\0\x07\0"), Err(CompileError::UnknownLayer { layer: 7 })));
    }

    #[test]
    fn only_what_runs_nothing_at_first_is_inert() {
        let inert = |text: &str| is_inert(&wat::parse_str(text).expect("wasm text"));
        assert!(inert(r#"(module (memory 1) (data (i32.const 0) "x") (func (export "f")))"#));
        assert!(inert("(component (core module (memory 1)))"));
        assert!(inert(r#"(component (core module (import "a" "b" (func))))"#), "from another module");
        assert!(!inert("(module (func $f) (start $f))"));
        assert!(!inert(r#"(module (import "a" "b" (func)))"#));
        assert!(!inert("(component (core module (func $f) (start $f)))"));
        assert!(!inert(r#"(component (import "f" (func)))"#));
        assert!(!is_inert(b"no wasm"));
    }

    #[test]
    fn what_is_no_wasm_says_what_it_is() {
        let text = compile(b"(module)").map(|_| ()).unwrap_err().to_string();
        assert!(text.contains("`(module)`") && text.contains("wasm text"), "{text}");
        assert!(compile(b"").map(|_| ()).unwrap_err().to_string().contains("nothing"));
        assert!(compile(b"\x7fELF").map(|_| ()).unwrap_err().to_string().contains(r"`\x7fELF`"));
        let invalid = compile(b"\0asm\x01\0\0\0garbage").map(|_| ()).unwrap_err();
        assert!(matches!(invalid, CompileError::Invalid { .. }), "{invalid}");
    }
}
