//! Who may do what: actors, policies, and the decision about an action on a resource.
//!
//! Knows no process, no guest and no runtime: whoever is about to do something asks the [`SecurityContext`] that it acts in.
//! The way in is [`Policies::load`], which makes policies of the entries of a registry and tells what is wrong with them; the
//! way out [`SecurityContext::allows`].
//!
//! | Actor and scope | Policies of the scope that apply | Decision |
//! |---|---|---|
//! | one is missing | – | allowed; refused where `security.strict_mode` is on |
//! | both are there | one of them denies | refused |
//! | both are there | one allows, none denies | allowed |
//! | both are there | none | refused |
//!
//! A policy applies when one of its actions and one of its resources fit and its test holds. Of patterns, `*` alone fits
//! everything, one that ends in `*` everything that begins so, and any other only itself. A condition or an expression that
//! can't be evaluated does not hold, so its policy does not apply.
//!
//! # Invariants
//! - Where nobody has an actor or a scope and strict mode is off, a question is one look at an `Option`.
//! - What is asked is answered in bounded time: no expression repeats anything, and what it compares is counted.
//! - What of a policy can't be understood is an error of the application: none is left out silently.

mod condition;
mod context;
mod expression;
mod policies;
mod policy;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod value;

pub use context::{Actor, Attributes, Decision, Denied, Request, Scope, SecurityContext};
pub use expression::{EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX, Expression, ExpressionError};
pub use policies::{Identity, Policies};
pub use policy::{InvalidPolicy, Policy};
pub use value::{PATTERN_BYTES_MAX, STEPS_MAX};
