//! The registry: all entries of an application in the order of their declaration.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::{Command, Entry, EntryId, LimitsSpec, RuntimeConfig, Spec};

/// All entries of an application, and its runtime configuration. Values only: nothing here runs.
///
/// ```
/// use wippy::registry::{Command, Entry, FsDirectory, ProcessHost, Registry, Spec};
///
/// let data = Entry::new("app:data".parse().unwrap(), Spec::FsDirectory(FsDirectory::new("./data")));
/// let host = Entry::new("app:processes".parse().unwrap(), Spec::ProcessHost(ProcessHost::default()));
/// let registry = Registry::from_entries([data, host]);
///
/// assert_eq!(registry.len(), 2);
/// assert!(registry.get(&"app:data".parse().unwrap()).is_some());
/// assert_eq!(registry.of_kind("process.host").count(), 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Registry {
    entries: IndexMap<EntryId, Entry>,
    config: RuntimeConfig,
    app_root: PathBuf,
}

impl Registry {
    /// A registry of entries made in code; of two with the same ID the last one counts.
    pub fn from_entries(entries: impl IntoIterator<Item = Entry>) -> Self {
        let entries = entries.into_iter().map(|entry| (entry.id().clone(), entry)).collect();
        Self { entries, ..Self::default() }
    }

    pub(crate) fn new(entries: IndexMap<EntryId, Entry>, config: RuntimeConfig, app_root: PathBuf) -> Self {
        Self { entries, config, app_root }
    }

    /// Adds an entry, in place of one with the same ID.
    pub fn insert(&mut self, entry: Entry) {
        self.entries.insert(entry.id().clone(), entry);
    }

    /// The entry with this ID.
    pub fn get(&self, id: &EntryId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// Whether there is an entry with this ID.
    pub fn contains(&self, id: &EntryId) -> bool {
        self.entries.contains_key(id)
    }

    /// All entries in the order of their declaration.
    pub fn iter(&self) -> indexmap::map::Values<'_, EntryId, Entry> {
        self.entries.values()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries of exactly this kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.iter().filter(move |entry| entry.kind() == kind)
    }

    /// The entries whose kind starts with these words, for example `process.`.
    pub fn of_family<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.iter().filter(move |entry| entry.kind().starts_with(prefix))
    }

    /// The commands with their entries, in the order of declaration. Names may occur twice; the first one counts.
    pub fn commands(&self) -> impl Iterator<Item = (&Command, &Entry)> {
        self.iter().filter_map(|entry| Some((entry.command()?, entry)))
    }

    /// The command with this name.
    pub fn command(&self, name: &str) -> Option<(&Command, &Entry)> {
        self.commands().find(|(command, _)| command.name == name)
    }

    /// Has hosts that say nothing of a limit have these.
    pub(crate) fn limit_hosts(&mut self, limits: &LimitsSpec) {
        for entry in self.entries.values_mut() {
            if let Spec::ProcessHost(host) = entry.spec_mut() {
                host.default_limits = host.default_limits.or(limits);
            }
        }
    }

    /// What `.wippy.yaml` and the command line configure.
    pub fn config(&self) -> &RuntimeConfig {
        &self.config
    }

    /// The folder of the application; empty for a registry made in code.
    pub fn app_root(&self) -> &Path {
        &self.app_root
    }
}

impl<'a> IntoIterator for &'a Registry {
    type Item = &'a Entry;
    type IntoIter = indexmap::map::Values<'a, EntryId, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
