//! `ns.requirement` and `ns.dependency`: what a module needs and who gives it.

use super::super::fields::Fields;
use super::super::{EntryId, Value};

/// `ns.requirement`: a value that a module needs, and where it goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requirement {
    /// What counts when nobody gives a value; an empty text is a value.
    pub default: Option<Value>,
    /// The fields that get the value.
    pub targets: Vec<Target>,
}

/// A field that gets the value of a requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The entry.
    pub entry: EntryId,
    /// The field, dotted; a trailing `+=` appends to a list.
    pub path: String,
}

impl Requirement {
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Self {
        let default = f.any("default").cloned();
        let targets = f.list("targets", |f| {
            let entry = f.required_id("entry", "target entry is required");
            let path = f.required_text("path", "target path is required");
            Some(Target { entry: entry?, path: path? })
        });
        f.any("description");
        Self { default, targets }
    }
}

/// `ns.dependency`: a module that is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Dependency {
    /// `organisation/module`.
    pub component: String,
    /// The versions that fit; empty when not written.
    pub version: String,
    /// The values it gets.
    pub parameters: Vec<Parameter>,
}

/// A value for a requirement of a module.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// The requirement's name, its full ID, or its name qualified by the module.
    pub name: String,
    /// The value.
    pub value: Value,
}

impl Dependency {
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Option<Self> {
        let component = f.required_text("component", "component is required");
        let version = f.text("version").unwrap_or_default();
        let parameters = f.list("parameters", |f| {
            let name = f.required_text("name", "parameter name is required");
            let value = f.any("value").cloned().unwrap_or_default();
            Some(Parameter { name: name?, value })
        });
        f.any("description");
        let component = component?;
        if !is_module_name(&component) {
            let problem = f
                .problem("invalid-value", "component", format!("invalid component: `{}`", component.escape_debug()))
                .expected("`organisation/module`");
            f.error(problem);
        }
        Some(Self { component, version, parameters })
    }
}

/// Whether a text is `organisation/module`.
pub(crate) fn is_module_name(text: &str) -> bool {
    let mut parts = text.split('/');
    let good = |part: Option<&str>| part.is_some_and(|part| !part.trim().is_empty() && part != "." && part != "..");
    good(parts.next()) && good(parts.next()) && parts.next().is_none() && !text.contains('\\')
}
