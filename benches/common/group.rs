//! Runs the cases of a group: criterion measures one side after the other, or the sides take turns.

use std::time::Duration;

use criterion::Criterion;

use super::asked::Asked;
use super::case::Named;
use super::turns::Place;

/// Runs what was `asked` for of these cases, in turns of about this length. The first sides of each, as many as
/// `references`, are what the others are compared with.
pub(crate) fn run(group: &str, asked: &Asked, turn: Duration, references: usize, cases: &[Named]) {
    let Some(rounds) = asked.rounds else {
        let mut criterion = Criterion::default().sample_size(10).configure_from_args();
        cases.iter().for_each(|case| case.measure(&mut criterion, group));
        return criterion.final_summary();
    };
    for (at, case) in cases.iter().enumerate().filter(|(_, case)| case.name().contains(&asked.filter)) {
        let place = Place { group, at, case: case.name() };
        case.make().in_turns(&place, rounds, case.turn().unwrap_or(turn), references);
    }
}
