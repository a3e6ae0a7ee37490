//! Where and with what it was measured.

use std::path::Path;
use std::process::Command;

/// Names and what was found, as far as the system says.
pub(crate) fn facts() -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Processor", field("/proc/cpuinfo", "model name").unwrap_or_default()),
        ("Cores", std::thread::available_parallelism().map_or(0, usize::from).to_string()),
        ("Memory", field("/proc/meminfo", "MemTotal").unwrap_or_default()),
        ("Kernel", std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default()),
        ("Compiler", output("rustc", &["--version"])),
        ("Commit", output("git", &["describe", "--always", "--dirty", "--exclude", "*"])),
    ];
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap_or_default();
    for name in ["wasmtime", "tokio", "rayon", "async-executor", "mlua"] {
        let version = version(&lock, name);
        facts.push((name, version.unwrap_or_default().to_owned()));
    }
    facts.iter_mut().for_each(|(_, found)| *found = found.trim().to_owned());
    facts.retain(|(_, found)| !found.is_empty());
    facts
}

/// What is behind the first colon of the line that begins so.
fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.to_owned())
}

fn output(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    out.map_or_else(|_| String::new(), |out| String::from_utf8_lossy(&out.stdout).into_owned())
}

/// The version of a package in a lock file.
fn version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    behind.split('"').next()
}
