//! The peer of the shell: `xargs -P`, and for each item a program that loads the module, calls it, prints the answer and ends.
//!
//! The program is this one, which does then what `wasmtime run` does: its module comes compiled from wasmtime's cache.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wasmtime::{Cache, CacheConfig};

use crate::WORKERS;
use crate::common::bare::{Bare, Runner};
use crate::common::guests::{Guest, Kind};
use crate::common::numbers::Numbers;
use crate::common::settings::Settings;

/// Says that the program is to call the guest in the folder that comes next, with the number behind that.
pub(crate) const ARGUMENT: &str = "--wippy-bench-item";

const MODULE: &str = "guest.wasm";
const FUNCTION: &str = "run";

/// A folder with the module, the cache, and the lists of items.
pub(crate) struct Programs(tempfile::TempDir);

/// Calls a guest once, as the program that it is for.
pub(crate) fn serve(folder: &Path, number: &str) -> ! {
    let mut cache = CacheConfig::new();
    cache.with_directory(folder.join("cache"));
    let mut settings = Settings::defaults();
    settings.config.cache(Some(Cache::new(cache).expect("a cache")));
    let binary = std::fs::read(folder.join(MODULE)).expect("the module");
    let guest = Guest { kind: Kind::Core, binary, function: FUNCTION };
    let bare = Bare::new(&settings, &guest, Runner::Loop);
    println!("{}", bare.call_sync(number.parse().expect("a number")));
    std::process::exit(0)
}

impl Programs {
    pub(crate) fn new(guest: &Guest) -> Programs {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(guest.function, FUNCTION);
        std::fs::write(folder.path().join(MODULE), &guest.binary).expect("a file");
        Programs(folder)
    }

    /// Has xargs run the program for each of so many items.
    pub(crate) fn run(&self, numbers: Numbers, items: u64) -> Duration {
        let begin = Instant::now();
        let list = self.0.path().join("items");
        let mut file = File::create(&list).expect("a file");
        (0..items).for_each(|item| writeln!(file, "{}", numbers.argument(item)).expect("room"));
        let out = Command::new("xargs")
            .args(["-n1", "-P", &WORKERS.to_string()])
            .arg(std::env::current_exe().expect("this program's path"))
            .arg(ARGUMENT)
            .arg(self.0.path())
            .stdin(File::open(&list).expect("a file"))
            .stderr(Stdio::inherit())
            .output()
            .expect("xargs is there");
        assert!(out.status.success(), "{}", out.status);
        // Short writes to one pipe do not mix, but come in any order.
        let text = String::from_utf8(out.stdout).expect("numbers");
        let mut answers: Vec<i64> = text.lines().map(|line| line.parse().expect("a number")).collect();
        answers.sort_unstable();
        assert_eq!(answers.len() as u64, items);
        (0..items).zip(answers).for_each(|(item, answer)| numbers.check(item, answer));
        begin.elapsed()
    }
}
