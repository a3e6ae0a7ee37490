//! Error numbers of preview 1, as far as this layer gives them.

use std::io;

use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use crate::wasi::stdio::StreamFailure;

/// A failed call, as the guest sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errno(pub(super) u16);

impl Errno {
    /// The file system, or its `mode`, forbids it.
    pub(super) const ACCES: Errno = Errno(2);
    /// Nothing is there now and the descriptor does not wait.
    pub(super) const AGAIN: Errno = Errno(6);
    /// No such descriptor, or not for this.
    pub(super) const BADF: Errno = Errno(8);
    /// A pointer or length outside of the guest's memory.
    pub(super) const FAULT: Errno = Errno(21);
    /// A text that is not UTF-8.
    pub(super) const ILSEQ: Errno = Errno(25);
    /// A value that means nothing.
    pub(super) const INVAL: Errno = Errno(28);
    /// The system failed.
    pub(super) const IO: Errno = Errno(29);
    /// The process has as many descriptors as it may.
    pub(super) const MFILE: Errno = Errno(33);
    /// Longer than there is room for.
    pub(super) const NAMETOOLONG: Errno = Errno(37);
    /// No space left.
    pub(super) const NOSPC: Errno = Errno(51);
    /// The function is not served.
    pub(super) const NOSYS: Errno = Errno(52);
    /// A folder was expected.
    pub(super) const NOTDIR: Errno = Errno(54);
    /// Open, and no socket.
    pub(super) const NOTSOCK: Errno = Errno(57);
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

impl From<ErrorCode> for Errno {
    fn from(code: ErrorCode) -> Errno {
        match code {
            ErrorCode::Access => Errno::ACCES,
            ErrorCode::WouldBlock => Errno::AGAIN,
            ErrorCode::Already => Errno(7),
            ErrorCode::BadDescriptor => Errno::BADF,
            ErrorCode::Busy => Errno(10),
            ErrorCode::Deadlock => Errno(16),
            ErrorCode::Quota => Errno(19),
            ErrorCode::Exist => Errno(20),
            ErrorCode::FileTooLarge => Errno(22),
            ErrorCode::IllegalByteSequence => Errno::ILSEQ,
            ErrorCode::InProgress => Errno(26),
            ErrorCode::Interrupted => Errno(27),
            ErrorCode::Invalid => Errno::INVAL,
            ErrorCode::Io => Errno::IO,
            ErrorCode::IsDirectory => Errno(31),
            ErrorCode::Loop => Errno(32),
            ErrorCode::TooManyLinks => Errno(34),
            ErrorCode::MessageSize => Errno(35),
            ErrorCode::NameTooLong => Errno::NAMETOOLONG,
            ErrorCode::NoDevice => Errno(43),
            ErrorCode::NoEntry => Errno(44),
            ErrorCode::NoLock => Errno(46),
            ErrorCode::InsufficientMemory => Errno(48),
            ErrorCode::InsufficientSpace => Errno::NOSPC,
            ErrorCode::NotDirectory => Errno::NOTDIR,
            ErrorCode::NotEmpty => Errno(55),
            ErrorCode::NotRecoverable => Errno(56),
            ErrorCode::Unsupported => Errno::NOTSUP,
            ErrorCode::NoTty => Errno(59),
            ErrorCode::NoSuchDevice => Errno(60),
            ErrorCode::Overflow => Errno::OVERFLOW,
            ErrorCode::NotPermitted => Errno(63),
            ErrorCode::Pipe => Errno::PIPE,
            ErrorCode::ReadOnly => Errno(69),
            ErrorCode::InvalidSeek => Errno::SPIPE,
            ErrorCode::TextFileBusy => Errno(74),
            ErrorCode::CrossDevice => Errno(75),
        }
    }
}

/// Why a function of a guest's does not do what it should: a number for the guest, or the end of the process.
pub(super) enum Refusal {
    Errno(Errno),
    Trap(wasmtime::Error),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Refusal {
        Refusal::Errno(errno)
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Refusal {
        Refusal::Errno(code.into())
    }
}

impl From<wasmtime::Error> for Refusal {
    fn from(error: wasmtime::Error) -> Refusal {
        Refusal::Trap(error)
    }
}

/// What a function returns, or the end of its process.
pub(super) fn answer(result: Result<(), Refusal>) -> wasmtime::Result<i32> {
    match result {
        Ok(()) => Ok(0),
        Err(Refusal::Errno(errno)) => Ok(errno.0.into()),
        Err(Refusal::Trap(error)) => Err(error),
    }
}

/// The number a function returns.
pub(super) fn code(result: Result<(), Errno>) -> i32 {
    result.map_or_else(|errno| i32::from(errno.0), |()| 0)
}
