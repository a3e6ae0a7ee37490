//! A supervisor in Lua over wasm workers that trap: see `fixtures/apps/lua-supervisor`. `WIPPY_TEST_SIZE=long` has ten times as
//! many results.

use crate::support::{fixture, run_in};

#[test]
fn ten_workers_that_trap_at_random_lose_and_double_nothing() {
    let jobs = if std::env::var("WIPPY_TEST_SIZE").is_ok_and(|size| size == "long") { "10000" } else { "1000" };
    for seed in ["1", "4711"] {
        let said = run_in(&fixture("apps/lua-supervisor"), ["run", "supervise", jobs, seed]);
        let numbers: Vec<usize> =
            said.stdout.split(|sign: char| !sign.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
        let [results, started, trapped] = numbers[..] else { panic!("seed {seed}: {}", said.golden()) };
        let expected = format!("{jobs} results, each once, of {started} workers, of which {trapped} trapped\n");
        assert_eq!(
            (said.code, said.stdout.as_str(), said.stderr.as_str()),
            (Some(0), expected.as_str(), ""),
            "seed {seed}"
        );
        // One in three traps.
        assert!(trapped * 5 > started && trapped * 2 < started && started > results / 6, "seed {seed}: {expected}");
    }
}
