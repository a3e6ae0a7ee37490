//! `wasi:random`: every value from one generator per process, seeded by the system when first asked.

use wasmtime::Result;
use wasmtime_wasi::Rng;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use super::state::WasiState;

/// The most bytes one call gives: what a guest can make the host allocate at once. More ends the process, because the
/// functions have no error result and a short answer would be taken for a full one.
const RANDOM_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A guest asked for more random bytes at once than are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest asked for {asked} random bytes at once, at most {RANDOM_BYTES_MAX} are given")]
struct TooManyRandomBytes {
    asked: u64,
}

/// The random source of one process.
pub(super) struct Generators {
    /// Cryptographically secure; also answers where less would do.
    rng: Box<dyn Rng + Send>,
    /// The same answer for the whole life of the process.
    seed: (u64, u64),
}

impl Generators {
    fn new() -> Generators {
        let mut rng = wasmtime_wasi::thread_rng();
        let seed = (rng.next_u64(), rng.next_u64());
        Generators { rng, seed }
    }
}

impl WasiState {
    fn generators(&mut self) -> &mut Generators {
        self.generators.get_or_insert_with(Generators::new)
    }

    /// Fills `bytes` with secure random values.
    pub(super) fn fill_random(&mut self, bytes: &mut [u8]) {
        self.generators().rng.fill_bytes(bytes);
    }

    fn random_bytes(&mut self, asked: u64) -> Result<Vec<u8>> {
        if asked > RANDOM_BYTES_MAX {
            return Err(TooManyRandomBytes { asked }.into());
        }
        let asked = usize::try_from(asked)?;
        // Until they are in the guest's memory they are in ours.
        let _charge = self.usage().charge(asked)?;
        let mut bytes = vec![0; asked];
        self.fill_random(&mut bytes);
        Ok(bytes)
    }
}

impl random::Host for WasiState {
    fn get_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        Ok(self.generators().rng.next_u64())
    }
}

impl insecure::Host for WasiState {
    fn get_insecure_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        Ok(self.generators().rng.next_u64())
    }
}

impl insecure_seed::Host for WasiState {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        Ok(self.generators().seed)
    }
}
