//! Near-misses: which known word was probably meant.

/// From this many letters on a known word may be two edits away, below only one: short words are close to everything.
const LONG_WORD: usize = 8;

/// The longest word that is compared; no known kind or field is half as long.
const MAX_WORD: usize = 128;

/// The known word that `word` is a near-miss of: one edit away (a letter added, left out, changed, or two swapped), two
/// from eight letters on, or the same but for case, `_` and `-`.
pub(crate) fn near_miss<'known>(word: &str, known: impl IntoIterator<Item = &'known str>) -> Option<&'known str> {
    let known: Vec<&str> = known.into_iter().collect();
    // What is right needs no suggestion.
    if word.len() > MAX_WORD || known.contains(&word) {
        return None;
    }
    let distance = |candidate: &str| {
        if squeezed(word) == squeezed(candidate) { 1 } else { strsim::damerau_levenshtein(word, candidate) }
    };
    known
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(edits, candidate)| {
            *edits == 1
                || (*edits == 2 && candidate.chars().count() >= LONG_WORD && word.chars().count() >= LONG_WORD - 1)
        })
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// The closest of `known` for a "did you mean" that decides nothing: up to a third of the letters may differ.
pub(crate) fn closest<'known>(word: &str, known: impl IntoIterator<Item = &'known str>) -> Option<&'known str> {
    if word.len() > MAX_WORD {
        return None;
    }
    let bound = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(edits, _)| *edits <= bound)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

fn squeezed(word: &str) -> String {
    word.chars().filter(|char| !matches!(char, '_' | '-')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = ["fs", "path", "method", "directory", "process.wasm"];

    #[test]
    fn one_edit_is_a_near_miss() {
        for (word, meant) in
            [("metod", "method"), ("mehtod", "method"), ("paths", "path"), ("pth", "path"), ("f", "fs")]
        {
            assert_eq!(near_miss(word, KNOWN), Some(meant), "{word}");
        }
    }

    #[test]
    fn two_edits_count_from_eight_letters_on() {
        assert_eq!(near_miss("diretcoyr", KNOWN), Some("directory"));
        assert_eq!(near_miss("process.wam", KNOWN), Some("process.wasm"));
        assert_eq!(near_miss("proces.wsm", KNOWN), Some("process.wasm"));
        assert_eq!(near_miss("mthd", KNOWN), None);
        assert_eq!(near_miss("pa", KNOWN), None);
    }

    #[test]
    fn case_and_separators_do_not_count() {
        assert_eq!(near_miss("PATH", KNOWN), Some("path"));
        assert_eq!(near_miss("readOnly", ["read_only"]), Some("read_only"));
    }

    #[test]
    fn a_known_word_is_no_near_miss() {
        assert_eq!(near_miss("path", KNOWN), None);
        assert_eq!(near_miss("paths", ["path", "paths"]), None);
    }

    #[test]
    fn other_words_are_left_alone() {
        for word in ["colour", "comment", "", "process.python"] {
            assert_eq!(near_miss(word, KNOWN), None, "{word}");
        }
        assert_eq!(near_miss(&"x".repeat(100_000), KNOWN), None);
    }

    #[test]
    fn the_closest_may_be_further_away() {
        assert_eq!(closest("greeter", ["greet", "add"]), Some("greet"));
        assert_eq!(closest("x", ["greet", "add"]), None);
    }
}
