//! `wippy run list`: the commands of an application, from its files alone: nothing is compiled.

use std::fmt::Write as _;

use super::args::{Global, ListArgs};
use super::exit::{SUCCESS, USAGE};
use super::report::{BOLD, CommandError, RESET, Terminal};
use crate::registry::{self, Registry};

/// What an application without commands is told.
const NO_COMMANDS: &str = "\
No commands found.

An entry becomes a command through its `meta`:
  - name: greet
    kind: process.wasm
    meta:
      command: { name: greet, short: Greets someone }
";

pub(super) fn run(args: &ListArgs, global: &Global, terminal: Terminal) -> Result<u8, CommandError> {
    let loaded = registry::load(&global.load_options());
    if loaded.diagnostics.has_errors() {
        terminal.problems(&loaded.diagnostics);
        return Ok(USAGE);
    }
    let text = if args.json { as_json(&loaded.registry) } else { as_text(&loaded.registry, terminal.colors_out()) };
    terminal.out(&text)?;
    Ok(SUCCESS)
}

fn as_text(registry: &Registry, colors: bool) -> String {
    let rows: Vec<_> = registry
        .commands()
        .map(|(command, entry)| (command.name.as_str(), command.short.as_deref().unwrap_or(""), entry.id()))
        .collect();
    if rows.is_empty() {
        return NO_COMMANDS.to_owned();
    }
    let width = |text: &str| text.chars().count();
    let name_width = rows.iter().map(|(name, ..)| width(name)).max().unwrap_or(0);
    let short_width = rows.iter().map(|(_, short, _)| width(short)).max().unwrap_or(0);
    let (bold, reset) = if colors { (BOLD, RESET) } else { ("", "") };
    let mut text = String::from("Available commands:\n\n");
    for (name, short, id) in rows {
        let gap = " ".repeat(name_width - width(name));
        let _ = write!(text, "  {bold}{name}{reset}{gap}");
        if short_width > 0 {
            let _ = write!(text, "  {short:short_width$}");
        }
        let _ = writeln!(text, "  ({id})");
    }
    text.push_str("\nRun with: wippy run <command>\n");
    text
}

fn as_json(registry: &Registry) -> String {
    let commands: Vec<_> = registry
        .commands()
        .map(|(command, entry)| {
            serde_json::json!({
                "name": command.name, "short": command.short, "id": entry.id().to_string(), "kind": entry.kind(),
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::Array(commands))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Command, Entry, ProcessHost, Spec};

    fn registry(commands: &[(&str, Option<&str>)]) -> Registry {
        Registry::from_entries(commands.iter().map(|(name, short)| {
            let id = format!("app:{name}").parse().expect("an ID");
            let command = Command { short: short.map(str::to_owned), ..Command::new(*name) };
            Entry::new(id, Spec::ProcessHost(ProcessHost::default())).with_command(command)
        }))
    }

    #[test]
    fn columns_are_aligned() {
        let text = as_text(&registry(&[("greet", Some("Greets")), ("wc", None), ("größe", Some("Measures"))]), false);
        let expected = "\
Available commands:

  greet  Greets    (app:greet)
  wc               (app:wc)
  größe  Measures  (app:größe)

Run with: wippy run <command>
";
        assert_eq!(text, expected);
    }

    #[test]
    fn without_descriptions_there_is_no_column_for_them() {
        assert!(as_text(&registry(&[("a", None)]), false).contains("  a  (app:a)\n"));
    }

    #[test]
    fn an_application_without_commands_is_told_how_to_get_one() {
        assert_eq!(as_text(&registry(&[]), true), NO_COMMANDS);
        assert_eq!(as_json(&registry(&[])), "[]\n");
    }

    #[test]
    fn json_has_what_the_text_has() {
        let json: serde_json::Value = serde_json::from_str(&as_json(&registry(&[("wc", None)]))).expect("JSON");
        assert_eq!(json, serde_json::json!([{ "name": "wc", "short": null, "id": "app:wc", "kind": "process.host" }]));
    }
}
