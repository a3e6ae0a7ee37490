//! Compiled code on disk, in a build that keeps it (feature `cache`) and in one that does not.

use std::path::{Path, PathBuf};

use wasmtime::Config;

#[cfg(feature = "cache")]
use crate::reactor::assert_may_block;

/// How hard code is compressed: the level from which it is unpacked quickest, for 4 % more bytes than that of wasmtime. Code that
/// is used often is not packed harder later either.
#[cfg(feature = "cache")]
const COMPRESSION: i32 = 1;

/// Where compiled code is kept, and found again by the next run.
#[cfg(feature = "cache")]
pub(super) struct Cache(wasmtime::Cache);

#[cfg(feature = "cache")]
impl Cache {
    /// Opens the cache. Its thread is called `wippy-cache`, and so is one that the documentation knows.
    pub(super) fn open(directory: Option<PathBuf>) -> wasmtime::Result<Self> {
        assert_may_block();
        let mut config = wasmtime::CacheConfig::new();
        config.with_baseline_compression_level(COMPRESSION).with_optimized_compression_level(COMPRESSION);
        if let Some(directory) = directory {
            config.with_directory(directory);
        }
        named("wippy-cache", || wasmtime::Cache::new(config)).map(Self)
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

/// Does this while the calling thread has another name, which threads that begin meanwhile inherit: a thread that is made only to
/// pass on its name would cost as much as opening the cache. Where names can't be changed there is just another name.
#[cfg(feature = "cache")]
fn named<T>(name: &str, work: impl FnOnce() -> T) -> T {
    const OWN_NAME: &str = "/proc/thread-self/comm";
    let own = std::fs::read(OWN_NAME).and_then(|own| std::fs::write(OWN_NAME, name).map(|()| own));
    let done = work();
    // What the system says ends its line.
    if let Ok(own) = own
        && let Err(error) = std::fs::write(OWN_NAME, own.trim_ascii_end())
    {
        tracing::debug!(%error, "a thread is called {name} now");
    }
    done
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

#[cfg(all(test, feature = "cache"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_begins_meanwhile_inherits_the_name() {
        let name = || std::fs::read_to_string("/proc/thread-self/comm").expect("a name");
        let own = name();
        let inherited = named("wippy-test", || std::thread::spawn(name).join().expect("no panic"));
        assert_eq!((inherited.as_str(), name()), ("wippy-test\n", own));
    }
}
