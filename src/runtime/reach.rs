//! What a command can reach of its application: the programs that may be started while it runs.

use std::collections::HashSet;

#[cfg(feature = "cli")]
use super::RuntimeBuilder;
use crate::registry::{EntryId, Registry, Spec};
use crate::wasi::Profile;

/// The command itself and the processes of services; none when one of them may start or call others, which may be anybody.
pub(super) fn of(command: &EntryId, registry: &Registry) -> Option<HashSet<EntryId>> {
    let services = registry.iter().filter_map(|entry| match entry.spec() {
        Spec::ProcessService(service) => Some(&service.process),
        _ => None,
    });
    services.chain([command]).map(|id| keeps_to_itself(id, registry).then(|| id.clone())).collect()
}

/// Whether processes of an entry have nothing to start or call others with. Scripts have.
fn keeps_to_itself(id: &EntryId, registry: &Registry) -> bool {
    let Some(Spec::ProcessWasm(spec)) = registry.get(id).map(|entry| entry.spec()) else { return false };
    let reaches = |import: &String| matches!(Profile::parse(import), Err(_) | Ok(Profile::Funcs | Profile::Process));
    !spec.imports.iter().any(reaches)
}

#[cfg(feature = "cli")]
impl RuntimeBuilder {
    /// Makes a runtime for this process and for services: nobody will start or call anything else from outside, so what neither
    /// of them can reach is checked only.
    #[must_use]
    pub(crate) fn command(mut self, entry: EntryId) -> Self {
        self.command = Some(entry);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Application, embed};
    use super::*;
    use crate::registry::{Declaration, Entry};

    fn guest(name: &str, imports: &[&str]) -> Declaration {
        let entry = Entry::wasm(format!("app:{name}")).wat("(module)").method("run");
        imports.iter().fold(entry, |entry, import| entry.import(*import)).into()
    }

    fn service(process: &str) -> Declaration {
        Entry::service(format!("app:{process}-service"), format!("app:{process}"), "app:host").into()
    }

    fn script(name: &str) -> Declaration {
        Declaration::new(format!("app:{name}"), "process.lua").field("source", "return 1").field("method", "run")
    }

    /// The names of what `command` reaches, in order; none for everybody.
    fn reached<const N: usize>(command: &str, entries: [Declaration; N]) -> Option<Vec<String>> {
        let loaded = embed::load(Application::Unsaid, &entries);
        assert_eq!(loaded.registry.len(), N, "all of them can be read");
        let reached = of(&EntryId::new("app", command).expect("an ID"), &loaded.registry)?;
        let mut names: Vec<_> = reached.iter().map(|id| id.name().to_owned()).collect();
        names.sort();
        Some(names)
    }

    fn only(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_command_without_means_reaches_itself() {
        let entries = || [guest("greet", &["wasi:cli", "wasi:http"]), guest("other", &["wippy:process"])];
        assert_eq!(reached("greet", entries()), only(&["greet"]));
        assert_eq!(reached("other", entries()), None);
        assert_eq!(reached("calls", [guest("calls", &["wippy:runtime/funcs@0.1.0"])]), None);
        assert_eq!(reached("odd", [guest("odd", &["acme:shop/stock"])]), None);
    }

    #[test]
    fn services_run_beside_it_and_reach_what_they_can() {
        let clock = [guest("greet", &[]), guest("clock", &["wasi:clocks"]), service("clock"), guest("other", &[])];
        assert_eq!(reached("greet", clock), only(&["clock", "greet"]));
        assert_eq!(reached("greet", [guest("greet", &[]), guest("hub", &["wippy:process"]), service("hub")]), None);
    }

    #[test]
    fn scripts_reach_everybody() {
        assert_eq!(reached("script", [script("script")]), None);
        assert_eq!(reached("greet", [guest("greet", &[]), script("script")]), only(&["greet"]));
        assert_eq!(reached("greet", [guest("greet", &[]), script("script"), service("script")]), None);
    }
}
