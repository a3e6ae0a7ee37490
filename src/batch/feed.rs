//! Where the inputs of a map come from.

use crate::process::Payload;

/// What a source has to give now.
#[derive(Debug)]
pub enum Fed {
    /// The arguments of the next item.
    Item(Vec<Payload>),
    /// An input that can't be read: its item fails with this text.
    Unreadable(String),
    /// An input that is not run, and has an index all the same.
    Skip,
    /// Nothing yet: whoever feeds pokes the map when there is more, see [`super::Poker`].
    Later,
    /// There is no more.
    End,
}

/// A source of inputs that may have none yet.
///
/// Every iterator of arguments is one, by [`Inputs`]; it blocks the map when it blocks.
pub trait Feed: Send {
    /// The next input. After [`Fed::End`] it is not asked again.
    fn next(&mut self) -> Fed;

    /// At least so many are left, and at most so many, where that is known: as [`Iterator::size_hint`].
    fn left(&self) -> (usize, Option<usize>) {
        (0, None)
    }
}

/// An iterator whose items are lists of arguments, as a feed.
pub struct Inputs<I>(pub I);

impl<I, A> Feed for Inputs<I>
where
    I: Iterator<Item = A> + Send,
    A: IntoIterator,
    A::Item: Into<Payload>,
{
    fn next(&mut self) -> Fed {
        self.0.next().map_or(Fed::End, |arguments| Fed::Item(arguments.into_iter().map(Into::into).collect()))
    }

    fn left(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
