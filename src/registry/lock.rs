//! `wippy.lock`: which folders are loaded, in which order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::Format;
use super::fields::{described, shown_path};
use super::files::{LoadRoot, ParsedFile, read_text};
use super::position::SourceFile;
use super::source::Part;
use super::spec::is_module_name;
use super::{Diagnostic, Diagnostics, ModuleRef, RuntimeConfig, Value};

/// The name of the lock file.
const LOCK_FILE: &str = "wippy.lock";

/// Where modules are kept when no lock file says otherwise.
const DEFAULT_MODULES: &str = ".wippy";

/// The folders to load: sources, replacements, vendored modules. Without a lock file `src`, else the folder itself.
pub(super) fn load_roots(app: &Path, config: &RuntimeConfig, problems: &mut Diagnostics) -> Vec<LoadRoot> {
    let path = app.join(LOCK_FILE);
    if !path.exists() {
        let src = app.join("src");
        return vec![root(if src.is_dir() { src } else { app.to_path_buf() }, None)];
    }
    let shown = Path::new(LOCK_FILE);
    let text = match read_text(&path) {
        Ok(text) => text,
        Err(problem) => {
            let position = SourceFile::new(shown, String::new()).position(Default::default());
            problems.add(Diagnostic::error("unreadable-file", problem.sentence()).at(Some(position)));
            return Vec::new();
        }
    };
    let Some(file) = ParsedFile::parse(shown, text, Format::Yaml, problems) else { return Vec::new() };
    let mut lock = Lock { app, file: &file, problems };
    lock.roots(config)
}

/// Names of folders of the application itself that are never looked into: modules are loaded through the lock only.
pub(super) fn module_folders() -> Vec<String> {
    vec![DEFAULT_MODULES.to_owned()]
}

fn root(folder: PathBuf, module: Option<ModuleRef>) -> LoadRoot {
    LoadRoot { folder: Arc::new(folder), module: module.map(Arc::new) }
}

struct Lock<'a> {
    app: &'a Path,
    file: &'a ParsedFile,
    problems: &'a mut Diagnostics,
}

impl Lock<'_> {
    fn roots(&mut self, config: &RuntimeConfig) -> Vec<LoadRoot> {
        let top = &self.file.document.value;
        if !top.is_object() {
            self.wrong_type(&[], "a mapping with `directories`", top);
            return Vec::new();
        }
        let src = self.text(&["directories", "src"], &top["directories"]["src"]);
        let modules = self.text(&["directories", "modules"], &top["directories"]["modules"]);
        let mut roots = Vec::new();
        if let Some(src) = src {
            let folder = self.app.join(&src);
            if folder.is_dir() {
                roots.push(root(folder, None));
            } else {
                let message = format!("the source folder `{src}` does not exist");
                self.error("missing-folder", &["directories", "src"], message, "make the folder or name another one");
            }
        }
        let replaced = self.replacements(&top["replacements"], config, &mut roots);
        let Some(vendor) = modules.map(|modules| self.app.join(modules).join("vendor")) else { return roots };
        for (at, item) in self.items("modules", &top["modules"]) {
            self.module(&at, &item, &vendor, &replaced, &mut roots);
        }
        roots
    }

    /// Adds the folders of replaced modules and returns the modules' names.
    fn replacements(&mut self, value: &Value, config: &RuntimeConfig, roots: &mut Vec<LoadRoot>) -> Vec<String> {
        let mut replaced = Vec::new();
        for (at, item) in self.items("replacements", value) {
            let from = self.text(&["replacements", &at, "from"], &item["from"]);
            let to = self.text(&["replacements", &at, "to"], &item["to"]);
            let (Some(from), Some(to)) = (from, to) else { continue };
            self.module_name(&["replacements", &at, "from"], &from);
            let folder = self.app.join(&to);
            if folder.is_dir() {
                roots
                    .push(root(folder.clone(), Some(ModuleRef { name: from.clone(), version: String::new(), folder })));
            } else {
                let message = format!("the replacement folder `{to}` of `{from}` does not exist");
                self.error(
                    "missing-folder",
                    &["replacements", &at, "to"],
                    message,
                    "make the folder or name another one",
                );
            }
            replaced.push(from);
        }
        // Today's place for them is the runtime configuration.
        for (key, setting) in config.section("workspace") {
            let (Some(from), Some(to)) = (key.strip_prefix("replacements."), setting.value.as_str()) else { continue };
            let folder = self.app.join(to);
            if to.is_empty() || replaced.iter().any(|name| name == from) {
                continue;
            }
            if folder.is_dir() {
                let module = ModuleRef { name: from.to_owned(), version: String::new(), folder: folder.clone() };
                roots.push(root(folder, Some(module)));
            } else {
                let message = format!("the replacement folder `{to}` of `{from}` does not exist");
                self.problems.add(Diagnostic::error("missing-folder", message).at(setting.position.clone()));
            }
            replaced.push(from.to_owned());
        }
        replaced
    }

    fn module(&mut self, at: &str, item: &Value, vendor: &Path, replaced: &[String], roots: &mut Vec<LoadRoot>) {
        let name = self.text(&["modules", at, "name"], &item["name"]);
        let version = self.text(&["modules", at, "version"], &item["version"]);
        let Some(name) = name.filter(|name| self.module_name(&["modules", at, "name"], name)) else { return };
        if replaced.contains(&name) {
            return;
        }
        let Some(version) = version else { return };
        let folder = vendor.join(&name);
        if folder.is_dir() {
            roots.push(root(folder.clone(), Some(ModuleRef { name, version, folder })));
            return;
        }
        let packed = vendor.join(format!("{name}-{version}.wapp"));
        let path = ["modules", at, "name"];
        if packed.is_file() {
            let message = format!("the module `{name}` {version} is packed, and packs are not read yet");
            let help = "set `unpack_modules: true` below `options` and install it again with Wippy";
            self.error("packed-module", &path, message, help);
        } else {
            let message = format!("the module `{name}` {version} is not on disk");
            let help = format!("install it with Wippy, unpacked, to `{}`", folder.display());
            self.error("missing-module", &path, message, &help);
        }
    }

    /// The mappings of a list, with their places.
    fn items(&mut self, name: &str, value: &Value) -> Vec<(String, Value)> {
        match value {
            Value::Null => Vec::new(),
            Value::Array(items) => {
                let mut mappings = Vec::new();
                for (at, item) in items.iter().enumerate() {
                    let at = at.to_string();
                    match item {
                        Value::Object(_) => mappings.push((at, item.clone())),
                        other => self.wrong_type(&[name, &at], "a mapping", other),
                    }
                }
                mappings
            }
            other => {
                self.wrong_type(&[name], "a list", other);
                Vec::new()
            }
        }
    }

    /// A text that must be there.
    fn text(&mut self, path: &[&str], value: &Value) -> Option<String> {
        match value {
            Value::String(text) if !text.trim().is_empty() => return Some(text.clone()),
            Value::String(_) | Value::Null => {
                let message = format!("`{}` must not be empty", shown_path(path));
                self.error("missing-field", path, message, &format!("add `{}: …`", path[path.len() - 1]));
            }
            other => self.wrong_type(path, "a text", other),
        }
        None
    }

    fn module_name(&mut self, path: &[&str], name: &str) -> bool {
        if is_module_name(name) {
            return true;
        }
        let message = format!("invalid module name: `{name}`");
        let problem = self.file.error("invalid-value", path, Part::Value, message);
        self.problems.add(problem.expected("`organisation/module`"));
        false
    }

    fn wrong_type(&mut self, path: &[&str], expected: &str, found: &Value) {
        let message = format!("`{}` has the wrong type: {}", shown_path(path), described(found));
        self.problems.add(self.file.error("wrong-type", path, Part::Value, message).expected(expected));
    }

    fn error(&mut self, code: &'static str, path: &[&str], message: String, help: &str) {
        self.problems.add(self.file.error(code, path, Part::Value, message).help(help));
    }
}
