//! Input that wants to break the loader: devices, huge files, random bytes, damaged documents.

use proptest::prelude::*;

use super::super::testing::{App, load_fields};
use super::super::*;
use super::volume;

#[test]
fn devices_and_large_files_are_not_opened() {
    let app = App::new(&[("src/_index.yaml", &volume("app"))]);
    std::os::unix::fs::symlink("/dev/zero", app.path().join("src/zero.yaml")).unwrap();
    std::os::unix::fs::symlink("/no/such/file", app.path().join("src/.#lock.yaml")).unwrap();
    let large = std::fs::File::create(app.path().join("src/large.json")).unwrap();
    large.set_len(document::MAX_FILE_BYTES + 1).unwrap();
    app.write("src/bytes.yaml", b"namespace: \xff\n");
    let loaded = app.load();
    assert_eq!(loaded.diagnostics.errors(), 0, "{:?}", loaded.headings());
    assert_eq!(loaded.diagnostics.warnings(), 2, "the large one and the one that is no text: {:?}", loaded.headings());
    app.write("src/_index.yaml", b"namespace: \xff\n");
    assert!(app.load().diagnostics.has_errors());
}

/// Every example of the documents, in one application.
const SAMPLE: &str = "version: \"1.0\"
namespace: app
meta: &m {team: x}
entries:
  - name: bin
    kind: fs.directory
    directory: ./wasm
    mode: \"0755\"
  - name: w
    kind: process.wasm
    meta: {command: {name: greet, short: \"x\"}, <<: *m}
    fs: bin
    path: /a.wasm
    hash: sha256:292b796376f8b4cc360acf2ea6b82d1084871c3607a079f30b446da8e5c984a4
    method: run
    imports: [wasi:cli, {ns: wasi, name: io}]
    limits: {max_execution_ms: 5, max_memory: 64MiB}
    wasi: {args: [a], env: [{id: v, name: V}], mounts: [{fs: bin, guest: /d}]}
  - {name: h, kind: process.host, host: {workers: 2}, lifecycle: {stop_timeout: 5s}}
  - {name: r, kind: ns.requirement, default: x, targets: [{entry: w, path: wasi.args +=}]}
  - {name: s, kind: function.wat, method: m, source: file://x}
";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn mutated_documents_never_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), "[\\PC\n]{0,3}", 0usize..6), 1..6)) {
        let mut chars: Vec<char> = SAMPLE.chars().collect();
        for (at, insert, remove) in edits {
            let at = at.index(chars.len() + 1);
            let end = (at + remove).min(chars.len());
            chars.splice(at..end, insert.chars());
        }
        let text: String = chars.into_iter().collect();
        let loaded = App::new(&[("src/_index.yaml", &text)]).load();
        let report = render::text(&loaded.diagnostics, true);
        prop_assert_eq!(report.is_empty(), loaded.diagnostics.is_empty());
        let _ = render::json(&loaded.diagnostics);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let app = App::new(&[]);
        app.write("src/_index.yaml", &bytes);
        app.write(".wippy.yaml", &bytes);
        app.write("wippy.lock", &bytes);
        let _ = render::text(&app.load().diagnostics, false);
    }

    #[test]
    fn any_value_in_any_field_never_panics(field in prop::sample::select(vec![
        "fs", "path", "hash", "method", "transport", "wit", "imports", "wasi", "pool", "limits", "preempt", "values", "meta", "name", "kind",
    ]), value in prop::sample::select(vec!["5", "-1", "1e99", ".nan", "''", "[]", "[5, [a]]", "{}", "{a: b, 5: c}", "null", "true", "text", "'a:b:c'", "{ns: a, name: ''}"])) {
        let loaded = load_fields("process.wasm", &[&format!("{field}: {value}")]);
        prop_assert!(!loaded.diagnostics.is_empty());
    }
}
