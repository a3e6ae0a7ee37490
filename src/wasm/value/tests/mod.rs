//! Every type in, out, at its bounds and beyond them; random types and values through real guests.

mod accepting;
pub(crate) mod arbitrary;
mod calls;
mod core_calls;
mod forms;
pub(crate) mod guest;
mod properties;
mod texts;

use super::accept::accept;
use super::error::Path;
use super::{Case, Field, Param, Signature, ValueError, WitType, wit_text};
use crate::process::Payload;

/// The type that a WIT notation says.
fn ty(text: &str) -> WitType {
    let functions = wit_text::parse(&format!("f: func(a: {text});")).unwrap();
    functions["f"].params()[0].ty.clone()
}

/// A payload from JSON.
fn json(text: &str) -> Payload {
    Payload::parse_json(text).unwrap()
}

fn accepted(value: &Payload, ty: &WitType) -> Result<Payload, ValueError> {
    accept(value, ty, &Path::Argument(1))
}

/// What an error says after its path.
fn refused(value: &Payload, wit: &str) -> String {
    accepted(value, &ty(wit)).unwrap_err().to_string()
}
