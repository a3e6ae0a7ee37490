//! Single letters of a pattern: letters, classes and sets.

use super::PatternError;

/// Where the item that begins here ends: a letter, a class, or a set with its brackets.
pub(super) fn class_end(pattern: &[u8], at: usize) -> Result<usize, PatternError> {
    match pattern.get(at) {
        Some(b'%') if at + 1 < pattern.len() => Ok(at + 2),
        Some(b'%') => Err(PatternError::EndsWithEscape),
        Some(b'[') => {
            let mut end = at + 1;
            if pattern.get(end) == Some(&b'^') {
                end += 1;
            }
            // A bracket that comes first is a letter.
            loop {
                match pattern.get(end) {
                    None => return Err(PatternError::OpenSet),
                    Some(b'%') if end + 1 >= pattern.len() => return Err(PatternError::EndsWithEscape),
                    Some(b'%') => end += 2,
                    Some(_) => end += 1,
                }
                if pattern.get(end) == Some(&b']') {
                    return Ok(end + 1);
                }
            }
        }
        _ => Ok(at + 1),
    }
}

/// Whether the letter at this place is one of the item that lies between `item` and `after`.
pub(super) fn single(subject: &[u8], at: usize, pattern: &[u8], item: usize, after: usize) -> bool {
    let Some(letter) = subject.get(at).copied() else { return false };
    match pattern[item] {
        b'.' => true,
        b'%' => in_class(letter, pattern[item + 1]),
        b'[' => in_set(letter, pattern, item, after),
        expected => expected == letter,
    }
}

/// Whether a letter is of the class with this name; of one that is no name, whether it is that letter.
fn in_class(letter: u8, name: u8) -> bool {
    let is_in = match name.to_ascii_lowercase() {
        b'a' => letter.is_ascii_alphabetic(),
        b'c' => letter.is_ascii_control(),
        b'd' => letter.is_ascii_digit(),
        b'g' => letter.is_ascii_graphic(),
        b'l' => letter.is_ascii_lowercase(),
        b'p' => letter.is_ascii_punctuation(),
        // With the vertical tab, which Rust does not count.
        b's' => letter.is_ascii_whitespace() || letter == 0x0b,
        b'u' => letter.is_ascii_uppercase(),
        b'w' => letter.is_ascii_alphanumeric(),
        b'x' => letter.is_ascii_hexdigit(),
        b'z' => letter == 0,
        _ => return name == letter,
    };
    is_in != name.is_ascii_uppercase()
}

/// Whether a letter is in the set that lies between its brackets `open` and `after - 1`.
pub(super) fn in_set(letter: u8, pattern: &[u8], open: usize, after: usize) -> bool {
    let close = after - 1;
    let mut at = open + 1;
    let is_inverted = pattern[at] == b'^';
    if is_inverted {
        at += 1;
    }
    while at < close {
        if pattern[at] == b'%' {
            at += 1;
            if in_class(letter, pattern[at]) {
                return !is_inverted;
            }
            at += 1;
        } else if pattern[at + 1] == b'-' && at + 2 < close {
            if (pattern[at]..=pattern[at + 2]).contains(&letter) {
                return !is_inverted;
            }
            at += 3;
        } else {
            if pattern[at] == letter {
                return !is_inverted;
            }
            at += 1;
        }
    }
    is_inverted
}
