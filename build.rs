//! Sets `cfg(wippy_loom)` from the environment variable `WIPPY_LOOM`: our own switch, so that no dependency is rebuilt
//! or sees `cfg(loom)`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=WIPPY_LOOM");
    println!("cargo::rustc-check-cfg=cfg(wippy_loom)");
    if std::env::var_os("WIPPY_LOOM").is_some_and(|value| value == "1") {
        println!("cargo::rustc-cfg=wippy_loom");
    }
}
