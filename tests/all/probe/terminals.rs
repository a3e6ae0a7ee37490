use std::path::Path;
use std::process::{Command, Stdio};

use super::super::support::{guest_app, wippy};
use super::entries;

/// The program on a terminal of its own, each stream of `redirected` sent elsewhere by the shell; what came on stdout.
///
/// `script` belongs to every Debian. It makes the terminal, starts a shell on it and hands on what is written there.
fn on_a_terminal(app: &Path, arguments: &[&str], redirected: &[&str]) -> String {
    let out = app.join("out");
    let elsewhere = [
        ("stdin", "</dev/null".to_owned()),
        ("stdout", format!(">'{}'", out.display())),
        ("stderr", format!("2>'{}'", app.join("err").display())),
    ];
    let program = wippy();
    let words = [program.get_program().to_str().expect("a path of text"), "-C", app.to_str().expect("a path of text")];
    let mut line: String =
        words.iter().chain(&["run", "-x"]).chain(arguments).map(|word| format!("'{word}' ")).collect();
    for (name, redirection) in elsewhere {
        if redirected.contains(&name) {
            line += &redirection;
            line.push(' ');
        }
    }
    let mut script = Command::new("script");
    script
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .env_clear()
        .env("SHELL", "/bin/sh")
        .env("PATH", "/usr/bin:/bin");
    script.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = script.stdin(Stdio::null()).output().expect("`script` is there");
    let shown = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{line}: {shown}");
    if redirected.contains(&"stdout") { std::fs::read_to_string(out).expect("a file") } else { shown.replace('\r', "") }
}

/// Every choice of streams that are no terminals.
fn choices() -> impl Iterator<Item = Vec<&'static str>> {
    (0..8).map(|bits| {
        ["stdin", "stdout", "stderr"]
            .into_iter()
            .enumerate()
            .filter(|(at, _)| bits >> at & 1 == 1)
            .map(|(_, name)| name)
            .collect()
    })
}

#[test]
fn a_component_is_told_which_streams_are_terminals() {
    let app = guest_app(&entries(""));
    for redirected in choices() {
        let terminals: Vec<_> =
            ["stdin", "stdout", "stderr"].into_iter().filter(|name| !redirected.contains(name)).collect();
        let said = on_a_terminal(app.path(), &["app:terminals"], &redirected);
        assert_eq!(
            said.trim_end().trim_start_matches(['^', 'D', '\u{8}']),
            terminals.join(" "),
            "elsewhere: {redirected:?}"
        );
    }
    // No terminal at all: pipes and the null device.
    let said = super::run_in(app.path(), ["run", "-x", "app:terminals"]);
    super::assert_said(&said, 0, "\n", "");
}

#[test]
fn preview_1_says_the_same_by_the_type_of_a_descriptor() {
    let app = guest_app(&entries(""));
    for redirected in choices() {
        let said = on_a_terminal(app.path(), &["app:files1", "fdstat 0", "fdstat 1", "fdstat 2"], &redirected);
        let types: Vec<_> = said.lines().filter_map(|line| line.split("type ").nth(1)?.split(' ').next()).collect();
        let expected = ["stdin", "stdout", "stderr"].map(|name| if redirected.contains(&name) { "0" } else { "2" });
        assert_eq!(types, expected, "elsewhere: {redirected:?}, {said}");
    }
}
