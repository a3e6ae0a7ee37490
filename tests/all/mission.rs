//! The YAML of the mission, put together into one application, through the library.

use std::path::{Path, PathBuf};

use wippy::Runtime;
use wippy::process::{Exit, Payload, Start};

fn app() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/apps/mission")
}

#[test]
fn every_example_passes_the_check() {
    let checked = Runtime::builder().load(app()).cache(false).check().expect("an engine");
    let problems: Vec<_> = checked.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(problems, [""; 0]);
    for entry in ["compute_worker", "greet", "http_worker", "file_processor"] {
        assert!(checked.registry.get(&format!("myns:{entry}").parse().unwrap()).is_some(), "{entry}");
    }
}

#[test]
fn the_worker_computes_and_the_greeter_greets() {
    let runtime = Runtime::builder().load(app()).cache(false).build().expect("a sound app");
    let worker = runtime.spawn("myns:compute_worker", [6, 7]).expect("a process");
    assert_eq!(worker.wait(), Exit::Returned(Payload::Int(42)));
    let start = Start::new("myns:greet".parse().unwrap(), "myns:terminal".parse().unwrap());
    let greeter = runtime.manager().spawn(start.input(["World".into()])).expect("a process");
    assert_eq!(greeter.wait(), Exit::Returned("Hello, World!".into()));
}

#[test]
fn the_file_processor_reads_one_mount_and_writes_the_other() {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&app(), copy.path());
    std::fs::write(copy.path().join("input_data/input.csv"), "name,count\na,1\nb,2\n").unwrap();
    let runtime = Runtime::builder().load(copy.path()).cache(false).build().expect("a sound app");
    let processor = runtime.spawn("myns:file_processor", [""; 0]).expect("a process");
    let report = "args: [\"file_processor\", \"--input\", \"/data/input.csv\"]\nformat: json\n\
                  input: /data/input.csv, 3 lines, 19 bytes";
    let returned = format!("{report}\nreport: /output/report.txt");
    assert_eq!(processor.wait(), Exit::Returned(returned.as_str().into()));
    assert_eq!(std::fs::read_to_string(copy.path().join("output_dir/report.txt")).unwrap(), report);
}

#[test]
fn one_wrong_digit_of_a_hash_names_both() {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&app(), copy.path());
    let index = copy.path().join("_index.yaml");
    let text = std::fs::read_to_string(&index).unwrap();
    let at = text.find("method: compute").and_then(|end| text[..end].rfind("sha256:")).unwrap() + "sha256:".len();
    let (right, wrong) = (&text[at..at + 64], format!("{}{}", flipped(&text[at..=at]), &text[at + 1..at + 64]));
    std::fs::write(&index, text.replacen(right, &wrong, 1)).unwrap();
    let checked = Runtime::builder().load(copy.path()).cache(false).check().unwrap();
    assert_eq!(checked.diagnostics.errors(), 1);
    let problem = checked.diagnostics.iter().next().unwrap();
    let shown = format!("{problem:?}");
    assert!(shown.contains("hash-mismatch") && shown.contains(right) && shown.contains(&wrong), "{shown}");
    assert!(Runtime::builder().load(copy.path()).cache(false).build().is_err(), "nothing runs");
}

/// Another hexadecimal digit.
fn flipped(digit: &str) -> &'static str {
    if digit == "0" { "1" } else { "0" }
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
