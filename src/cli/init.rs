//! `wippy init DIR`: an application that runs.

use std::fs;
use std::io;
use std::path::Path;

use super::args::InitArgs;
use super::exit::SUCCESS;
use super::hash::hash_of_bytes;
use super::report::{CommandError, Terminal};

/// The component of a new application: `greet: func(name: string) -> string`.
const GREET: &[u8] = include_bytes!("../../fixtures/guests/greet.wasm");

/// Stands for the hash of [`GREET`] in the text below.
const HASH: &str = "{hash}";

const INDEX: &str = r#"version: "1.0"
namespace: app

entries:
  # Commands run here: `wippy run greet World`.
  - name: terminal
    kind: terminal.host
    lifecycle:
      auto_start: true

  # Everything else runs here, on all cores.
  - name: processes
    kind: process.host
    lifecycle:
      auto_start: true

  # The folder of the binaries, relative to the application's folder.
  - name: binaries
    kind: fs.directory
    directory: ./wasm

  - name: greet
    kind: process.wasm
    meta:
      command:
        name: greet
        short: Greets someone
    fs: app:binaries
    path: /greet.wasm
    # After a change of the file: `wippy hash wasm/greet.wasm` prints the new line.
    hash: "{hash}"
    method: greet
"#;

const README: &str = "\
# A wippy application

    wippy run list           # the commands
    wippy run greet World    # runs one of them
    wippy check              # reports every problem

`src/_index.yaml` declares the entries, `wasm/` holds the binaries.
";

pub(super) fn run(args: &InitArgs, terminal: Terminal) -> Result<u8, CommandError> {
    let dir = &args.dir;
    refuse_content(dir)?;
    let index = INDEX.replace(HASH, &hash_of_bytes(GREET).to_string());
    let files: [(&str, &[u8]); 3] =
        [("src/_index.yaml", index.as_bytes()), ("wasm/greet.wasm", GREET), ("README.md", README.as_bytes())];
    for (name, content) in files {
        write(&dir.join(name), content)?;
    }
    terminal.out(&next_steps(dir))?;
    Ok(SUCCESS)
}

/// A folder with content is somebody's work.
fn refuse_content(dir: &Path) -> Result<(), CommandError> {
    let error = match fs::read_dir(dir).and_then(|mut entries| entries.next().transpose()) {
        Ok(None) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(Some(_)) => "it is not empty".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(CommandError::usage(format!("`{}` can't become an application: {error}", dir.display()))
        .help("name a new or empty folder"))
}

fn write(file: &Path, content: &[u8]) -> Result<(), CommandError> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(file, content))
        .map_err(|error| CommandError::failed(format!("`{}` can't be written: {error}", file.display())))
}

fn next_steps(dir: &Path) -> String {
    let dir = shell_word(&dir.display().to_string());
    format!("made an application in {dir}; now run\n  wippy -C {dir} run greet World\n  wippy -C {dir} run list\n")
}

/// A text as one word of a shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%:,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_shell_stays_one_word() {
        assert_eq!(shell_word("my/app-1.0"), "my/app-1.0");
        assert_eq!(shell_word("my app"), "'my app'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }

    #[test]
    fn a_folder_with_content_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(refuse_content(dir.path()), Ok(()));
        assert_eq!(refuse_content(&dir.path().join("new")), Ok(()));
        fs::write(dir.path().join(".hidden"), "x").expect("a file");
        assert_eq!(refuse_content(dir.path()).expect_err("content").code(), 2);
        assert_eq!(refuse_content(&dir.path().join(".hidden")).expect_err("a file").code(), 2);
    }
}
