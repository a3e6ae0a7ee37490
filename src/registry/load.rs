//! Files -> checked registry, all problems at once.

use std::path::PathBuf;

use super::{Declaration, Diagnostics, Registry};

/// What is loaded, and how.
///
/// ```
/// use wippy::registry::LoadOptions;
///
/// let options = LoadOptions { set: vec!["security.strict_mode=true".into()], ..LoadOptions::new("app") };
/// assert!(options.overrides.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The folder of the application.
    pub app: PathBuf,
    /// The runtime configuration; `.wippy.yaml` in the folder, if there is one, when not given.
    pub config: Option<PathBuf>,
    /// `-o`: `namespace:entry:field=value`, several joined by commas.
    pub overrides: Vec<String>,
    /// `--set`: `section.path=value`.
    pub set: Vec<String>,
    /// Names of folders that are not looked into, besides `node_modules`.
    pub skip_folders: Vec<String>,
}

impl LoadOptions {
    /// The application in this folder, with its own configuration and nothing overridden.
    pub fn new(app: impl Into<PathBuf>) -> Self {
        Self { app: app.into(), ..Self::default() }
    }
}

/// What came of loading an application.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// Every entry that could be typed, so that other checks can go on; not to be run while there are errors.
    pub registry: Registry,
    /// Every problem of every file.
    pub diagnostics: Diagnostics,
}

impl Loaded {
    /// The registry, ready to run, with its warnings; with `strict` a warning counts as an error.
    ///
    /// # Errors
    /// All problems, when one of them is an error.
    pub fn checked(mut self, strict: bool) -> Result<(Registry, Diagnostics), Diagnostics> {
        if strict {
            self.diagnostics.deny_warnings();
        }
        if self.diagnostics.has_errors() { Err(self.diagnostics) } else { Ok((self.registry, self.diagnostics)) }
    }
}

/// Loads the application in a folder: its files, its modules, its configuration; overrides, links and checks them.
///
/// Never fails: what is wrong is in [`Loaded::diagnostics`].
pub fn load(options: &LoadOptions) -> Loaded {
    super::pipeline::run(options, &[])
}

/// [`load()`] of an application with entries that are made in code beside those of its files; of two with the same ID the one
/// in code counts. Without `options` there are only those, and relative folders begin at the current one.
///
/// ```
/// use wippy::registry::{Entry, load_with};
///
/// let loaded = load_with(None, &[Entry::wasm("app:add").wat("(module)").into()]);
/// let problem = loaded.diagnostics.iter().next().expect("it has no method");
/// assert_eq!(problem.message, "method is required");
/// assert!(problem.position.as_ref().expect("a place").to_string().starts_with("<app:add, "));
/// ```
pub fn load_with(options: Option<&LoadOptions>, entries: &[Declaration]) -> Loaded {
    match options {
        Some(options) => super::pipeline::run(options, entries),
        None => super::pipeline::of_code(entries),
    }
}
