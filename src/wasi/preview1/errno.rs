//! Error numbers of preview 1, as far as this layer gives them.

use std::io;

use crate::wasi::stdio::StreamFailure;

/// A failed call, as the guest sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errno(pub(super) u16);

impl Errno {
    /// Nothing is there now and the descriptor does not wait.
    pub(super) const AGAIN: Errno = Errno(6);
    /// No such descriptor, or not for this.
    pub(super) const BADF: Errno = Errno(8);
    /// A pointer or length outside of the guest's memory.
    pub(super) const FAULT: Errno = Errno(21);
    /// A value that means nothing.
    pub(super) const INVAL: Errno = Errno(28);
    /// The system failed.
    pub(super) const IO: Errno = Errno(29);
    /// No space left.
    pub(super) const NOSPC: Errno = Errno(51);
    /// The function is not served.
    pub(super) const NOSYS: Errno = Errno(52);
    /// Not for this kind of thing.
    pub(super) const NOTSUP: Errno = Errno(58);
    /// More than fits the type.
    pub(super) const OVERFLOW: Errno = Errno(61);
    /// Nobody reads any more.
    pub(super) const PIPE: Errno = Errno(64);
    /// A stream has no position.
    pub(super) const SPIPE: Errno = Errno(70);
}

impl From<StreamFailure> for Errno {
    fn from(failure: StreamFailure) -> Errno {
        match failure {
            StreamFailure::Closed => Errno::PIPE,
            StreamFailure::Failed(error) if error.kind() == io::ErrorKind::StorageFull => Errno::NOSPC,
            StreamFailure::Failed(_) => Errno::IO,
        }
    }
}

/// The number a function returns.
pub(super) fn code(result: Result<(), Errno>) -> i32 {
    result.map_or_else(|errno| i32::from(errno.0), |()| 0)
}
