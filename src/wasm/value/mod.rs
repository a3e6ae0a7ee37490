//! Values at the border of a guest: payloads become WIT values by the type of an export, and WIT values payloads.
//!
//! Knows types and payloads only: no processes, no entries, no linking. The way in is a plan, made once when an entry is
//! loaded: [`ComponentPlan`] for a function of a component, [`CorePlan`] for one of a core
//! module. A plan checks arguments without an instance and calls the function of an instance.
//!
//! # Invariants
//! - What a type accepts is decided in one place (`accept`): everything after it sees payloads in the exact shape in which
//!   values of the type come back, so calling with a returned value returns it. What scripts see of a result (`forms`) is
//!   made from that shape and accepted like it.
//! - Nothing panics on a value: every misfit is a [`ValueError`] that names the place and what was expected.
//! - Recursion is bounded by the type (at most [`MAX_TYPE_PARTS`] parts, and wasmtime bounds their nesting), not by the
//!   value.

mod accept;
mod convert;
mod core;
mod error;
mod example;
mod forms;
mod invoke;
mod plan;
mod rust;
mod signature;
mod text;
mod typed;
mod types;
pub mod wit_text;

#[cfg(test)]
pub(crate) mod tests;

pub use convert::{lift, lower};
pub(in crate::wasm) use core::CoreImport;
pub use core::{AbiError, CorePlan, CorePlanError};
pub use error::{ArgumentError, Hint, ValueError, ValueProblem};
pub use forms::{BYTES_AS_NUMBERS_MAX, named_form, wippy_form};
pub use invoke::Stack;
pub use plan::ComponentPlan;
#[doc(hidden)]
pub use rust::unlike;
pub use rust::{WitParams, WitReturn, WitValue};
pub(crate) use rust::{fits, result_type, signature_of};
pub use signature::{Param, Signature, SignatureError};
pub use types::{Case, Field, MAX_TYPE_PARTS, TypeTooLarge, WitType};
