//! One thing that is measured on several sides, by criterion or in turns.

use std::cell::RefCell;
use std::time::Duration;

use criterion::{Criterion, Throughput};

/// Who is measured.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    /// Does the work so many times and says what it took.
    pub(crate) run: Box<dyn FnMut(u64) -> Duration>,
    /// What a time alone does not tell, for the end.
    pub(crate) note: Box<dyn FnMut() -> String>,
}

impl Side {
    pub(crate) fn new(name: &'static str, run: impl FnMut(u64) -> Duration + 'static) -> Side {
        Side { name, run: Box::new(run), note: Box::new(String::new) }
    }
}

/// The sides of one comparison.
pub(crate) struct Case {
    pub(crate) per_iteration: Throughput,
    pub(crate) sides: Vec<Side>,
}

/// Has criterion measure the sides, which have these names, one after the other.
pub(crate) fn measure(criterion: &mut Criterion, group: &str, sides: &[&str], case: &dyn Fn() -> Case) {
    // Made by the first side that is not filtered out.
    let made: RefCell<Option<Case>> = RefCell::new(None);
    let mut benchmarks = criterion.benchmark_group(group);
    for (at, side) in sides.iter().enumerate() {
        let mut note = None;
        benchmarks.bench_function(*side, |bencher| {
            let mut made = made.borrow_mut();
            let case = made.get_or_insert_with(case);
            let side = &mut case.sides[at];
            bencher.iter_custom(|iterations| (side.run)(iterations));
            note = Some((side.note)());
        });
        if let Some(note) = note.filter(|note| !note.is_empty()) {
            eprintln!("{group}: {side}: {note}");
        }
    }
    benchmarks.finish();
}
