//! "Did you mean": the known name that a text is most likely meant to be.

/// Names from this length on may be two edits away; shorter ones only one.
const LONG_NAME: usize = 8;

/// How many edits (insert, delete, replace, swap of neighbours) a near-miss of `known` may have.
#[must_use]
pub fn edits_allowed(known: &str) -> usize {
    if known.chars().count() >= LONG_NAME { 2 } else { 1 }
}

/// Whether `text` is a near-miss of `known`, and by how many edits. An exact match is none.
fn near_miss(text: &str, known: &str) -> Option<usize> {
    let edits = strsim::damerau_levenshtein(text, known);
    (1..=edits_allowed(known)).contains(&edits).then_some(edits)
}

/// The name of `known` that `text` is a near-miss of; the nearest, and the first of equals.
///
/// ```
/// use wippy::suggest::nearest;
///
/// assert_eq!(nearest("metod", ["method", "path"]), Some("method"));
/// assert_eq!(nearest("method", ["method"]), None, "an exact match is no near-miss");
/// assert_eq!(nearest("colour", ["path"]), None);
/// ```
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .filter_map(|name| near_miss(text, name).map(|edits| (edits, name)))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_may_be_two_edits_away() {
        assert_eq!(nearest("proces.wsm", ["process.wasm"]), Some("process.wasm"));
        assert_eq!(nearest("pth", ["path"]), Some("path"));
        assert_eq!(nearest("pt", ["path"]), None);
    }

    #[test]
    fn swapped_neighbours_are_one_edit() {
        assert_eq!(nearest("hsah", ["hash"]), Some("hash"));
    }

    #[test]
    fn the_nearest_wins() {
        assert_eq!(nearest("max_memor", ["max_memory", "max_memoir"]), Some("max_memory"));
    }
}
