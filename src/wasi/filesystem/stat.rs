//! Attributes of files, and the times a guest sets.

use cap_std::fs::{FileType, FileTypeExt, Metadata, MetadataExt};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorStat, DescriptorType, ErrorCode, MetadataHashValue, NewTimestamp,
};

const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// What is known of a file, a folder or anything else with a name.
#[derive(Clone, Copy, Debug)]
pub(in crate::wasi) struct Stat {
    pub(in crate::wasi) kind: DescriptorType,
    pub(in crate::wasi) links: u64,
    pub(in crate::wasi) size: u64,
    /// Seconds and nanoseconds since 1970; none for times before.
    pub(in crate::wasi) accessed: Option<Datetime>,
    pub(in crate::wasi) modified: Option<Datetime>,
    pub(in crate::wasi) changed: Option<Datetime>,
    identity: Identity,
}

/// Which object it is. The numbers are the host's and leave this room only mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Stat {
    pub(super) fn of(metadata: &Metadata) -> Stat {
        Stat {
            kind: kind_of(metadata.file_type()),
            links: metadata.nlink(),
            size: metadata.len(),
            accessed: time(metadata.atime(), metadata.atime_nsec()),
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
            identity: Identity { device: metadata.dev(), inode: metadata.ino() },
        }
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// A number for the file system it is on.
    pub(in crate::wasi) fn device(&self) -> u64 {
        mix(&[self.identity.device])
    }

    /// A number for the object itself: the same as long as it exists, whatever happens to its content.
    pub(in crate::wasi) fn serial(&self) -> u64 {
        self.identity.serial()
    }

    /// The lower half tells which object it is (toolchains use it as the inode's number), the upper half also whether it
    /// was modified since.
    pub(super) fn hash(&self) -> MetadataHashValue {
        let (seconds, nanos) = self.modified.map_or((0, 0), |time| (time.seconds, u64::from(time.nanoseconds)));
        let Identity { device, inode } = self.identity;
        MetadataHashValue { lower: self.serial(), upper: mix(&[device, inode, self.size, seconds, nanos]) }
    }

    pub(super) fn descriptor_stat(&self) -> DescriptorStat {
        DescriptorStat {
            type_: self.kind,
            link_count: self.links,
            size: self.size,
            data_access_timestamp: self.accessed,
            data_modification_timestamp: self.modified,
            status_change_timestamp: self.changed,
        }
    }
}

impl Identity {
    pub(super) fn new(device: u64, inode: u64) -> Identity {
        Identity { device, inode }
    }

    pub(super) fn serial(self) -> u64 {
        mix(&[self.device, self.inode])
    }
}

/// The same number for the same words, in every run and build: guests may keep it.
fn mix(words: &[u64]) -> u64 {
    // The finaliser of SplitMix64, over a running state.
    words.iter().fold(0x243F_6A88_85A3_08D3, |state, word| {
        let mut z = (state ^ word).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

pub(super) fn kind_of(file_type: FileType) -> DescriptorType {
    if file_type.is_file() {
        DescriptorType::RegularFile
    } else if file_type.is_dir() {
        DescriptorType::Directory
    } else if file_type.is_symlink() {
        DescriptorType::SymbolicLink
    } else if file_type.is_fifo() {
        DescriptorType::Fifo
    } else if file_type.is_char_device() {
        DescriptorType::CharacterDevice
    } else if file_type.is_block_device() {
        DescriptorType::BlockDevice
    } else if file_type.is_socket() {
        DescriptorType::Socket
    } else {
        DescriptorType::Unknown
    }
}

fn time(seconds: i64, nanoseconds: i64) -> Option<Datetime> {
    Some(Datetime { seconds: seconds.try_into().ok()?, nanoseconds: nanoseconds.try_into().ok()? })
}

/// The times to set, as the system takes them.
pub(in crate::wasi) fn timestamps(accessed: NewTimestamp, modified: NewTimestamp) -> Result<Timestamps, ErrorCode> {
    Ok(Timestamps { last_access: timespec(accessed)?, last_modification: timespec(modified)? })
}

fn timespec(time: NewTimestamp) -> Result<Timespec, ErrorCode> {
    Ok(match time {
        NewTimestamp::NoChange => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        NewTimestamp::Now => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        NewTimestamp::Timestamp(Datetime { nanoseconds: NANOS_PER_SECOND.., .. }) => return Err(ErrorCode::Invalid),
        NewTimestamp::Timestamp(time) => Timespec {
            tv_sec: time.seconds.try_into().map_err(|_| ErrorCode::Overflow)?,
            tv_nsec: time.nanoseconds.into(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_one_number_and_others_have_others() {
        assert_eq!(Identity::new(1, 2).serial(), Identity::new(1, 2).serial());
        assert_ne!(Identity::new(1, 2).serial(), Identity::new(2, 1).serial());
        assert_ne!(mix(&[1]), mix(&[1, 0]));
    }

    #[test]
    fn times_out_of_range_are_refused() {
        let at = |seconds, nanoseconds| NewTimestamp::Timestamp(Datetime { seconds, nanoseconds });
        assert_eq!(timestamps(at(0, 1_000_000_000), NewTimestamp::Now).err(), Some(ErrorCode::Invalid));
        assert_eq!(timestamps(NewTimestamp::NoChange, at(u64::MAX, 0)).err(), Some(ErrorCode::Overflow));
        assert_eq!(timestamps(at(5, 7), NewTimestamp::NoChange).unwrap().last_access.tv_nsec, 7);
    }
}
