//! A running program shows only the threads that the documentation names, and one epoll instance for its one host.

#[cfg(feature = "cli")]
mod program;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Every kind of thread that a program of ours may have, by the beginning of its name. The README lists the same.
const DOCUMENTED: &[&str] = &[
    "wippy",
    "wippy-w",
    "wippy-ticker",
    "wippy-supervisor",
    "wippy-blocking",
    "wippy-load",
    "wippy-lua",
    "wippy-cache",
    "wippy-log",
    "wippy-control",
    "wippy-input",
];

pub(crate) fn is_documented(name: &str) -> bool {
    // Linux keeps fifteen bytes of a name.
    DOCUMENTED.iter().any(|known| {
        let known = &known[..known.len().min(15)];
        name == known || (known != "wippy" && name.starts_with(known))
    })
}

pub(crate) fn thread_names(pid: u32) -> BTreeSet<String> {
    fs::read_dir(format!("/proc/{pid}/task"))
        .expect("a living child")
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

/// The names of the threads of this very program, each as often as it is there.
#[cfg(feature = "cli")]
pub(crate) fn threads_of_this_program() -> Vec<String> {
    fs::read_dir("/proc/self/task")
        .expect("this program lives")
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

#[test]
fn the_readme_names_the_same_threads() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for name in DOCUMENTED.iter().skip(1) {
        assert!(readme.contains(&format!("`{name}")), "{name} is not in the README");
    }
}
