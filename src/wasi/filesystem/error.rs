//! What the system says of files, as the codes of `wasi:filesystem`.

use std::io;

use rustix::io::Errno;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use crate::reactor::BlockingError;

/// The code of a failed call.
pub(in crate::wasi) fn code_of(error: &io::Error) -> ErrorCode {
    if let Some(number) = error.raw_os_error() {
        return code_of_errno(Errno::from_raw_os_error(number));
    }
    match error.kind() {
        // Not the system's refusal, but that of the resolution below a root: the path led out of it.
        io::ErrorKind::PermissionDenied => ErrorCode::NotPermitted,
        io::ErrorKind::NotFound => ErrorCode::NoEntry,
        io::ErrorKind::AlreadyExists => ErrorCode::Exist,
        // A zero byte in a path.
        io::ErrorKind::InvalidInput => ErrorCode::Invalid,
        io::ErrorKind::WriteZero => ErrorCode::InsufficientSpace,
        io::ErrorKind::Unsupported => ErrorCode::Unsupported,
        _ => ErrorCode::Io,
    }
}

/// The code of a system's number.
pub(super) fn code_of_errno(errno: Errno) -> ErrorCode {
    match errno {
        Errno::ACCESS => ErrorCode::Access,
        Errno::AGAIN => ErrorCode::WouldBlock,
        Errno::ALREADY => ErrorCode::Already,
        Errno::BADF => ErrorCode::BadDescriptor,
        Errno::BUSY => ErrorCode::Busy,
        Errno::DEADLK => ErrorCode::Deadlock,
        Errno::DQUOT => ErrorCode::Quota,
        Errno::EXIST => ErrorCode::Exist,
        Errno::FBIG => ErrorCode::FileTooLarge,
        Errno::ILSEQ => ErrorCode::IllegalByteSequence,
        Errno::INPROGRESS => ErrorCode::InProgress,
        Errno::INTR => ErrorCode::Interrupted,
        Errno::INVAL => ErrorCode::Invalid,
        Errno::ISDIR => ErrorCode::IsDirectory,
        Errno::LOOP => ErrorCode::Loop,
        Errno::MLINK => ErrorCode::TooManyLinks,
        Errno::MSGSIZE => ErrorCode::MessageSize,
        // No descriptor left is no code of its own: like memory, it is a matter of what the host can spare.
        Errno::NOMEM | Errno::MFILE | Errno::NFILE => ErrorCode::InsufficientMemory,
        Errno::NAMETOOLONG => ErrorCode::NameTooLong,
        Errno::NODEV => ErrorCode::NoDevice,
        Errno::NOENT => ErrorCode::NoEntry,
        Errno::NOLCK => ErrorCode::NoLock,
        Errno::NOSPC => ErrorCode::InsufficientSpace,
        Errno::NOTDIR => ErrorCode::NotDirectory,
        Errno::NOTEMPTY => ErrorCode::NotEmpty,
        Errno::NOTRECOVERABLE => ErrorCode::NotRecoverable,
        Errno::NOTSUP | Errno::NOSYS => ErrorCode::Unsupported,
        Errno::NOTTY => ErrorCode::NoTty,
        Errno::NXIO => ErrorCode::NoSuchDevice,
        Errno::OVERFLOW => ErrorCode::Overflow,
        Errno::PERM => ErrorCode::NotPermitted,
        Errno::PIPE => ErrorCode::Pipe,
        Errno::ROFS => ErrorCode::ReadOnly,
        Errno::SPIPE => ErrorCode::InvalidSeek,
        Errno::TXTBSY => ErrorCode::TextFileBusy,
        Errno::XDEV => ErrorCode::CrossDevice,
        _ => ErrorCode::Io,
    }
}

/// The code of a call that the blocking pool did not carry out.
pub(super) fn code_of_pool(error: &BlockingError) -> ErrorCode {
    tracing::warn!(%error, "a file operation was not carried out");
    match error {
        BlockingError::NoThread(_) => ErrorCode::InsufficientMemory,
        _ => ErrorCode::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_kinds_have_their_codes() {
        let of = |errno: Errno| code_of(&io::Error::from(errno));
        assert_eq!(of(Errno::XDEV), ErrorCode::CrossDevice);
        assert_eq!(of(Errno::ROFS), ErrorCode::ReadOnly);
        assert_eq!(of(Errno::ACCESS), ErrorCode::Access);
        assert_eq!(of(Errno::PERM), ErrorCode::NotPermitted);
        assert_eq!(of(Errno::NOTEMPTY), ErrorCode::NotEmpty);
        assert_eq!(of(Errno::MFILE), ErrorCode::InsufficientMemory);
        assert_eq!(of(Errno::CONNREFUSED), ErrorCode::Io, "no code of files");
        let outside = io::Error::new(io::ErrorKind::PermissionDenied, "a path led outside");
        assert_eq!(code_of(&outside), ErrorCode::NotPermitted);
        assert_eq!(code_of(&io::Error::from(io::ErrorKind::UnexpectedEof)), ErrorCode::Io);
    }
}
