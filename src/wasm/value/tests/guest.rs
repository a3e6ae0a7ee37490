//! Guests made for a type: a component and a core module around the same memory.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasmtime::component::{Component, Linker, types::ComponentItem};
use wasmtime::{Engine, Instance, Module, Store};

use super::super::core::CorePlan;
use super::super::{ComponentPlan, Stack, WitType};
use super::Payload;

/// Where the guests' allocator begins; the first allocation is here.
pub(super) const HEAP: u32 = 4096;

/// Memory, a bump allocator, and functions that hand back what they get.
///
/// - `id` returns the pointer it gets; `dump` notes it at 0 and returns all memory; `load` returns a pointer into a list.
/// - `echo` returns a string or list through a pointer, `both` as two results; `freed` adds up what `cabi_post_echo` got.
/// - `wild` returns a string far outside memory.
pub(super) const CORE: &str = r#"
    (memory (export "memory") 2)
    (global $top (mut i32) (i32.const 4096))
    (global $freed (mut i32) (i32.const 0))
    (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and
            (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.set $top (i32.add (local.get $at) (local.get $size)))
        (block $enough (loop $more
            (br_if $enough (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
            (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
            (br $more)))
        (local.get $at))
    (func (export "id") (param i32) (result i32) (local.get 0))
    (func (export "dump") (param i32) (result i32)
        (i32.store (i32.const 0) (local.get 0))
        (i32.store (i32.const 8) (i32.const 0))
        (i32.store (i32.const 12) (global.get $top))
        (i32.const 8))
    (func (export "load") (param i32 i32) (param $root i32) (result i32) (local.get $root))
    (func (export "echo") (param i32 i32) (result i32)
        (i32.store (i32.const 16) (local.get 0))
        (i32.store (i32.const 20) (local.get 1))
        (i32.const 16))
    (func (export "both") (param i32 i32) (result i32 i32) (local.get 0) (local.get 1))
    (func (export "cabi_post_echo") (param i32) (global.set $freed (i32.add (global.get $freed) (local.get 0))))
    (func (export "freed") (result i32) (global.get $freed))
    (func (export "sum") (param $at i32) (param $count i32) (result i32) (local $sum i32)
        (block $done (loop $next
            (br_if $done (i32.eqz (local.get $count)))
            (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $at))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (local.set $count (i32.sub (local.get $count) (i32.const 1)))
            (br $next)))
        (local.get $sum))
    (func (export "add32") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "add64") (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1)))
    (func (export "half") (param f64) (result f64) (f64.mul (local.get 0) (f64.const 0.5)))
    (func (export "same32") (param i32) (result i32) (local.get 0))
    (func (export "same64") (param i64) (result i64) (local.get 0))
    (func (export "nothing"))
    (func (export "wild") (result i32)
        (i32.store (i32.const 16) (i32.const 2147483647)) (i32.store (i32.const 20) (i32.const 2147483647))
        (i32.const 16))
"#;

/// Runs a future that never has to wait.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the guest waits"),
    }
}

/// The text of a component around [`CORE`] with more core functions and these exports: names with component function types
/// in WAT, lifted from core functions.
pub(crate) fn component(types: &str, core: &str, exports: &[(&str, &str, &str)]) -> String {
    let lifts: String = exports
        .iter()
        .map(|(name, core, ty)| {
            let options = r#"(memory (core memory $i "memory")) (realloc (core func $i "cabi_realloc"))"#;
            format!("(func (export \"{name}\") {ty} (canon lift (core func $i \"{core}\") {options}))\n")
        })
        .collect();
    format!("(component\n(core module $m {CORE}\n{core})\n(core instance $i (instantiate $m))\n{types}\n{lifts})")
}

/// A component around [`CORE`] with more core functions and these exports, an instance and a plan for each.
pub(super) struct Guest {
    pub(super) store: Store<()>,
    component: Component,
    instance: wasmtime::component::Instance,
}

impl Guest {
    /// `exports` are names with component function types in WAT, lifted from the core functions of `core` by `lifts`.
    pub(super) fn new(engine: &Engine, types: &str, core: &str, exports: &[(&str, &str, &str)]) -> Guest {
        let text = component(types, core, exports);
        let component = Component::new(engine, &text).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        let mut store = Store::new(engine, ());
        let instance = now(Linker::new(engine).instantiate_async(&mut store, &component)).unwrap();
        Guest { store, component, instance }
    }

    pub(super) fn plan(&self, name: &str) -> ComponentPlan {
        let ty = self.component.component_type();
        match ty.get_export(self.store.engine(), name).unwrap().ty {
            ComponentItem::ComponentFunc(func) => ComponentPlan::new(name, &func).unwrap(),
            other => panic!("`{name}` is {other:?}"),
        }
    }

    pub(super) fn call(
        &mut self,
        plan: &ComponentPlan,
        name: &str,
        arguments: &[Payload],
    ) -> wasmtime::Result<Payload> {
        let func = self.instance.get_func(&mut self.store, name).unwrap();
        now(plan.call(Stack::Own, &func, &mut self.store, arguments))
    }
}

/// An instance of [`CORE`] as a module.
pub(super) struct CoreGuest {
    pub(super) store: Store<()>,
    pub(super) module: Module,
    instance: Instance,
}

impl CoreGuest {
    pub(super) fn new() -> CoreGuest {
        let engine = Engine::default();
        let module = Module::new(&engine, format!("(module {CORE})")).unwrap();
        CoreGuest::of(&engine, module)
    }

    pub(super) fn of(engine: &Engine, module: Module) -> CoreGuest {
        let mut store = Store::new(engine, ());
        let instance = now(Instance::new_async(&mut store, &module, &[])).unwrap();
        CoreGuest { store, module, instance }
    }

    pub(super) fn plan(&self, method: &str, ty: &str) -> CorePlan {
        CorePlan::new(method, &self.module, Some(&format!("{method}: {ty};"))).unwrap()
    }

    pub(super) fn call(&mut self, plan: &CorePlan, arguments: &[Payload]) -> wasmtime::Result<Payload> {
        now(plan.call(Stack::Own, &self.instance, &mut self.store, arguments))
    }
}

/// Component types in WAT: records, variants, enums and flags must be exported under a name to be used by exports.
#[derive(Default)]
pub(crate) struct WatTypes {
    pub(crate) definitions: String,
    count: usize,
}

impl WatTypes {
    pub(crate) fn reference(&mut self, ty: &WitType) -> String {
        let body = match ty {
            WitType::List(element) => return format!("(list {})", self.reference(element)),
            WitType::Option(some) => return format!("(option {})", self.reference(some)),
            WitType::Tuple(types) => {
                let types: Vec<_> = types.iter().map(|ty| self.reference(ty)).collect();
                return format!("(tuple {})", types.join(" "));
            }
            WitType::Result { ok, err } => {
                let ok = ok.as_ref().map(|ty| self.reference(ty)).unwrap_or_default();
                let err = err.as_ref().map(|ty| format!("(error {})", self.reference(ty))).unwrap_or_default();
                return format!("(result {ok} {err})");
            }
            WitType::Record(fields) => {
                let fields =
                    fields.iter().map(|field| format!("(field \"{}\" {})", field.name, self.reference(&field.ty)));
                format!("(record {})", fields.collect::<Vec<_>>().join(" "))
            }
            WitType::Variant(cases) => {
                let cases = cases.iter().map(|case| {
                    let ty = case.ty.as_ref().map(|ty| self.reference(ty)).unwrap_or_default();
                    format!("(case \"{}\" {ty})", case.name)
                });
                format!("(variant {})", cases.collect::<Vec<_>>().join(" "))
            }
            WitType::Enum(names) => format!("(enum {})", quoted(names)),
            WitType::Flags(names) => format!("(flags {})", quoted(names)),
            primitive => return primitive.to_string(),
        };
        let id = self.count;
        self.count += 1;
        self.definitions += &format!("(type $d{id} {body}) (export $t{id} \"t{id}\" (type $d{id}))\n");
        format!("$t{id}")
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" ")
}
