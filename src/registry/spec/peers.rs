//! What the processes of an entry may do with others: the `process` block.

use super::super::IdPattern;
use super::super::fields::Fields;

/// What the processes of an entry may do with others.
///
/// ```
/// use wippy::registry::{PeerRules, Reach};
///
/// assert_eq!(PeerRules::default().spawn, [], "nothing to start");
/// assert_eq!(PeerRules::default().signal, Reach::Children);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerRules {
    /// The entries that they may start; none by default.
    pub spawn: Vec<IdPattern>,
    /// The hosts that they may start them on; their own when none is named.
    pub hosts: Vec<IdPattern>,
    /// Whom they may signal.
    pub signal: Reach,
}

/// Whom a process may signal: send messages to, monitor, link with, cancel, terminate, give a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reach {
    /// Itself and the processes that it started; the one that started it may be sent messages, monitored and linked with.
    #[default]
    Children,
    /// Everybody.
    Any,
}

impl PeerRules {
    /// No bounds: for code that is trusted.
    #[must_use]
    pub fn everything() -> Self {
        Self { spawn: vec![IdPattern::any()], hosts: vec![IdPattern::any()], signal: Reach::Any }
    }

    /// Reads the field `process`.
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Self {
        f.nested("process", |f| {
            let reaches = [("children", Reach::Children), ("any", Reach::Any)];
            let patterns = |texts: Vec<String>| texts.into_iter().map(IdPattern::new).collect();
            Self {
                spawn: patterns(f.texts("spawn")),
                hosts: patterns(f.texts("hosts")),
                signal: f.word("signal", &reaches, "invalid signal").unwrap_or_default(),
            }
        })
    }
}
