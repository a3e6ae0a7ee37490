//! One thing that is measured on several sides, by criterion or in turns.

use std::cell::RefCell;
use std::time::Duration;

use criterion::{Criterion, Throughput};

/// What a time alone does not tell: names with their units, and numbers.
pub(crate) type Figures = Vec<(&'static str, f64)>;

/// Who is measured.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    /// Does the work so many times and says what it took.
    pub(crate) run: Box<dyn FnMut(u64) -> Duration>,
    /// What else there is to tell of all runs since it was last asked.
    pub(crate) also: Box<dyn FnMut() -> Figures>,
}

impl Side {
    pub(crate) fn new(name: &'static str, run: impl FnMut(u64) -> Duration + 'static) -> Side {
        Side { name, run: Box::new(run), also: Box::new(Vec::new) }
    }
}

/// The sides of one comparison.
pub(crate) struct Case {
    pub(crate) per_iteration: Throughput,
    pub(crate) sides: Vec<Side>,
}

/// The name of a case, those of its sides, and what makes it when it is its turn.
pub(crate) struct Named {
    name: String,
    sides: Vec<&'static str>,
    make: Box<dyn Fn() -> Case>,
    turn: Option<Duration>,
}

impl Named {
    pub(crate) fn new(name: impl Into<String>, sides: &[&'static str], make: impl Fn() -> Case + 'static) -> Named {
        Named { name: name.into(), sides: sides.to_vec(), make: Box::new(make), turn: None }
    }

    /// Gives it turns of another length than the rest of its group.
    pub(crate) fn lasting(mut self, turn: Duration) -> Named {
        self.turn = Some(turn);
        self
    }

    pub(crate) fn turn(&self) -> Option<Duration> {
        self.turn
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn make(&self) -> Case {
        let case = (self.make)();
        assert!(case.sides.iter().map(|side| side.name).eq(self.sides.iter().copied()), "the sides of `{}`", self.name);
        case
    }

    /// Has criterion measure the sides, one after the other.
    pub(crate) fn measure(&self, criterion: &mut Criterion, group: &str) {
        let group = format!("{group}/{}", self.name);
        // Made by the first side that is not filtered out.
        let made: RefCell<Option<Case>> = RefCell::new(None);
        let mut benchmarks = criterion.benchmark_group(&group);
        for (at, side) in self.sides.iter().enumerate() {
            let mut figures = Figures::new();
            benchmarks.bench_function(*side, |bencher| {
                let mut made = made.borrow_mut();
                let side = &mut made.get_or_insert_with(|| self.make()).sides[at];
                bencher.iter_custom(|iterations| (side.run)(iterations));
                figures = (side.also)();
            });
            for (what, figure) in figures {
                eprintln!("{group}: {side}: {what} {figure:.1}");
            }
        }
        benchmarks.finish();
    }
}
