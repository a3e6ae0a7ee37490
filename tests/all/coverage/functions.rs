//! What there is to cover: the functions of the interfaces that entries can list, as the crates that carry the
//! definitions say, and what guests import.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use wasmtime::{Engine, Module};
use wippy::wasi::Profile;
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Function, Handle, Interface, InterfaceId, Resolve, Type, TypeDefKind, TypeId, WorldItem};

/// The interface of core modules.
pub(super) const PREVIEW1: &str = "wasi_snapshot_preview1";

/// Interfaces and their functions, both by name and without a version.
pub(super) type Functions = BTreeMap<String, BTreeSet<String>>;

/// A function's name without what kind it is: `[method]pollable.ready` is `pollable.ready`, `[constructor]fields` is
/// `fields.new`.
pub(super) fn short_name(name: &str) -> String {
    match name.strip_prefix("[constructor]") {
        Some(resource) => format!("{resource}.new"),
        None => name.split_once(']').map_or(name, |(_, name)| name).to_owned(),
    }
}

/// The packages whose definitions the host functions are made of, our own among them, and their folders in them.
const DEFINITIONS: [(&str, &str); 3] =
    [("wasmtime-wasi", "src/p2/wit"), ("wasmtime-wasi-http", "wit"), ("wippy", "src/wasm/host/wit")];
const PREVIEW1_DEFINITION: (&str, &str) = ("wasmtime-wasi", "witx/p1/wasi_snapshot_preview1.witx");

/// Interfaces that no file defines, and the source that links them.
const OWN: [(&str, &str); 1] = [("wippy:runtime/funcs", include_str!("../../../src/wasm/host/funcs.rs"))];

/// The flat form of `wippy:process`: the sources that link it, and the header that declares it to guests.
const FLAT: &str = "wippy:process";
const FLAT_SOURCES: &str = concat!(
    include_str!("../../../src/wasm/host/process/flat.rs"),
    include_str!("../../../src/wasm/host/process/flat/signal.rs")
);
const FLAT_HEADER: &str = include_str!("../../../fixtures/guests/flat/wippy_process.h");

/// The definitions of every interface that a profile brings.
pub(super) struct Definitions {
    /// What is served. An interface that nothing defines is missing.
    pub(super) functions: Functions,
    /// The functions that nobody who only calls them can call: they take a resource that no function gives.
    pub(super) unreachable: Functions,
    /// Interfaces that have no functions, but resources.
    pub(super) bare: BTreeSet<String>,
}

impl Definitions {
    pub(super) fn load() -> Self {
        let packages = Packages::load();
        let listed: BTreeSet<&str> = Profile::ALL.iter().flat_map(|profile| profile.interfaces()).copied().collect();
        let (mut uses, mut bare) = (Vec::new(), BTreeSet::new());
        for (package, folder) in DEFINITIONS {
            let mut resolve = Resolve { all_features: true, ..Resolve::default() };
            resolve.push_dir(packages.folder(package).join(folder)).expect("sound definitions");
            for (name, interface) in interfaces_of(&resolve, &listed) {
                if interface.functions.is_empty() {
                    bare.insert(name.clone());
                }
                uses.extend(interface.functions.values().map(|function| Use::of(&resolve, &name, function)));
            }
        }
        let mut definitions = Self { unreachable: unreachable(&uses), functions: Functions::new(), bare };
        for function in uses {
            definitions.functions.entry(function.interface).or_default().insert(function.name);
        }
        let (package, file) = PREVIEW1_DEFINITION;
        let text = std::fs::read_to_string(packages.folder(package).join(file)).expect("the definition of preview 1");
        definitions.functions.insert(PREVIEW1.to_owned(), witx_functions(&text));
        for (interface, source) in OWN {
            definitions.functions.insert(interface.to_owned(), linked_functions(source));
        }
        definitions.functions.insert(FLAT.to_owned(), flat_functions());
        definitions
    }
}

/// The names of the functions that a source of ours links.
fn linked_functions(source: &str) -> BTreeSet<String> {
    source.split("func_wrap_async(\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}

/// The names of the functions that are linked under the module of the flat form.
pub(super) fn flat_functions() -> BTreeSet<String> {
    let quoted = |rest: &str| Some(rest.trim_start().strip_prefix('"')?.split_once('"')?.0.to_owned());
    FLAT_SOURCES.split("MODULE,").skip(1).filter_map(quoted).collect()
}

/// Those that the header declares.
pub(super) fn flat_declarations() -> BTreeSet<String> {
    let named = |rest: &str| Some(rest.split_once(')')?.0.to_owned());
    FLAT_HEADER.split("WIPPY_IMPORT(").skip(1).filter_map(named).filter(|name| name != "name").collect()
}

/// Folders of the dependencies.
struct Packages(serde_json::Value);

impl Packages {
    fn load() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
        let said = |arguments: &[&str]| {
            let output = Command::new(&cargo).args(arguments).output().expect("cargo starts");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("text")
        };
        let version = said(&["-vV"]);
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("the platform");
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        // Packages of other platforms may not have been downloaded.
        let described = said(&[
            "metadata",
            "--offline",
            "--locked",
            "--format-version=1",
            "--filter-platform",
            host,
            "--manifest-path",
            manifest,
        ]);
        Self(serde_json::from_str(&described).expect("JSON"))
    }

    fn folder(&self, name: &str) -> PathBuf {
        let packages = self.0["packages"].as_array().expect("the packages");
        let package = packages.iter().find(|package| package["name"] == name).expect("a dependency of this name");
        let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
        manifest.parent().expect("a folder").to_owned()
    }
}

/// One function, with the resources that it takes and gives.
struct Use {
    interface: String,
    name: String,
    takes: BTreeSet<String>,
    gives: BTreeSet<String>,
}

impl Use {
    fn of(resolve: &Resolve, interface: &str, function: &Function) -> Self {
        let (mut takes, mut gives) = (BTreeSet::new(), BTreeSet::new());
        function.params.iter().for_each(|param| resources(resolve, param.ty, false, &mut takes));
        function.result.iter().for_each(|ty| resources(resolve, *ty, true, &mut gives));
        Self { interface: interface.to_owned(), name: function.name.clone(), takes, gives }
    }
}

/// The listed interfaces by their names.
fn interfaces_of<'a>(resolve: &'a Resolve, listed: &BTreeSet<&str>) -> Vec<(String, &'a Interface)> {
    let named = resolve.interfaces.iter().filter_map(|(id, interface)| Some((interface_name(resolve, id)?, interface)));
    named.filter(|(name, _)| listed.contains(name.as_str())).collect()
}

fn interface_name(resolve: &Resolve, id: InterfaceId) -> Option<String> {
    let interface = &resolve.interfaces[id];
    let package = &resolve.packages[interface.package?].name;
    Some(format!("{}:{}/{}", package.namespace, package.name, interface.name.as_ref()?))
}

/// The resources whose handles a value of this type holds; with `perhaps`, also those that it may hold.
fn resources(resolve: &Resolve, ty: Type, perhaps: bool, found: &mut BTreeSet<String>) {
    let Type::Id(id) = ty else { return };
    let mut go = |ty: Type| resources(resolve, ty, perhaps, found);
    match &resolve.types[id].kind {
        TypeDefKind::Handle(Handle::Own(resource) | Handle::Borrow(resource)) => {
            found.insert(resource_name(resolve, *resource));
        }
        TypeDefKind::Type(ty) => go(*ty),
        TypeDefKind::Record(record) => record.fields.iter().for_each(|field| go(field.ty)),
        TypeDefKind::Tuple(tuple) => tuple.types.iter().for_each(|ty| go(*ty)),
        TypeDefKind::Option(ty) | TypeDefKind::List(ty) if perhaps => go(*ty),
        TypeDefKind::Result(result) if perhaps => result.ok.iter().chain(&result.err).for_each(|ty| go(*ty)),
        TypeDefKind::Variant(variant) if perhaps => variant.cases.iter().filter_map(|case| case.ty).for_each(go),
        _ => {}
    }
}

/// The name of a resource where it was defined, whatever it was imported as.
fn resource_name(resolve: &Resolve, id: TypeId) -> String {
    let ty = &resolve.types[id];
    if let TypeDefKind::Type(Type::Id(origin)) = ty.kind {
        return resource_name(resolve, origin);
    }
    let wit_parser::TypeOwner::Interface(interface) = ty.owner else { panic!("a resource of no interface") };
    let interface = interface_name(resolve, interface).expect("a named interface");
    format!("{interface}/{}", ty.name.as_ref().expect("a named resource"))
}

/// What is left when every function has been called that can be, until no call gives a resource of a new kind.
fn unreachable(uses: &[Use]) -> Functions {
    let mut held = BTreeSet::new();
    loop {
        let before = held.len();
        let (callable, left): (Vec<_>, Vec<_>) = uses.iter().partition(|function| function.takes.is_subset(&held));
        held.extend(callable.iter().flat_map(|function| function.gives.iter().cloned()));
        if held.len() == before {
            let mut unreachable = Functions::new();
            for function in left {
                unreachable.entry(function.interface.clone()).or_default().insert(function.name.clone());
            }
            return unreachable;
        }
    }
}

/// The functions of a module in witx.
fn witx_functions(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("(@interface func (export \""));
    lines.filter_map(|rest| rest.split_once('"').map(|(name, _)| name.to_owned())).collect()
}

/// What the binary of a guest imports.
pub(super) fn imports_of(guest: &Path) -> Functions {
    let bytes = std::fs::read(guest).unwrap_or_else(|error| panic!("{}: {error}", guest.display()));
    let mut functions = Functions::new();
    if let Ok(module) = Module::new(&Engine::default(), &bytes) {
        for import in module.imports() {
            functions.entry(import.module().to_owned()).or_default().insert(import.name().to_owned());
        }
        return functions;
    }
    let Ok(DecodedWasm::Component(resolve, world)) = decode(&bytes) else { panic!("{}", guest.display()) };
    for item in resolve.worlds[world].imports.values() {
        let WorldItem::Interface { id, .. } = item else { continue };
        let name = interface_name(&resolve, *id).expect("a named interface");
        functions.entry(name).or_default().extend(resolve.interfaces[*id].functions.keys().cloned());
    }
    functions
}
