//! What a guest imports and nobody linked: functions that end the process when they are called, with an error that says
//! what to do. Loading never fails for their sake.
//!
//! A stub is put where the engine's lookup would look: under the version that is linked already when that version is
//! compatible, so that a stub never hides an implementation, and exactly as imported otherwise. It takes the name of the
//! entry from the process that calls it, so linked code can be shared between entries.

use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType, Val};
use wasmtime::{Engine, ExternType, Module, Result, StoreContextMut};

use super::error::{NotServed, UnlistedImport};
use super::linker::WASI_VERSION;
use super::profile::{Profile, ProfileSet, profile_of_interface};
use super::state::WasiView;

/// How deep imported instances are followed into each other. Interfaces as tools write them are flat; a deeper one is
/// left to the engine's own message at instantiation.
const NESTING_MAX: usize = 16;

/// The type of every resource that nobody serves: no value of it can ever exist.
struct Unserved;

/// Links everything that `component` imports and `linker` lacks: functions become ends of the process
/// ([`UnlistedImport`], or [`NotServed`] when the entry lists the profile), resources become types without values.
///
/// Call it after everything that is served was linked; `linked` names the interfaces that other rooms put in, with their
/// versions, so that compatible versions of them are completed instead of hidden.
///
/// # Errors
/// What the engine refuses to define: imported core modules and components stay undefined and fail at instantiation.
pub fn stub_missing<T: WasiView>(
    linker: &mut Linker<T>,
    component: &Component,
    listed: ProfileSet,
    linked: &[&str],
) -> Result<()> {
    let engine = component.engine().clone();
    let ty = component.component_type();
    // Resource types met so far: an interface that uses another's type repeats it, and only the first is a definition.
    let mut known = Vec::new();
    for (import, item) in ty.imports(&engine) {
        let name = linked_name(import, linked);
        let mut stubs = Stubs { engine: &engine, interface: import, listed, known: &mut known };
        match item.ty {
            ComponentItem::ComponentInstance(instance) => {
                stubs.instance(&mut linker.instance(&name)?, &instance, NESTING_MAX)?;
            }
            item => stubs.item(&mut linker.root(), import, item, NESTING_MAX)?,
        }
    }
    Ok(())
}

/// [`stub_missing`] for a core module: functions only, since memories, tables and globals can't stand in for anything.
///
/// # Errors
/// What the engine refuses to define.
pub fn stub_missing_core<T: WasiView>(linker: &mut wasmtime::Linker<T>, module: &Module) -> Result<()> {
    for import in module.imports() {
        let ExternType::Func(ty) = import.ty() else { continue };
        let (interface, function) = (import.module().to_owned(), import.name().to_owned());
        // An error means that it is defined, which is what we want to know.
        let _ = linker.func_new(import.module(), import.name(), ty, move |mut caller, _, _| {
            Err(refusal(caller.data_mut(), &interface, &function, ProfileSet::EMPTY))
        });
    }
    Ok(())
}

struct Stubs<'a> {
    engine: &'a Engine,
    /// The import being completed, as the component names it.
    interface: &'a str,
    listed: ProfileSet,
    known: &'a mut Vec<ResourceType>,
}

impl Stubs<'_> {
    fn instance<T: WasiView>(
        &mut self,
        linker: &mut LinkerInstance<'_, T>,
        instance: &ComponentInstance,
        depth: usize,
    ) -> Result<()> {
        for (name, item) in instance.exports(self.engine) {
            self.item(linker, name, item.ty, depth)?;
        }
        Ok(())
    }

    fn item<T: WasiView>(
        &mut self,
        linker: &mut LinkerInstance<'_, T>,
        name: &str,
        item: ComponentItem,
        depth: usize,
    ) -> Result<()> {
        // Shadowing is off: defining what is there already is refused, and the definition stays.
        match item {
            ComponentItem::ComponentFunc(_) => {
                let _ = linker.func_new(name, self.function(name));
            }
            ComponentItem::Resource(ty) if !self.known.contains(&ty) => {
                self.known.push(ty);
                let _ = linker.resource(name, ResourceType::host::<Unserved>(), |_, _| Ok(()));
            }
            ComponentItem::ComponentInstance(instance) if depth > 0 => {
                self.instance(&mut linker.instance(name)?, &instance, depth - 1)?;
            }
            // Types need no definition; modules and components can't be made up.
            _ => {}
        }
        Ok(())
    }

    fn function<T: WasiView>(
        &self,
        name: &str,
    ) -> impl Fn(StoreContextMut<'_, T>, ComponentFunc, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static {
        // A function at the root has no interface: its import is the function itself.
        let interface = if self.interface == name { "" } else { self.interface }.to_owned();
        let (function, listed) = (name.to_owned(), self.listed);
        move |mut store, _, _, _| Err(refusal(store.data_mut(), &interface, &function, listed))
    }
}

/// The error by which a call of something that is not linked ends its process.
fn refusal<T: WasiView>(data: &mut T, interface: &str, function: &str, listed: ProfileSet) -> wasmtime::Error {
    let entry = data.wasi().config().entry.to_string();
    let (interface, function) = (interface.to_owned(), function.to_owned());
    let profile = profile_of_interface(&interface);
    let foreign_version = interface.starts_with("wasi:") && !is_served_version(&interface);
    let hint = foreign_version.then_some("; versions 0.2.x are, build the guest for one of them");
    match profile {
        // Listing it changes nothing: preview 1 is always there, and no other version is.
        Some(profile) if foreign_version || profile == Profile::Preview1 || listed.contains(profile) => {
            NotServed { interface, function, entry, hint }.into()
        }
        profile => {
            let line_to_add = profile.map(|profile| format!("- {profile}"));
            UnlistedImport { interface, function, entry, line_to_add }.into()
        }
    }
}

/// The name under which the missing part of an import is defined.
fn linked_name<'a>(import: &'a str, linked: &[&'a str]) -> std::borrow::Cow<'a, str> {
    let Some(track) = version_track(import) else { return import.into() };
    if let Some(name) = linked.iter().find(|name| version_track(name) == Some(track)) {
        return (*name).into();
    }
    let (interface, _) = import.split_once('@').unwrap_or((import, ""));
    if is_served_version(import) && interface.starts_with("wasi:") && profile_of_interface(interface).is_some() {
        return format!("{interface}@{WASI_VERSION}").into();
    }
    import.into()
}

/// True for a final 0.2 version.
fn is_served_version(interface: &str) -> bool {
    version_track(interface).is_some_and(|track| track.ends_with("@0.2"))
}

/// The name with as much of its version as compatible versions share: `a:b/c@1`, `a:b/c@0.2`. `None` when no other
/// version is compatible: no version, a pre-release, `0.0.x`.
fn version_track(name: &str) -> Option<&str> {
    let at = name.find('@')?;
    let version = name[at + 1..].split('+').next()?;
    let numbers: Vec<&str> = version.split('.').collect();
    let [major, minor, patch] = numbers[..] else { return None };
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if ![major, minor, patch].iter().all(is_number) {
        return None;
    }
    match (major, minor) {
        ("0", "0") => None,
        ("0", _) => Some(&name[..at + 1 + major.len() + 1 + minor.len()]),
        _ => Some(&name[..at + 1 + major.len()]),
    }
}
