//! `wippy check`: every problem of an application in one run; nothing of it runs.

use super::args::{CheckArgs, Global};
use super::exit::{SUCCESS, USAGE};
use super::log::{self, Audience};
use super::report::{CommandError, Terminal};
use super::run::{build_error, builder};
use crate::registry::{Registry, render};

pub(super) fn run(args: &CheckArgs, global: &Global, terminal: Terminal) -> Result<u8, CommandError> {
    log::install(global, Audience::Command, None)?;
    let checked = match builder(global).check() {
        Ok(checked) => checked,
        Err(error) => return build_error(error, terminal),
    };
    let mut problems = checked.diagnostics;
    if args.strict {
        problems.deny_warnings();
    }
    if args.json {
        terminal.out(&format!("{:#}\n", render::json(&problems)))?;
    } else if problems.is_empty() {
        terminal.out(&summary(&checked.registry))?;
    } else {
        terminal.problems(&problems);
    }
    Ok(if problems.has_errors() { USAGE } else { SUCCESS })
}

/// What was looked at, for the case that nothing was found; what was found is counted under the problems.
fn summary(registry: &Registry) -> String {
    match registry.len() {
        1 => "1 entry, no problems\n".to_owned(),
        entries => format!("{entries} entries, no problems\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Entry, ProcessHost, Spec};

    #[test]
    fn the_summary_counts_entries() {
        let host = Spec::ProcessHost(ProcessHost::default());
        let one = Registry::from_entries([Entry::new("app:processes".parse().expect("an ID"), host)]);
        assert_eq!(summary(&one), "1 entry, no problems\n");
        assert_eq!(summary(&Registry::default()), "0 entries, no problems\n");
    }
}
