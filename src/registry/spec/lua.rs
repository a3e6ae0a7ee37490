//! `process.lua`, `function.lua`, `library.lua`.

use indexmap::IndexMap;

use super::super::fields::Fields;
use super::super::{EntryId, Value};
use super::limits::LimitsSpec;
use super::pool::{Isolation, Pool};

/// Lua code.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LuaSpec {
    /// The text of the script.
    pub source: String,
    /// The function of the table that the script returns; empty for libraries.
    pub method: String,
    /// Built-in modules that the script may require.
    pub modules: Vec<String>,
    /// Other entries that the script may require, by alias.
    pub imports: IndexMap<String, EntryId>,
    /// How many instances of a function there are.
    pub pool: Option<Pool>,
    /// Whether the instances of a function serve one call or several.
    pub isolation: Isolation,
    /// What it may use up.
    pub limits: LimitsSpec,
}

impl LuaSpec {
    pub(super) fn decode(f: &mut Fields<'_, '_>, has_method: bool) -> Option<Self> {
        let source = f.required_text("source", "source is required");
        let method = if has_method {
            f.required_text("method", "method is required")
        } else {
            // Real libraries carry one; it means nothing there.
            f.any("method");
            Some(String::new())
        };
        let modules = f.texts("modules");
        for (at, module) in modules.iter().enumerate() {
            let at = at.to_string();
            let message = match module.split_once(':') {
                _ if module.is_empty() => "module cannot be empty".to_owned(),
                Some(_) => format!("module cannot have a namespace: `{module}`"),
                None => continue,
            };
            let problem =
                f.problem_at("invalid-value", &["modules", &at], message).expected("a module's name, like `time`");
            f.error(problem);
        }
        let imports = imports(f);
        let pool = f.optional("pool", Pool::decode_fields);
        let isolation = Isolation::decode(f);
        let limits = LimitsSpec::decode(f, "limits");
        Some(Self { source: source?, method: method?, modules, imports, pool, isolation, limits })
    }
}

fn imports(f: &mut Fields<'_, '_>) -> IndexMap<String, EntryId> {
    let mut imports = IndexMap::new();
    let Some(map) = f.any("imports").and_then(Value::as_object) else { return imports };
    for (alias, value) in map {
        if alias.is_empty() {
            let problem = f.problem_at("invalid-value", &["imports", alias], "import alias cannot be empty");
            f.error(problem);
        }
        if value.as_str().is_some_and(|text| text.is_empty() || text.ends_with(':')) {
            let problem = f.problem_at("invalid-value", &["imports", alias], "import :name cannot be empty");
            f.error(problem);
        } else if let Some(id) = f.id_of(&["imports", alias], value) {
            imports.insert(alias.clone(), id);
        }
    }
    imports
}
