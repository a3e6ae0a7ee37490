//! Messages between processes, and why one did not arrive.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Payload, Pid};
use crate::registry::MAX_TOPIC;
use crate::security::Denied;

/// The longest topic, in bytes.
pub const TOPIC_BYTES_MAX: usize = MAX_TOPIC;

/// What a message is about: the word by which a receiver sorts what comes in.
///
/// ```
/// use wippy::process::Topic;
///
/// let topic: Topic = "orders.new".parse()?;
/// assert_eq!(topic.as_str(), "orders.new");
/// assert!("@pid/events".parse::<Topic>().is_err(), "these are the runtime's own");
/// # Ok::<(), wippy::process::TopicError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic(Arc<str>);

impl Topic {
    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// There is nothing in it.
    #[error("a topic must not be empty")]
    Empty,
    /// It begins as those of the runtime do.
    #[error("`{0}` is no topic for a message: those that begin with `@` are the runtime's own")]
    Reserved(String),
    /// It is longer than [`TOPIC_BYTES_MAX`].
    #[error("a topic of {0} bytes; it may have {TOPIC_BYTES_MAX}")]
    TooLong(usize),
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        match text {
            "" => Err(TopicError::Empty),
            text if text.len() > TOPIC_BYTES_MAX => Err(TopicError::TooLong(text.len())),
            text if text.starts_with('@') => Err(TopicError::Reserved(text.to_owned())),
            text => Ok(Self(text.into())),
        }
    }
}

/// What one process says to another.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// The process that sent it; none when it came from outside of all processes.
    pub from: Option<Pid>,
    /// What it is about.
    pub topic: Topic,
    /// What it says.
    pub payloads: Vec<Payload>,
}

impl Message {
    /// A message about this, from outside of all processes.
    ///
    /// ```
    /// use wippy::process::Message;
    ///
    /// let message = Message::new("add".parse()?, [6, 7]);
    /// assert_eq!(message.payloads.len(), 2);
    /// # Ok::<(), wippy::process::TopicError>(())
    /// ```
    pub fn new(topic: Topic, payloads: impl IntoIterator<Item = impl Into<Payload>>) -> Self {
        Self { from: None, topic, payloads: payloads.into_iter().map(Into::into).collect() }
    }

    /// The same message, from this process.
    #[must_use]
    pub fn from(mut self, pid: Pid) -> Self {
        self.from = Some(pid);
        self
    }

    /// What it takes in a mailbox, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let payloads: usize = self.payloads.iter().map(Payload::size).sum();
        size_of::<Self>() + self.topic.0.len() + payloads
    }
}

/// Why a signal did not reach a process: a message, a monitor, a link, a request, a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// The process has ended, or never was.
    #[error("process `{pid}` not found: it has ended, or never was")]
    NoProcess {
        /// Who was meant.
        pid: Pid,
    },
    /// Nobody has this name.
    #[error("no process is called `{name}`")]
    NoName {
        /// Who was meant.
        name: String,
    },
    /// The pid is of another node, or of a host that this runtime does not have.
    #[error("`{pid}` is no process of this runtime")]
    Foreign {
        /// Who was meant.
        pid: Pid,
    },
    /// Neither a pid nor a name.
    #[error(
        "could not resolve `{text}`: it is neither a pid, as in `{{app:processes|0x00001}}`, nor the name of a process"
    )]
    Unresolved {
        /// What was written.
        text: String,
    },
    /// The mailbox of the process is full. Trying again helps when the process has read some of it.
    #[error("the mailbox of `{pid}` is full: its `{bound}` is {allowed}; try again")]
    Busy {
        /// The receiver.
        pid: Pid,
        /// The bound that was reached: `max_messages` or `max_bytes`.
        bound: &'static str,
        /// How much that is.
        allowed: usize,
    },
    /// The message does not even fit an empty mailbox.
    #[error("a message of {bytes} bytes to `{pid}`, whose mailbox has room for {allowed}")]
    Oversized {
        /// The receiver.
        pid: Pid,
        /// What the message takes.
        bytes: usize,
        /// `max_bytes` of the mailbox.
        allowed: usize,
    },
    /// Lists and maps in the message nest too deep.
    #[error("a message to `{pid}` nests deeper than {}", Payload::MAX_DEPTH)]
    TooDeep {
        /// The receiver.
        pid: Pid,
    },
    /// The topic is none.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The sender's entry does not allow it.
    #[error("`{from}` may not {action} `{target}`: {hint}")]
    NotAllowed {
        /// Who tried.
        from: Pid,
        /// What it tried.
        action: &'static str,
        /// With whom.
        target: String,
        /// What would allow it.
        hint: &'static str,
    },
    /// No policy of the sender allows it, or one denies it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The process is monitored by the same one already.
    #[error("`{from}` monitors `{pid}` already")]
    AlreadyMonitored {
        /// Who watches.
        from: Pid,
        /// Who is watched.
        pid: Pid,
    },
    /// The process has as many as it may have.
    #[error("`{pid}` has {allowed} {what}, as many as a process may have")]
    TooMany {
        /// Who has them.
        pid: Pid,
        /// What they are.
        what: &'static str,
        /// How many that is.
        allowed: usize,
    },
    /// Somebody else has the name.
    #[error("the name `{name}` is taken by `{owner}`")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        owner: Pid,
    },
    /// The text is no name.
    #[error("`{name}` is no name for a process: {why}")]
    InvalidName {
        /// What was written.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The runtime is gone.
    #[error("the runtime has ended")]
    Closed,
}

impl SignalError {
    /// Whether the same may succeed later without anybody changing anything else.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_a_word_of_somebody() {
        assert_eq!("a".parse::<Topic>().unwrap().to_string(), "a");
        assert_eq!("".parse::<Topic>(), Err(TopicError::Empty));
        assert_eq!("@x".parse::<Topic>(), Err(TopicError::Reserved("@x".into())));
        assert!("x".repeat(TOPIC_BYTES_MAX).parse::<Topic>().is_ok());
        assert_eq!("x".repeat(TOPIC_BYTES_MAX + 1).parse::<Topic>(), Err(TopicError::TooLong(TOPIC_BYTES_MAX + 1)));
    }

    #[test]
    fn a_message_weighs_what_it_says() {
        let of = |payload: Payload| Message::new("t".parse().unwrap(), [payload]).size();
        let nothing = of(Payload::Nil);
        assert_eq!(of(Payload::Bytes(vec![0; 1000].into())), nothing + 1000);
        assert_eq!(of("x".repeat(500).into()), nothing + 500);
        let list: Payload = vec![Payload::Nil; 10].into();
        assert_eq!(of(list), nothing + 10 * size_of::<Payload>());
        let map: Payload = [("key", Payload::Int(1))].into_iter().collect();
        assert_eq!(of(map), nothing + 3 + size_of::<String>() + size_of::<Payload>());
    }
}
