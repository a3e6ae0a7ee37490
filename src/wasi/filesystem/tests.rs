//! Files under a blocking pool that the test holds, in a table that is full, and devices that fail.

use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use wasmtime::component::Resource;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::preopens::Host as _;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, ErrorCode, HostDescriptor as _, HostDirectoryEntryStream as _, OpenFlags, PathFlags,
};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream, StreamError};

use super::*;
use crate::reactor::{BlockingCall, BlockingConfig, BlockingPool, Clock, Reactor, ReactorConfig};
use crate::volume::Volume;
use crate::wasi::testing::{Task, block_on};
use crate::wasi::{Mount, Profile, WasiConfig, WasiState};

/// A process's state with one mount, over a pool of one thread.
struct World {
    state: WasiState,
    pool: BlockingPool,
    root: Resource<Descriptor>,
}

/// Keeps the pool's only thread until it is dropped: the job first, then its call. A call that is given up earlier would
/// have its thread replaced.
#[expect(dead_code, reason = "dropped, not read")]
struct Held(mpsc::Sender<()>, BlockingCall<()>);

impl World {
    fn over(folder: &std::path::Path) -> World {
        let pool = BlockingPool::new(BlockingConfig { threads_max: 1, ..BlockingConfig::default() });
        let reactor = Reactor::new(Clock::manual(), ReactorConfig::default().with_blocking(pool.clone())).unwrap();
        let volume = Volume::of_folder("app:data".parse().unwrap(), folder).unwrap();
        let config = WasiConfig {
            mounts: [Mount { volume, guest: "/data".into(), read_only: false }].into(),
            profiles: [Profile::Filesystem].into_iter().collect(),
            ..WasiConfig::default()
        };
        let mut state = WasiState::new(config, reactor);
        let (root, path) = state.get_directories().unwrap().pop().unwrap();
        assert_eq!(path, "/data");
        World { state, pool, root }
    }

    fn hold(&self) -> Held {
        let (release, released) = mpsc::channel();
        let (begun, begins) = mpsc::channel();
        let mut call = self.pool.run(move || {
            begun.send(()).unwrap();
            let _ = released.recv();
        });
        assert!(std::pin::pin!(&mut call).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        begins.recv().unwrap();
        Held(release, call)
    }

    fn open(&mut self, path: &str, how: OpenFlags, wanted: DescriptorFlags) -> FsResult<Resource<Descriptor>> {
        let root = Resource::new_borrow(self.root.rep());
        block_on(self.state.open_at(root, PathFlags::SYMLINK_FOLLOW, path.to_owned(), how, wanted))
    }

    fn made(&mut self, path: &str) -> Resource<Descriptor> {
        self.open(path, OpenFlags::CREATE, DescriptorFlags::READ | DescriptorFlags::WRITE).unwrap()
    }

    fn writer(&mut self, file: &Resource<Descriptor>, offset: u64) -> DynOutputStream {
        let stream = self.state.write_via_stream(Resource::new_borrow(file.rep()), offset).unwrap();
        self.state.table.delete(stream).unwrap()
    }

    fn reader(&mut self, file: &Resource<Descriptor>) -> DynInputStream {
        let stream = self.state.read_via_stream(Resource::new_borrow(file.rep()), 0).unwrap();
        self.state.table.delete(stream).unwrap()
    }

    /// Waits until the pool has done everything it was given.
    fn settle(&self) {
        block_on(self.pool.run(|| ())).unwrap();
    }
}

fn code<T>(result: FsResult<T>) -> Option<ErrorCode> {
    result.err().map(|error| error.downcast().unwrap())
}

fn failure(error: &StreamError) -> Option<ErrorCode> {
    match error {
        StreamError::LastOperationFailed(error) => error_code(error),
        _ => None,
    }
}

#[test]
fn a_write_on_its_way_keeps_the_next_waiting_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::over(folder.path());
    let file = world.made("file");
    let mut stream = world.writer(&file, 2);
    let held = world.hold();
    assert_eq!(stream.check_write().unwrap(), FILE_TRANSFER_MAX);
    stream.write("first".into()).unwrap();
    assert_eq!(stream.check_write().unwrap(), 0, "one write at a time");
    stream.flush().unwrap();
    let mut ready = Task::new(stream.ready());
    assert!(ready.run_until_stalled().is_pending());
    drop(held);
    ready.finish();
    assert_eq!(stream.check_write().unwrap(), FILE_TRANSFER_MAX);
    assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), b"\0\0first");
    stream.write("second".into()).unwrap();
    block_on(stream.write_ready()).unwrap();
    assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), b"\0\0firstsecond");
    assert!(matches!(stream.write("unpermitted".repeat(FILE_TRANSFER_MAX).into()), Err(StreamError::Trap(_))));
}

#[test]
fn what_was_written_is_written_though_the_guest_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::over(folder.path());
    let file = world.made("file");
    let mut stream = world.writer(&file, 0);
    let held = world.hold();
    stream.check_write().unwrap();
    stream.write("kept".into()).unwrap();
    // As at a termination: nobody waits, and the pool has not begun.
    drop(stream);
    drop(held);
    world.settle();
    assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), b"kept");
}

#[test]
fn a_stream_that_is_closed_by_its_guest_waits_for_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::over(folder.path());
    let file = world.made("file");
    let mut stream = world.writer(&file, 0);
    stream.check_write().unwrap();
    stream.write("kept".into()).unwrap();
    block_on(stream.cancel());
    assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), b"kept");
}

#[test]
fn a_read_that_has_to_wait_gives_nothing_until_it_is_done() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "some text").unwrap();
    let mut world = World::over(folder.path());
    let file = world.made("file");
    let mut stream = world.reader(&file);
    let mut bytes = block_on(stream.blocking_read(4)).unwrap().to_vec();
    let held = world.hold();
    // The end is always the pool's to say.
    loop {
        let read = stream.read(100).unwrap();
        if read.is_empty() {
            break;
        }
        bytes.extend(read);
    }
    let mut ready = Task::new(stream.ready());
    assert!(ready.run_until_stalled().is_pending());
    drop(held);
    ready.finish();
    loop {
        match block_on(stream.blocking_read(3)) {
            Ok(read) => bytes.extend(read),
            Err(StreamError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(bytes, b"some text");
}

#[test]
fn what_the_page_cache_has_is_read_beside_a_held_pool() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "some text").unwrap();
    // Whether this file system can tell that a read would not wait.
    let probe = std::fs::File::open(&path).unwrap();
    let mut bytes = [0; 4];
    let mut buffers = [std::io::IoSliceMut::new(&mut bytes)];
    let tells = rustix::io::preadv2(&probe, &mut buffers, 0, rustix::io::ReadWriteFlags::NOWAIT) == Ok(4);
    let mut world = World::over(folder.path());
    let file = world.made("file");
    let held = world.hold();
    let mut reading = Task::new(world.state.read(Resource::new_borrow(file.rep()), 4, 5));
    match reading.run_until_stalled() {
        Poll::Ready(read) => assert_eq!((read.unwrap(), tells), ((b"text".to_vec(), false), true)),
        Poll::Pending => assert!(!tells, "it was in the page cache"),
    }
    drop(held);
}

#[test]
fn a_call_that_waits_for_the_pool_can_be_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::over(folder.path());
    let held = world.hold();
    let root = Resource::new_borrow(world.root.rep());
    let mut call = Task::new(world.state.create_directory_at(root, "never".to_owned()));
    assert!(call.run_until_stalled().is_pending());
    drop(call);
    drop(held);
    world.settle();
    assert!(!folder.path().join("never").exists());
}

#[test]
fn a_full_table_is_an_error_of_the_call() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::over(folder.path());
    world.state.table().set_max_capacity(3);
    let first = world.made("first");
    world.made("second");
    let third = world.open("third", OpenFlags::CREATE, DescriptorFlags::READ);
    assert_eq!(code(third), Some(ErrorCode::InsufficientMemory));
    let file = || Resource::new_borrow(first.rep());
    assert_eq!(code(world.state.write_via_stream(file(), 0)), Some(ErrorCode::InsufficientMemory));
    let root = Resource::new_borrow(world.root.rep());
    assert_eq!(code(block_on(world.state.read_directory(root))), Some(ErrorCode::InsufficientMemory));
    types::HostDescriptor::drop(&mut world.state, Resource::new_own(first.rep())).unwrap();
    world.made("fourth");
}

#[test]
fn what_the_guest_drops_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let mut world = World::over(folder.path());
    let open = |path: &std::path::Path| {
        std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter(|fd| std::fs::read_link(fd.as_ref().unwrap().path()).is_ok_and(|target| target == path))
            .count()
    };
    let path = folder.path().join("file").canonicalize().unwrap();
    let file = world.made("file");
    assert_eq!(open(&path), 1);
    let stream = world.reader(&file);
    types::HostDescriptor::drop(&mut world.state, file).unwrap();
    world.settle();
    assert_eq!(open(&path), 1, "the stream keeps it");
    drop(stream);
    world.settle();
    assert_eq!(open(&path), 0);
}

#[test]
fn a_name_that_is_no_text_is_an_error_in_its_place() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text"), "").unwrap();
    std::fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    let mut world = World::over(folder.path());
    let root = Resource::new_borrow(world.root.rep());
    let stream = block_on(world.state.read_directory(root)).unwrap();
    let mut next = || block_on(world.state.read_directory_entry(Resource::new_borrow(stream.rep())));
    let mut found = [next(), next()].map(|entry| match entry {
        Ok(entry) => Ok(entry.unwrap().name),
        Err(error) => Err(error.downcast().unwrap()),
    });
    found.sort_by_key(Result::is_err);
    assert_eq!(found, [Ok("text".to_owned()), Err(ErrorCode::IllegalByteSequence)]);
    assert!(next().unwrap().is_none() && next().unwrap().is_none());
}

#[test]
fn a_failed_write_is_told_by_the_next_call_and_then_the_stream_is_closed() {
    let mut world = World::over(std::path::Path::new("/dev"));
    let full = world.open("full", OpenFlags::empty(), DescriptorFlags::WRITE).unwrap();
    let mut stream = world.writer(&full, 0);
    stream.check_write().unwrap();
    stream.write("lost".into()).unwrap();
    block_on(stream.ready());
    let told = stream.flush().unwrap_err();
    assert_eq!(failure(&told), Some(ErrorCode::InsufficientSpace));
    assert!(matches!(stream.check_write(), Err(StreamError::Closed)));
    assert!(matches!(stream.flush(), Err(StreamError::Closed)));
}

#[test]
fn devices_are_read_and_written_on_the_pool() {
    let mut world = World::over(std::path::Path::new("/dev"));
    let zero = world.open("zero", OpenFlags::empty(), DescriptorFlags::READ).unwrap();
    let zeros = block_on(world.state.read(Resource::new_borrow(zero.rep()), 1 << 40, 0)).unwrap();
    assert_eq!(zeros, (vec![0; FILE_TRANSFER_MAX], false), "bounded");
    let kind = block_on(world.state.get_type(Resource::new_borrow(zero.rep()))).unwrap();
    assert_eq!(kind, types::DescriptorType::CharacterDevice);
    let null = world.open("null", OpenFlags::empty(), DescriptorFlags::READ | DescriptorFlags::WRITE).unwrap();
    assert_eq!(block_on(world.state.write(Resource::new_borrow(null.rep()), b"gone".to_vec(), 0)).unwrap(), 4);
    assert!(matches!(block_on(world.reader(&null).blocking_read(1)), Err(StreamError::Closed)));
}

#[test]
fn waiting_for_a_reader_follows_the_clock_and_keeps_no_thread() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let mut world = World::over(folder.path());
    let clock = world.state.reactor.clock().clone();
    let pool = world.pool.clone();
    let root = Resource::new_borrow(world.root.rep());
    let opened =
        world.state.open_at(root, PathFlags::empty(), "fifo".into(), OpenFlags::empty(), DescriptorFlags::WRITE);
    let mut opening = Task::new(opened);
    // Until it waits for its timer: nothing is left to do for the pool.
    while !(opening.run_until_stalled().is_pending() && pool.stats().running == 0 && pool.stats().finished > 0) {
        std::thread::yield_now();
    }
    let _reader = rustix::fs::open(
        folder.path().join("fifo"),
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    let opened = loop {
        clock.advance(std::time::Duration::from_millis(50)).unwrap();
        if let Poll::Ready(opened) = opening.run_until_stalled() {
            break opened;
        }
        std::thread::yield_now();
    };
    drop(opening);
    let fifo = opened.unwrap();
    let mut stream = world.writer(&fifo, 0);
    assert!(stream.check_write().is_ok());
}

/// What is read ahead counts as the process's memory until the guest has taken it.
#[test]
fn what_is_read_ahead_counts_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), vec![b'x'; 30_000]).unwrap();
    let mut world = World::over(folder.path());
    let file = world.made("file");
    let mut reader = world.reader(&file);
    let held = |world: &World| world.state.usage().memory();
    assert_eq!(held(&world), 0);
    block_on(reader.ready());
    assert_eq!(held(&world), 30_000);
    assert_eq!(reader.read(10_000).unwrap().len(), 10_000);
    assert_eq!(held(&world), 30_000, "one buffer, given back as a whole");
    assert_eq!(reader.read(20_000).unwrap().len(), 20_000);
    assert_eq!(held(&world), 0);
    block_on(reader.ready());
    drop(reader);
    assert_eq!(held(&world), 0);
    // Nothing more may be held.
    let all = world.state.usage().charge((1 << 30) - 29_999).unwrap();
    let mut refused = world.reader(&file);
    block_on(refused.ready());
    assert!(matches!(refused.read(10), Err(StreamError::LastOperationFailed(_))));
    drop(all);
}
