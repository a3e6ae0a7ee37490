//! Whole outputs: a folder a case, its `expected.txt` beside it. `WIPPY_BLESS=1` rewrites them; read what it wrote as a
//! user would before committing it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::{Said, fixture, wippy};

/// Cases that run at once: each is a process with threads of its own.
const AT_ONCE: usize = 4;

/// One case: an application, the command line for it, and what is expected.
struct Case {
    folder: PathBuf,
}

impl Case {
    fn all(below: &str) -> Vec<Self> {
        let mut folders: Vec<_> = fs::read_dir(fixture(below))
            .expect("the folder of the cases")
            .map(|entry| entry.expect("a readable entry").path())
            .filter(|path| path.is_dir())
            .collect();
        folders.sort();
        folders.into_iter().map(|folder| Self { folder }).collect()
    }

    fn name(&self) -> String {
        self.folder.file_name().expect("a name").to_string_lossy().into_owned()
    }

    /// The words behind `wippy`, one a line of the file `command`; `default` where there is none.
    fn words(&self, default: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("command")).unwrap_or_else(|_| default.to_owned());
        text.lines().map(str::to_owned).collect()
    }

    /// Runs it in its folder, so that paths are relative; where one is told in full, the folder reads `APP`.
    fn said(&self, default: &str) -> Said {
        let output = wippy().current_dir(&self.folder).args(self.words(default)).output().expect("the program starts");
        let mut said = Said::of(output);
        let folder = self.folder.display().to_string();
        for stream in [&mut said.stdout, &mut said.stderr] {
            *stream = stream.replace(&folder, "APP");
        }
        said
    }

    /// The difference to what is expected, if there is one.
    fn check(&self, default: &str, bless: bool) -> Option<String> {
        let found = self.said(default).golden();
        let file = self.folder.join("expected.txt");
        if bless {
            fs::write(file, found).expect("a writable file");
            return None;
        }
        let expected = fs::read_to_string(file).unwrap_or_default();
        (found != expected).then(|| format!("== {} ==\n-- expected\n{expected}-- found\n{found}", self.name()))
    }
}

fn check_all(below: &str, default: &str, at_least: usize) {
    let cases = Case::all(below);
    let bless = std::env::var_os("WIPPY_BLESS").is_some_and(|value| value == "1");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut differences = Vec::new();
        // Relaxed: only the number itself is shared.
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            differences.extend(case.check(default, bless));
        }
        differences
    };
    let differences: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a case that does not panic")).collect()
    });
    assert!(differences.is_empty(), "{} cases differ\n{}", differences.len(), differences.join("\n"));
    assert!(cases.len() >= at_least, "{below}: {} cases of at least {at_least}", cases.len());
}

/// Whether a file of the case says this.
fn expects(case: &Case, text: &str) -> bool {
    fs::read_to_string(case.folder.join("expected.txt")).is_ok_and(|expected| expected.contains(text))
}

#[test]
fn broken_applications_are_told_what_is_wrong() {
    check_all("broken", "check", 60);
    let not_refused: Vec<_> =
        Case::all("broken").into_iter().filter(|case| !expects(case, "exit 2\n")).map(|case| case.name()).collect();
    assert!(not_refused.is_empty(), "not refused: {not_refused:?}");
}

#[test]
fn odd_applications_run_with_warnings() {
    check_all("odd", "run\ngreet\nWorld", 10);
    for case in Case::all("odd") {
        assert!(expects(&case, "exit 0\n") && expects(&case, "warning"), "{} neither runs nor warns", case.name());
    }
}

/// Guests that compute, grow, recurse, write and trap without end, each stopped by its limit or by itself.
#[test]
fn unruly_guests_end_with_the_code_of_their_limit() {
    check_all("ends", "run", 6);
    let codes = [("looping", 124), ("hungry", 125), ("modest", 125), ("deep", 125), ("chatty", 125), ("broken", 134)];
    for case in Case::all("ends") {
        let (_, code) = codes.iter().find(|(name, _)| *name == case.name()).expect("a case with a code");
        assert!(expects(&case, &format!("exit {code}\n")), "{}", case.name());
    }
}

#[test]
fn no_case_tells_where_it_ran() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).display().to_string();
    for case in ["broken", "odd", "ends"].into_iter().flat_map(Case::all) {
        assert!(!expects(&case, &root), "{} has a path of this machine", case.name());
    }
}
