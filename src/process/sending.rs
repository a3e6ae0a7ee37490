//! A message on its way to a mailbox that is full.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::cell::ProcessCell;
use super::mailbox::Turn;
use super::message::{Message, SignalError};

/// Waits for room in a mailbox, by turn. Dropping it takes the message back.
#[must_use = "nothing is sent before it is polled"]
pub struct Sending {
    cell: Arc<ProcessCell>,
    message: Option<Message>,
    turn: Option<Turn>,
}

impl Sending {
    pub(super) fn new(cell: Arc<ProcessCell>, message: Message) -> Result<Self, SignalError> {
        if message.payloads.iter().any(super::Payload::is_too_deep) {
            return Err(SignalError::TooDeep { pid: cell.pid.clone() });
        }
        Ok(Self { cell, message: Some(message), turn: None })
    }
}

impl Future for Sending {
    type Output = Result<(), SignalError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { cell, message, turn } = self.get_mut();
        cell.mailbox.poll_push(message, turn, context).map(|sent| match sent {
            Ok(taken) => {
                cell.note(taken);
                Ok(())
            }
            Err(refusal) => Err(cell.refused(refusal)),
        })
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(turn) = self.turn.take() {
            self.cell.mailbox.leave_line(turn);
        }
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("to", &self.cell.pid).field("waits", &self.turn.is_some()).finish()
    }
}
