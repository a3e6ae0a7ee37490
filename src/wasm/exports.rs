//! From the `method` of an entry to an export of its binary.

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex};
use wasmtime::{Engine, ExternType, FuncType, Module};

use indexmap::IndexMap;

use super::module::Code;
use super::value::Signature;
use crate::suggest;

/// The interface of a command in WASI 0.2, without its version.
const COMMAND_INTERFACE: &str = "wasi:cli/run";
/// The function of that interface.
const COMMAND_FUNCTION: &str = "run";
/// The entry point of a preview 1 command.
pub(super) const START: &str = "_start";
/// What a preview 1 library runs before anything else.
pub(super) const INITIALIZE: &str = "_initialize";

/// A method of a component, found.
pub(super) struct ComponentMethod {
    pub(super) index: ComponentExportIndex,
    pub(super) func: ComponentFunc,
    /// True for `wasi:cli/run`: arguments are the guest's argv, and the result is an exit code.
    pub(super) command: bool,
}

/// No export has the name of a method.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no function `{method}` is exported")]
pub(super) struct MethodError {
    pub(super) method: String,
    /// Every exported function with its type, as one would write `method`.
    pub(super) exports: Vec<String>,
    pub(super) suggestion: Option<String>,
}

impl MethodError {
    fn new(method: &str, exports: Vec<(String, Signature)>) -> Self {
        // `greet` for `app:pkg/iface@1.0.0#greet` is no typing error, but it is what was meant.
        let by_function = || exports.iter().find(|(name, _)| name.rsplit('#').next() == Some(method));
        let suggestion = suggest::near_miss(method, exports.iter().map(|(name, _)| name.as_str()))
            .or_else(|| by_function().map(|(name, _)| name.as_str()))
            .map(str::to_owned);
        let exports = exports.into_iter().map(|(name, signature)| signature.shown(&name)).collect();
        Self { method: method.to_owned(), exports, suggestion }
    }
}

/// One exported function of a component: `interface` is none for a plain export.
struct Export {
    interface: Option<String>,
    name: String,
    func: ComponentFunc,
    index: ComponentExportIndex,
}

impl Export {
    fn full_name(&self) -> String {
        match &self.interface {
            Some(interface) => format!("{interface}#{}", self.name),
            None => self.name.clone(),
        }
    }

    fn is_command(&self) -> bool {
        self.name == COMMAND_FUNCTION && self.interface.as_deref().map(versionless) == Some(COMMAND_INTERFACE)
    }

    /// Whether `method` names this export: exactly, or with the version of its interface left out.
    fn is_named(&self, method: &str) -> bool {
        match (method.split_once('#'), &self.interface) {
            (None, None) => self.name == method,
            (Some((asked, function)), Some(interface)) => {
                function == self.name && (asked == interface || asked == versionless(interface))
            }
            _ => false,
        }
    }
}

fn versionless(interface: &str) -> &str {
    interface.split_once('@').map_or(interface, |(name, _)| name)
}

fn exports(engine: &Engine, component: &Component) -> Vec<Export> {
    let mut found = Vec::new();
    let root = component.component_type();
    for (name, item) in root.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(func) => {
                if let Some(index) = component.get_export_index(None, name) {
                    found.push(Export { interface: None, name: name.to_owned(), func, index });
                }
            }
            ComponentItem::ComponentInstance(instance) => {
                let Some(parent) = component.get_export_index(None, name) else { continue };
                for (function, item) in instance.exports(engine) {
                    let ComponentItem::ComponentFunc(func) = item.ty else { continue };
                    let Some(index) = component.get_export_index(Some(&parent), function) else { continue };
                    found.push(Export { interface: Some(name.to_owned()), name: function.to_owned(), func, index });
                }
            }
            _ => {}
        }
    }
    found
}

/// Finds a method of a component: a plain export, `interface#function` with or without the interface's version, or `run`
/// for the command that `wasi:cli/run` is.
pub(super) fn component_method(component: &Component, method: &str) -> Result<ComponentMethod, MethodError> {
    let mut exports = exports(component.engine(), component);
    // With several versions of one interface the last is the newest: exports come in the order of their names.
    let found = exports
        .iter()
        .rposition(|export| export.is_named(method))
        .or_else(|| exports.iter().rposition(|export| method == COMMAND_FUNCTION && export.is_command()));
    match found {
        Some(at) => {
            let export = exports.swap_remove(at);
            let command = export.is_command();
            Ok(ComponentMethod { index: export.index, func: export.func, command })
        }
        None => Err(MethodError::new(
            method,
            exports.iter().map(|export| (export.full_name(), Signature::of_component(&export.func))).collect(),
        )),
    }
}

/// The functions that a binary imports, by interface or module; those without one are `$root`'s.
pub(super) fn imported(code: &Code) -> IndexMap<String, Vec<String>> {
    let mut found: IndexMap<String, Vec<String>> = IndexMap::new();
    let mut add = |interface: &str, name: &str| found.entry(interface.to_owned()).or_default().push(name.to_owned());
    match code {
        Code::Component(component) => {
            let ty = component.component_type();
            for (import, item) in ty.imports(component.engine()) {
                match item.ty {
                    ComponentItem::ComponentFunc(_) => add("$root", import),
                    ComponentItem::ComponentInstance(instance) => {
                        for (name, item) in instance.exports(component.engine()) {
                            if let ComponentItem::ComponentFunc(_) = item.ty {
                                add(import, name);
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        Code::Core(module) => {
            for import in module.imports() {
                if let ExternType::Func(_) = import.ty() {
                    add(import.module(), import.name());
                }
            }
        }
    }
    found
}

/// Finds a method of a core module.
pub(super) fn core_method(module: &Module, method: &str) -> Result<FuncType, MethodError> {
    match module.get_export(method) {
        Some(ExternType::Func(func)) => Ok(func),
        _ => Err(MethodError::new(
            method,
            module
                .exports()
                .filter_map(|export| Some((export.name().to_owned(), Signature::of_core(export.ty().func()?))))
                .collect(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component() -> Component {
        Component::new(
            &Engine::default(),
            r#"(component
                (core module $m (func (export "f")) (func (export "r") (result i32) i32.const 0))
                (core instance $i (instantiate $m))
                (func $f (canon lift (core func $i "f")))
                (func $r (result (result)) (canon lift (core func $i "r")))
                (instance $math (export "gcd" (func $f)))
                (instance $cli (export "run" (func $r)))
                (export "compute" (func $f))
                (export "acme:kit/math@1.2.0" (instance $math))
                (export "wasi:cli/run@0.2.3" (instance $cli))
            )"#,
        )
        .unwrap()
    }

    #[test]
    fn every_documented_form_finds_its_export() {
        let component = component();
        for (method, command) in [
            ("compute", false),
            ("acme:kit/math@1.2.0#gcd", false),
            ("acme:kit/math#gcd", false),
            ("run", true),
            ("wasi:cli/run#run", true),
            ("wasi:cli/run@0.2.3#run", true),
        ] {
            let found = component_method(&component, method).map(|found| found.command);
            assert_eq!(found, Ok(command), "{method}");
        }
    }

    #[test]
    fn a_wrong_method_lists_what_there_is() {
        let component = component();
        let error = |method| component_method(&component, method).map(|_| ()).unwrap_err();
        assert_eq!(error("compte").suggestion.as_deref(), Some("compute"));
        assert_eq!(error("gcd").suggestion.as_deref(), Some("acme:kit/math@1.2.0#gcd"));
        let nothing = error("elsewhere");
        assert_eq!(nothing.suggestion, None);
        assert_eq!(nothing.exports.len(), 3, "{:?}", nothing.exports);
        assert!(nothing.exports.contains(&"compute: func()".to_owned()), "{:?}", nothing.exports);
        assert_eq!(error("acme:kit/math@2.0.0#gcd").method, "acme:kit/math@2.0.0#gcd");
    }

    #[test]
    fn a_core_method_is_an_exported_function() {
        let engine = Engine::default();
        let module = Module::new(
            &engine,
            r#"(module (memory (export "memory") 1) (func (export "add") (param i32 i32) (result i32) i32.const 0))"#,
        )
        .unwrap();
        assert!(core_method(&module, "add").is_ok());
        let error = core_method(&module, "memory").unwrap_err();
        assert_eq!(error.exports, ["add: func(p0: s32, p1: s32) -> s32"]);
    }
}
