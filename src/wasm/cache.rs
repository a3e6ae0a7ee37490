//! Compiled code on disk, in a build that keeps it (feature `cache`) and in one that does not.

use std::path::{Path, PathBuf};

use wasmtime::Config;

#[cfg(feature = "cache")]
use crate::reactor::assert_may_block;

/// Where compiled code is kept, and found again by the next run.
#[cfg(feature = "cache")]
pub(super) struct Cache(wasmtime::Cache);

#[cfg(feature = "cache")]
impl Cache {
    /// Opens the cache from a thread called `wippy-cache`: the engine's cache thread inherits that name, and so is one that
    /// the documentation knows.
    pub(super) fn open(directory: Option<PathBuf>) -> wasmtime::Result<Self> {
        assert_may_block();
        let opener = std::thread::Builder::new().name("wippy-cache".into()).spawn(move || {
            let mut config = wasmtime::CacheConfig::new();
            if let Some(directory) = directory {
                config.with_directory(directory);
            }
            wasmtime::Cache::new(config)
        })?;
        let opened = opener.join().unwrap_or_else(|_| Err(wasmtime::Error::msg("the cache could not be opened")))?;
        Ok(Self(opened))
    }

    /// The folder.
    pub(super) fn directory(&self) -> &Path {
        self.0.directory()
    }

    /// Has engines of this configuration look here before they compile.
    pub(super) fn serve(&self, config: &mut Config) {
        config.cache(Some(self.0.clone()));
    }
}

/// Nothing is kept: there is no value of it.
#[cfg(not(feature = "cache"))]
pub(super) enum Cache {}

#[cfg(not(feature = "cache"))]
impl Cache {
    pub(super) fn open(_: Option<PathBuf>) -> wasmtime::Result<Self> {
        Err(wasmtime::Error::msg("this build has no cache: build it with the feature `cache`, which is on by default"))
    }

    pub(super) fn directory(&self) -> &Path {
        match *self {}
    }

    pub(super) fn serve(&self, _: &mut Config) {
        match *self {}
    }
}
