//! Functions of core modules: numbers as they are, everything else through the module's memory as the canonical ABI lays
//! it out, so that a module built for components works here without being one.
//!
//! Knows types, payloads and one instance; the way in is [`CorePlan`], made once when an entry is loaded.
//!
//! # Conventions
//! - Arguments flatten to core values; more than 16 of them go to memory and the function gets one pointer.
//! - Memory is the export `memory`; what arguments need of it is taken with `cabi_realloc`, one call for every string and
//!   list, and belongs to the guest from then on.
//! - A result of several core values comes as one pointer to memory, or as several core results.
//! - `cabi_post_<method>`, where exported, is called with the core results after the result was read.
//!
//! # Invariants
//! - Every access to memory is checked against its size at that moment; offsets and lengths of the guest are never trusted.
//! - What a result may take on this side is bounded by the store's hostcall fuel.

mod call;
mod import;
mod layout;
mod load;
mod numbers;
mod store;
#[cfg(test)]
pub(super) mod testing;

pub use call::{CorePlan, CorePlanError};
pub(in crate::wasm) use import::CoreImport;

use super::WitType;

/// A guest breaks the conventions of the canonical ABI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AbiError {
    /// The instance lacks an export that the plan was made with.
    #[error("the instance does not export `{name}` as {what}")]
    NoExport {
        /// The name of the export.
        name: String,
        /// What it should be.
        what: &'static str,
    },
    /// A place is outside the guest's memory.
    #[error(
        "{length} bytes at {offset} are outside the guest's memory of {memory} bytes, while reading or writing `{ty}`"
    )]
    OutOfBounds {
        /// Where the place begins.
        offset: u64,
        /// How long it is.
        length: u64,
        /// The size of the memory in bytes.
        memory: u64,
        /// The type in WIT notation.
        ty: String,
    },
    /// A pointer is not a multiple of the alignment of its type.
    #[error("the pointer {pointer} is not a multiple of {align}, as `{ty}` needs")]
    Unaligned {
        /// The pointer.
        pointer: u64,
        /// The alignment in bytes.
        align: u32,
        /// The type in WIT notation.
        ty: String,
    },
    /// The bits of a value mean nothing in its type: a case number, a character.
    #[error("{value} is no value of `{ty}`")]
    Invalid {
        /// The number.
        value: u64,
        /// The type in WIT notation.
        ty: String,
    },
    /// Text is not UTF-8.
    #[error("a returned string is not utf-8 at byte {at}")]
    NotUtf8 {
        /// The first byte that is wrong, from 0.
        at: usize,
    },
    /// An argument takes more memory than 32 bits can address.
    #[error("an argument of {bytes} bytes does not fit a 32-bit memory")]
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
    },
    /// A result takes more on this side than the store's hostcall fuel allows.
    #[error("the result takes more than the allowed {allowed} bytes")]
    ResultTooLarge {
        /// The store's hostcall fuel.
        allowed: u64,
    },
    /// A value is not in the shape of its type.
    #[error("expected a value of `{ty}`, found {found}")]
    Shape {
        /// The type in WIT notation.
        ty: String,
        /// The kind of the value.
        found: &'static str,
    },
}

/// A type as the errors of this room show it.
fn shown(ty: &WitType) -> String {
    super::error::shown_type(ty)
}
