//! What a call gives its process beside the arguments.

use indexmap::IndexMap;

use crate::process::Payload;
use crate::process::Peers;
use crate::security::{Actor, Denied, Scope};

/// What a call gives its process beside the arguments; nothing by default, so that it acts as its caller and looks up what
/// its caller does.
///
/// ```
/// use wippy::function::CallOptions;
/// use wippy::security::Actor;
///
/// let options = CallOptions::default();
/// assert!(options.actor.is_none() && options.context.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CallOptions {
    /// What the process and everybody that it starts can look up, beside what the caller can. A process needs leave for
    /// `funcs.context` to say so.
    pub context: IndexMap<String, Payload>,
    /// Who the process acts as. A process needs leave for `funcs.security` to say so.
    pub actor: Option<Actor>,
    /// The policies it acts by. A process needs leave for `funcs.security` to say so.
    pub scope: Option<Scope>,
}

impl CallOptions {
    /// Whether this caller may give this.
    pub(super) fn check(&self, caller: &Peers) -> Result<(), Denied> {
        if !self.context.is_empty() {
            caller.check_allowed("funcs.context", "give a function context", &"context")?;
        }
        if self.actor.is_some() || self.scope.is_some() {
            caller.check_allowed("funcs.security", "change actor or scope of a function", &"security")?;
        }
        Ok(())
    }
}
