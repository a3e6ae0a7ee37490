//! What this machine and its settings allow: read once, before the first process.
//!
//! What can't be read is no bound: the files are those of Linux, and a container may hide any of them.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource as SystemLimit, getrlimit};

use crate::process::{Bound, Resource};
use crate::sync::cores;

/// Mappings that are left to the host: the stacks and arenas of its threads, large buffers on their way, files of the
/// allocator. Without one of them an allocation of the host fails, and with it the program.
const RESERVED_MAPPINGS: u64 = 4096;

/// Address space that is left to the host, in bytes: an arena of the allocator is 64 MiB of it.
const RESERVED_ADDRESS_SPACE: u64 = 4 << 30;

/// Memory that is left to the host, in bytes.
const RESERVED_MEMORY: u64 = 256 << 20;

/// Nothing is reserved beyond this part of a bound, so that a low one still has room for processes.
const RESERVED_PART: u64 = 8;

/// Address space that the system gives one program without being asked for more, in bytes.
const ADDRESS_SPACE: u64 = 1 << 47;

/// What `sysctl` is told in the advice: room for 50,000 processes of the usual kind.
const ADVISED_MAPPINGS: u64 = 262_144;

/// What this machine has, and what bounds the number of processes on it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Machine {
    /// The kernel and its version, as far as it says.
    pub kernel: String,
    /// Cores that this program may use: the workers of a host whose entry names no number.
    pub cores: usize,
    /// What bounds the number of processes.
    pub bounds: Vec<Bound>,
    /// What bounds the number of files and sockets that guests have open. A process that opens none needs none.
    pub descriptors: Descriptors,
}

/// How many descriptors this program may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Descriptors {
    /// Now; `None` is no limit.
    pub limit: Option<u64>,
    /// As far as the program may raise that itself, which `wippy run` does.
    pub maximum: Option<u64>,
    /// Open now.
    pub open: u64,
}

impl Machine {
    /// Reads what there is to read.
    #[must_use]
    pub fn probe() -> Self {
        let kernel = read("/proc/sys/kernel/osrelease").map(|version| format!("Linux {}", version.trim()));
        Self {
            kernel: kernel.unwrap_or_else(|| std::env::consts::OS.to_owned()),
            cores: cores(),
            bounds: bounds(),
            descriptors: descriptors(),
        }
    }
}

/// What bounds the number of processes here.
pub(super) fn bounds() -> Vec<Bound> {
    [mappings(), Some(address_space()), memory(), commitment()].into_iter().flatten().collect()
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn read_number(path: impl AsRef<Path>) -> Option<u64> {
    read(path)?.trim().parse().ok()
}

/// A bound with a reserve for the host, of which a low bound has less.
fn bound(resource: Resource, limit: u64, used: u64, reserved: u64, raise: impl Into<String>) -> Bound {
    Bound::new(resource, limit, used, reserved.min(limit / RESERVED_PART), raise)
}

fn mappings() -> Option<Bound> {
    let limit = read_number("/proc/sys/vm/max_map_count")?;
    // As bytes: a mapping may be of a file whose name is no UTF-8.
    let used = fs::read("/proc/self/maps").ok()?.iter().filter(|byte| **byte == b'\n').count() as u64;
    let wanted = ADVISED_MAPPINGS.max(limit.saturating_mul(2));
    let raise = format!("sysctl -w vm.max_map_count={wanted}");
    Some(bound(Resource::Mappings, limit, used, RESERVED_MAPPINGS, raise))
}

fn address_space() -> Bound {
    let used = read("/proc/self/status").and_then(|status| field(&status, "VmSize:")).unwrap_or(0);
    let limit = getrlimit(SystemLimit::As).current;
    let raise = match limit {
        Some(_) => "ulimit -v unlimited",
        None => "nothing: it is all that this architecture has",
    };
    bound(
        Resource::AddressSpace,
        limit.unwrap_or(ADDRESS_SPACE).min(ADDRESS_SPACE),
        used,
        RESERVED_ADDRESS_SPACE,
        raise,
    )
}

/// The memory of the machine, or of the innermost container that has less.
fn memory() -> Option<Bound> {
    let info = read("/proc/meminfo")?;
    let (total, available) = (field(&info, "MemTotal:")?, field(&info, "MemAvailable:")?);
    let used = total.saturating_sub(available);
    let machine = bound(Resource::Memory, total, used, RESERVED_MEMORY, "more memory");
    let groups = groups(total).into_iter().map(|group| {
        let raise = format!("the memory limit of the container (`{}`)", group.file.display());
        bound(Resource::Memory, group.limit, group.used, RESERVED_MEMORY, raise)
    });
    std::iter::once(machine).chain(groups).min_by_key(Bound::room)
}

/// What is promised to programs, where the system promises no more than it has.
fn commitment() -> Option<Bound> {
    const NO_OVERCOMMIT: u64 = 2;
    if read_number("/proc/sys/vm/overcommit_memory")? != NO_OVERCOMMIT {
        return None;
    }
    let info = read("/proc/meminfo")?;
    let (limit, used) = (field(&info, "CommitLimit:")?, field(&info, "Committed_AS:")?);
    Some(bound(Resource::Commitment, limit, used, RESERVED_MEMORY, "sysctl -w vm.overcommit_memory=0"))
}

fn descriptors() -> Descriptors {
    let limit = getrlimit(SystemLimit::Nofile);
    let open = fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64);
    Descriptors { limit: limit.current, maximum: limit.maximum, open }
}

/// The bytes of a line like `MemTotal:  24684084 kB`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let (number, unit) = line.trim().split_once(' ')?;
    (unit == "kB").then(|| number.parse::<u64>().ok()?.checked_mul(1024)).flatten()
}

/// The memory limit of a control group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    file: PathBuf,
    limit: u64,
    used: u64,
}

/// The limits of the control groups that this program is in, of both versions, as far as they are below `total`: all others are none.
fn groups(total: u64) -> Vec<Group> {
    let (Some(own), Some(mounts)) = (read("/proc/self/cgroup"), read("/proc/self/mountinfo")) else {
        return Vec::new();
    };
    hierarchies(&own, &mounts)
        .iter()
        .flat_map(|(version, mount, path)| {
            // A group is bounded by all above it; in a container its own path may be one that only the outside has.
            let below = path.strip_prefix("/").unwrap_or(path);
            below.ancestors().filter_map(|path| version.group(&mount.join(path), total)).collect::<Vec<_>>()
        })
        .collect()
}

/// How a hierarchy of control groups names its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    fn group(self, folder: &Path, total: u64) -> Option<Group> {
        let (limit, used, idle) = match self {
            Self::One => ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "),
            Self::Two => ("memory.max", "memory.current", "inactive_file "),
        };
        let file = folder.join(limit);
        // `max` is no number, and no limit.
        let limit = read_number(&file).filter(|limit| *limit < total)?;
        let stat = read(folder.join("memory.stat")).unwrap_or_default();
        let idle = stat.lines().find_map(|line| line.strip_prefix(idle)?.trim().parse::<u64>().ok());
        let used = read_number(folder.join(used))?.saturating_sub(idle.unwrap_or(0));
        Some(Group { file, limit, used })
    }
}

/// Where the memory controller is mounted, and this program's group below that.
fn hierarchies(own: &str, mounts: &str) -> Vec<(Version, PathBuf, PathBuf)> {
    let mut found = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let version = if number == "0" && controllers.is_empty() {
            Version::Two
        } else if controllers.split(',').any(|name| name == "memory") {
            Version::One
        } else {
            continue;
        };
        if let Some(mount) = mounts.lines().find_map(|line| mounted(line, version)) {
            found.push((version, mount.into(), path.into()));
        }
    }
    found
}

/// The mount point of a line of `mountinfo` when it is the hierarchy that is looked for.
fn mounted(line: &str, version: Version) -> Option<&str> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1)?);
    let is_wanted = match version {
        Version::Two => kind == "cgroup2",
        Version::One => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
    };
    is_wanted.then(|| before.split(' ').nth(4)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_bounds() {
        let machine = Machine::probe();
        assert!(machine.cores > 0 && machine.kernel.starts_with("Linux "), "{}", machine.kernel);
        let of = |resource| machine.bounds.iter().find(|bound| bound.resource == resource).expect("a bound");
        for resource in [Resource::Mappings, Resource::AddressSpace, Resource::Memory] {
            let bound = of(resource);
            assert!(bound.used > 0 && bound.reserved > 0 && bound.used < bound.limit, "{bound:?}");
        }
        assert!(of(Resource::Mappings).raise.starts_with("sysctl -w vm.max_map_count="));
        assert!(machine.descriptors.open > 2, "{:?}", machine.descriptors);
    }

    #[test]
    fn a_low_bound_keeps_room_for_processes() {
        let room = |limit| bound(Resource::Mappings, limit, 100, RESERVED_MAPPINGS, "").room();
        assert_eq!([65_530, 8000, 100].map(room), [65_530 - 100 - 4096, 8000 - 100 - 1000, 0]);
    }

    #[test]
    fn fields_are_in_kibibytes() {
        let text = "MemTotal:       24684084 kB\nHugePages_Total:       3\nCommitLimit:  1 kB\n";
        assert_eq!(field(text, "MemTotal:"), Some(24_684_084 << 10));
        assert_eq!(
            (field(text, "CommitLimit:"), field(text, "HugePages_Total:"), field(text, "X:")),
            (Some(1024), None, None)
        );
    }

    const MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn groups_are_found_in_both_versions() {
        let own = "5:devices:/\n4:cpu,memory:/api/60af\n0::/user.slice\n";
        let found = hierarchies(own, MOUNTS);
        let expected = [
            (Version::One, "/sys/fs/cgroup/memory".into(), "/api/60af".into()),
            (Version::Two, "/sys/fs/cgroup/unified".into(), "/user.slice".into()),
        ];
        assert_eq!(found, expected);
        assert_eq!(hierarchies(own, "").len() + hierarchies("nonsense", MOUNTS).len(), 0);
    }

    #[test]
    fn a_group_has_its_limit_and_what_is_not_idle() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
        write("memory.max", "max\n");
        write("memory.current", "5000\n");
        let found = |version: Version| version.group(folder.path(), 100_001);
        assert_eq!(found(Version::Two), None, "no limit");
        write("memory.max", "100000\n");
        write("memory.stat", "anon 1\ninactive_file 2000\n");
        let group = |file: &str, used| Group { file: folder.path().join(file), limit: 100_000, used };
        assert_eq!(found(Version::Two), Some(group("memory.max", 3000)));
        assert_eq!(Version::Two.group(folder.path(), 100_000), None, "the machine has no more");
        write("memory.limit_in_bytes", "100000\n");
        write("memory.usage_in_bytes", "7000\n");
        assert_eq!(found(Version::One), Some(group("memory.limit_in_bytes", 7000)));
    }
}
