//! The listed profiles, linked to their implementations in this room.

use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random};
use wasmtime_wasi_io::bindings::wasi::io;

use super::profile::{Profile, ProfileSet};
use super::state::{WasiState, WasiView};

/// The version under which every interface is linked. The engine finds it for any other `0.2.x` a guest asks for.
pub(super) const WASI_VERSION: &str = "0.2.12";

/// The host state as the bindings want it: host functions are methods of [`WasiState`].
type State = HasSelf<WasiState>;

/// Links what `listed` enables, for [`super::stub_missing`] to complete per component.
///
/// Always linked, whatever is listed, because they act on nothing but handles already held: `wasi:io`, the resource types
/// and error codes of `wasi:filesystem/types`, and `wasi:filesystem/preopens`, which knows no directory then. Call it
/// once per linker.
///
/// ```
/// use wasmtime::component::{Component, Linker};
/// use wasmtime::{Engine, Store};
/// use wippy::reactor::{Clock, Reactor, ReactorConfig};
/// use wippy::wasi::{Profile, ProfileSet, WasiConfig, WasiState, WasiView, add_to_linker, stub_missing};
///
/// struct Guest(WasiState);
///
/// impl WasiView for Guest {
///     fn wasi(&mut self) -> &mut WasiState {
///         &mut self.0
///     }
/// }
///
/// let engine = Engine::default();
/// let component = Component::new(&engine, r#"(component
///     (import "wasi:random/random@0.2.3" (instance (export "get-random-u64" (func (result u64)))))
/// )"#)?;
/// let listed: ProfileSet = [Profile::Cli, Profile::Clocks].into_iter().collect();
/// let mut linker = Linker::<Guest>::new(&engine);
/// add_to_linker(&mut linker, listed)?;
/// // `wasi:random` is not listed: it loads, and ends the process when it is called.
/// stub_missing(&mut linker, &component, listed, &[])?;
/// let prepared = linker.instantiate_pre(&component)?;
///
/// let config = WasiConfig { entry: "app:guest".into(), profiles: listed, ..WasiConfig::default() };
/// let reactor = Reactor::new(Clock::real(), ReactorConfig::default())?;
/// let mut store = Store::new(&engine, Guest(WasiState::new(config, reactor)));
/// let instance = prepared.instantiate_async(&mut store); // polled by a scheduler
/// # drop(instance);
/// # Ok::<(), wasmtime::Error>(())
/// ```
///
/// # Errors
/// When something of this is in the linker already.
pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>, listed: ProfileSet) -> Result<()> {
    io::error::add_to_linker::<T, HasSelf<ResourceTable>>(linker, table_of)?;
    io::poll::add_to_linker::<T, State>(linker, T::wasi)?;
    io::streams::add_to_linker::<T, HasSelf<ResourceTable>>(linker, table_of)?;
    if listed.contains(Profile::Filesystem) {
        filesystem::types::add_to_linker::<T, State>(linker, T::wasi)?;
    } else {
        super::filesystem::add_types(linker, &format!("wasi:filesystem/types@{WASI_VERSION}"))?;
    }
    filesystem::preopens::add_to_linker::<T, State>(linker, T::wasi)?;
    for profile in listed.iter() {
        match profile {
            Profile::Clocks => {
                clocks::wall_clock::add_to_linker::<T, State>(linker, T::wasi)?;
                clocks::monotonic_clock::add_to_linker::<T, State>(linker, T::wasi)?;
            }
            Profile::Cli => add_cli(linker)?,
            Profile::Random => {
                random::random::add_to_linker::<T, State>(linker, T::wasi)?;
                random::insecure::add_to_linker::<T, State>(linker, T::wasi)?;
                random::insecure_seed::add_to_linker::<T, State>(linker, T::wasi)?;
            }
            Profile::Sockets => super::sockets::add_to_linker(linker)?,
            #[cfg(feature = "http")]
            Profile::Http => super::http::add_to_linker(linker)?,
            #[cfg(not(feature = "http"))]
            Profile::Http => {}
            // Linked above, for core modules, by another room, or not served yet.
            Profile::Io
            | Profile::Poll
            | Profile::Filesystem
            | Profile::Preview1
            | Profile::Funcs
            | Profile::Process => {}
        }
    }
    Ok(())
}

fn add_cli<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    cli::environment::add_to_linker::<T, State>(linker, T::wasi)?;
    cli::exit::add_to_linker::<T, State>(linker, T::wasi)?;
    cli::stdin::add_to_linker::<T, State>(linker, T::wasi)?;
    cli::stdout::add_to_linker::<T, State>(linker, T::wasi)?;
    cli::stderr::add_to_linker::<T, State>(linker, T::wasi)?;
    cli::terminal_input::add_to_linker::<T, State>(linker, T::wasi)?;
    cli::terminal_output::add_to_linker::<T, State>(linker, T::wasi)?;
    cli::terminal_stdin::add_to_linker::<T, State>(linker, T::wasi)?;
    cli::terminal_stdout::add_to_linker::<T, State>(linker, T::wasi)?;
    cli::terminal_stderr::add_to_linker::<T, State>(linker, T::wasi)?;
    Ok(())
}

fn table_of<T: WasiView>(data: &mut T) -> &mut ResourceTable {
    &mut data.wasi().table
}
