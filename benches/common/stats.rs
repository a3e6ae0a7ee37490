//! Medians, and how far they can be trusted.

/// A median, and the bounds between which that of all possible rounds is with a confidence of at least 95 %.
///
/// The bounds are two of the values themselves, so nothing is assumed about how they spread. Fewer than six are too few for
/// that confidence: then the bounds are the least and the most of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Estimate {
    /// Of at least one value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Estimate {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let median = f64::midpoint(values[(count - 1) / 2], values[count / 2]);
        let outside = outside(count);
        Estimate { median, low: values[outside], high: values[count - 1 - outside] }
    }
}

/// How many of so many sorted values are outside of the bounds on either side: as many as half of a fair coin's throws
/// come short of with a probability of at most 2.5 %.
fn outside(count: usize) -> usize {
    let mut probability = 0.5_f64.powi(i32::try_from(count).expect("some rounds"));
    let mut below = probability;
    let mut outside = 0;
    while below <= 0.025 {
        outside += 1;
        probability *= (count + 1 - outside) as f64 / outside as f64;
        below += probability;
    }
    outside.saturating_sub(1).min((count - 1) / 2)
}
