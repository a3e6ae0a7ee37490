//! The one file with `unsafe`: address space, the slots that it is cut into, and what the engine is told of them. It is longer
//! than others, since whoever checks the proofs has all of them here; what is safe without it has files of its own.
//!
//! # What holds
//! - A mapping lives as long as anybody who knows an address in it: a [`Slot`] keeps its [`Cuts`] alive, which own it.
//! - A slot belongs to one [`Slot`] at a time. [`State::taken`] says so and is asked here, so that a mistake of the lists
//!   of free slots gives an error, never memory that two guests share.
//! - What a slot hands out reads zero, except for stacks: whoever lets go of one that was opened has wiped it, or its pages
//!   go back to the system.
//! - All that a slot says is open can be read and written; what else it has can't, in slots that are opened piece by piece.
#![allow(
    unsafe_code,
    reason = "the engine's traits for memories and stacks are unsafe, and so is what they are made of"
)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use super::arena::StackLease;
use super::class::{CUTS, Cut, Kind, PAGE, pages};
use super::memory::Linear;
use super::scan::{PAGEMAP_SCAN, PageRange, RANGES, Scan};

/// `MADV_GUARD_INSTALL` of Linux 6.13, which the `libc` crate does not have: pages that end whoever touches them, without
/// a mapping of their own.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// `PIDFD_SELF` of Linux 6.15: this very program.
const PIDFD_SELF: libc::c_int = -10_000;

/// What one call takes that gives back pages of several ranges: how many, and how many bytes they have together.
const RANGES_TOGETHER: usize = 1024;
const BYTES_TOGETHER: usize = 1 << 30;

/// A mapping of our own, private and without a file. Its pages are taken when they are touched.
#[derive(Debug)]
pub(super) struct Region {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a region is a range of addresses and nothing else; who may touch what is decided by those who hold parts of it.
unsafe impl Send for Region {}
// SAFETY: as above; nothing in here changes after it was made.
unsafe impl Sync for Region {}

impl Region {
    /// Address space of this many bytes, a multiple of the page: all open, or all closed.
    pub(super) fn reserve(bytes: usize, open: bool) -> io::Result<Self> {
        let access = if open { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::empty() };
        // SAFETY: without MAP_FIXED the system chooses addresses that nobody has.
        let base =
            unsafe { mmap_anonymous(std::ptr::null_mut(), bytes, access, MapFlags::PRIVATE | MapFlags::NORESERVE)? };
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("a mapping at address zero"))?;
        let region = Self { base, bytes };
        // Both are wishes: a core file of terabytes serves nobody, and pages of 2 MiB would hold what no small guest needs.
        let _ = region.advise(0..bytes, libc::MADV_DONTDUMP);
        if open {
            let _ = region.advise(0..bytes, libc::MADV_NOHUGEPAGE);
        }
        Ok(region)
    }

    fn check(&self, range: &Range<usize>) {
        assert!(range.start <= range.end && range.end <= self.bytes, "{range:?} of {} bytes", self.bytes);
    }

    /// The address at an offset.
    fn at(&self, offset: usize) -> NonNull<u8> {
        self.check(&(offset..self.bytes));
        // SAFETY: the offset is within the mapping, or just behind it.
        unsafe { self.base.add(offset) }
    }

    /// One of the advices that change no byte that anybody may look at: `MADV_DONTNEED` of a range that nobody borrows, guards
    /// where nobody has an address, and wishes.
    fn advise(&self, range: Range<usize>, advice: libc::c_int) -> io::Result<()> {
        self.check(&range);
        // SAFETY: the range is ours; what the advice does to its content is the affair of the callers below.
        match unsafe { libc::madvise(self.at(range.start).as_ptr().cast(), range.len(), advice) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn protect(&self, range: Range<usize>, open: bool) -> io::Result<()> {
        self.check(&range);
        if range.is_empty() {
            return Ok(());
        }
        let access = if open { MprotectFlags::READ | MprotectFlags::WRITE } else { MprotectFlags::empty() };
        // SAFETY: the range is ours, and whoever asks for it to be closed holds nothing in it.
        unsafe { mprotect(self.at(range.start).as_ptr().cast(), range.len(), access)? };
        Ok(())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and who knows an address in it keeps this object.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

/// Gives the pages of all these ranges back at once: the processors forget addresses once, not once for each. False when that
/// was not done, or not to all of them.
fn discard_together(ranges: &[(&Region, Range<usize>)]) -> bool {
    let vector = |(region, range): &(&Region, Range<usize>)| {
        region.check(range);
        libc::iovec { iov_base: region.at(range.start).as_ptr().cast(), iov_len: range.len() }
    };
    let vectors: Vec<libc::iovec> = ranges.iter().map(vector).collect();
    let largest = vectors.iter().map(|vector| vector.iov_len).max().unwrap_or(0);
    vectors.chunks((BYTES_TOGETHER / largest.max(1)).clamp(1, RANGES_TOGETHER)).all(|vectors| {
        let bytes: usize = vectors.iter().map(|vector| vector.iov_len).sum();
        // SAFETY: the system reads the vectors, which live here; their ranges are ours, and nobody borrows anything in them, for
        // which the callers answer as at `Region::advise`.
        let done = unsafe {
            let (first, count) = (vectors.as_ptr(), vectors.len());
            libc::syscall(libc::SYS_process_madvise, PIDFD_SELF, first, count, libc::MADV_DONTNEED, 0)
        };
        usize::try_from(done) == Ok(bytes)
    })
}

/// What slots are made with: what this system can do.
#[derive(Clone, Debug)]
pub(super) struct System {
    pub(super) guards: Guards,
    pub(super) pagemap: Option<Arc<Pagemap>>,
    /// Whether pages of several ranges can be given back at once.
    pub(super) together: bool,
}

impl System {
    /// Tries what this system can do.
    ///
    /// # Errors
    /// It lacks what slots can't be made without.
    pub(super) fn probe() -> io::Result<Self> {
        let guards = Guards::probe()?;
        let region = Region::reserve(4 * PAGE, true)?;
        // SAFETY: the bytes are open, and the region is ours alone.
        let pages = unsafe { std::slice::from_raw_parts_mut(region.base.as_ptr(), 4 * PAGE) };
        pages.fill(1);
        let done = discard_together(&[(&region, 0..PAGE), (&region, 2 * PAGE..3 * PAGE)]);
        // SAFETY: as above; what was borrowed before is not any more.
        let pages = unsafe { std::slice::from_raw_parts(region.base.as_ptr(), 4 * PAGE) };
        let together = done && pages.chunks(PAGE).map(is_zero).eq([true, false, true, false]);
        Ok(Self { guards, pagemap: Pagemap::open().map(Arc::new), together })
    }

    /// As little as there can be.
    #[cfg(test)]
    pub(super) fn least() -> Self {
        Self { guards: Guards::Mappings, pagemap: None, together: false }
    }
}

/// How guard pages are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guards {
    /// As marks in the page tables: as many as anybody wants.
    Marks,
    /// As mappings of their own: two for each, of which a program has 65,530.
    Mappings,
}

impl Guards {
    /// Tries what this system can do: pages of another size, or pages that can't be given back, are none that slots are
    /// made of.
    pub(super) fn probe() -> io::Result<Self> {
        // SAFETY: a number is asked for.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        if usize::try_from(page) != Ok(PAGE) {
            return Err(io::Error::other(format!("pages have {page} bytes instead of {PAGE}")));
        }
        let region = Region::reserve(2 * PAGE, true)?;
        region.advise(0..2 * PAGE, libc::MADV_DONTNEED)?;
        Ok(match region.advise(0..PAGE, MADV_GUARD_INSTALL) {
            Ok(()) => Self::Marks,
            Err(_) => Self::Mappings,
        })
    }
}

/// Which pages of a range were written, asked of the system.
#[derive(Debug)]
pub(super) struct Pagemap {
    file: File,
    /// A page that reads zero in a program that was forked off: the file tells of the memory of the other one.
    parent: Region,
}

impl Pagemap {
    /// `None` where the system does not tell.
    pub(super) fn open() -> Option<Self> {
        let (file, parent) = (File::open("/proc/self/pagemap").ok()?, Region::reserve(PAGE, true).ok()?);
        parent.advise(0..PAGE, libc::MADV_WIPEONFORK).ok()?;
        // SAFETY: the page is open and ours alone.
        unsafe { parent.base.write_volatile(1) };
        let map = Self { file, parent };
        let mut ranges = [PageRange::default(); RANGES];
        let (found, _) = map.scan(map.parent.base.as_ptr().addr()..map.parent.at(PAGE).as_ptr().addr(), &mut ranges)?;
        (found == 1).then_some(map)
    }

    /// The pages of a range of addresses that anybody has written since they were last given back: how many ranges of them
    /// there are, and where the search ended. `None` when the system does not say.
    fn scan(&self, range: Range<usize>, found: &mut [PageRange; RANGES]) -> Option<(usize, usize)> {
        // SAFETY: the page is open and ours, and nobody writes it any more.
        if unsafe { self.parent.base.read_volatile() } == 0 {
            return None;
        }
        let to = found.as_mut_ptr().expose_provenance();
        let mut arguments = Scan::new(range, to);
        // SAFETY: the arguments are as the system defines them, and it writes to nothing but them and the `vec_len` elements
        // of `found`, both of which live here.
        let count = unsafe { libc::ioctl(self.file.as_raw_fd(), PAGEMAP_SCAN, &raw mut arguments) };
        Some((usize::try_from(count).ok()?, arguments.end()))
    }
}

/// What is known of one slot.
#[derive(Debug, Default)]
struct State {
    /// Somebody has it.
    taken: AtomicBool,
    /// It has its guard pages. Only who has taken it looks at this and what follows.
    guarded: AtomicBool,
    /// Pages that can be read and written, in a slot that is opened piece by piece.
    opened: AtomicU32,
    /// Pages from the start of a memory that may be in memory: what somebody had since they were last given back.
    reach: AtomicU32,
    /// Which of these are: as long as there are few, one bit for each.
    touched: AtomicU32,
}

/// Address space that is cut into slots, all the same: more of it is taken when it is needed, twice as much each time.
#[derive(Debug)]
pub(super) struct Cuts {
    cut: Cut,
    system: System,
    chunks: [OnceLock<Chunk>; CUTS],
}

#[derive(Debug)]
struct Chunk {
    region: Region,
    slots: Box<[State]>,
}

impl Cuts {
    pub(super) fn new(cut: Cut, system: System) -> Self {
        Self { cut, system, chunks: [const { OnceLock::new() }; CUTS] }
    }

    pub(super) fn cut(&self) -> &Cut {
        &self.cut
    }

    /// The chunk at this place, which is made if there is none. Not by two threads at once: the list of slots that were
    /// never used is behind a lock.
    pub(super) fn prepare(&self, index: u32) -> io::Result<()> {
        let (at, _) = self.cut.place(index);
        if self.chunks[at].get().is_none() {
            let slots = self.cut.slots_of(at);
            let region = Region::reserve(slots * self.cut.stride, self.cut.kind != Kind::Closed)?;
            let _ = self.chunks[at].set(Chunk { region, slots: (0..slots).map(|_| State::default()).collect() });
        }
        Ok(())
    }

    fn chunk(&self, index: u32) -> Option<(&Chunk, usize)> {
        let (at, place) = self.cut.place(index);
        let chunk = self.chunks.get(at)?.get()?;
        (place < chunk.slots.len()).then_some((chunk, place))
    }
}

/// The cuts, and whatever a group of threads has beside them: a slot keeps it alive.
#[derive(Debug)]
pub(super) struct Home<T> {
    cuts: Arc<Cuts>,
    pub(super) local: T,
}

impl<T> Home<T> {
    pub(super) fn new(cuts: Arc<Cuts>, local: T) -> Arc<Self> {
        Arc::new(Self { cuts, local })
    }

    pub(super) fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    /// Takes a slot; `None` when somebody has it, or there is none.
    pub(super) fn take(self: &Arc<Self>, index: u32) -> Option<Slot<T>> {
        let (chunk, place) = self.cuts.chunk(index)?;
        // Acquire: what the last one did with the slot is over.
        if chunk.slots[place].taken.swap(true, Ordering::Acquire) {
            return None;
        }
        let start = place * self.cuts.cut.stride + self.cuts.cut.guard;
        Some(Slot { base: chunk.region.at(start), start, index, dirty: 0, home: Arc::clone(self) })
    }
}

/// A slot that somebody has.
#[derive(Debug)]
pub(super) struct Slot<T> {
    home: Arc<Home<T>>,
    index: u32,
    /// Where it is in the region of its chunk, behind its guard pages.
    start: usize,
    /// The address of that.
    base: NonNull<u8>,
    /// Bytes from the start that may have been written.
    dirty: usize,
}

// SAFETY: who has the slot is the only one with access to its memory, whatever thread that is; `T` is shared by an `Arc`.
unsafe impl<T: Send + Sync> Send for Slot<T> {}
// SAFETY: a shared slot gives addresses and numbers; all that touches its memory needs `&mut`.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

impl<T> Slot<T> {
    fn chunk(&self) -> (&Chunk, &State) {
        let (chunk, place) = self.home.cuts.chunk(self.index).expect("a slot is in a chunk");
        (chunk, &chunk.slots[place])
    }

    fn cut(&self) -> &Cut {
        &self.home.cuts.cut
    }

    pub(super) fn index(&self) -> u32 {
        self.index
    }

    /// Lets go of a slot that is wiped.
    pub(super) fn release(self) -> Arc<Home<T>> {
        let home = Arc::clone(&self.home);
        drop(self);
        home
    }

    pub(super) fn home(&self) -> &Arc<Home<T>> {
        &self.home
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Bytes that can be read and written.
    pub(super) fn opened(&self) -> usize {
        match self.cut().kind {
            Kind::Closed => self.chunk().1.opened.load(Ordering::Relaxed) as usize * PAGE,
            Kind::Open | Kind::Stack => self.cut().bytes,
        }
    }

    /// Opens the first `bytes`, and closes the rest where that is asked for. What was closed and is opened reads zero.
    pub(super) fn open(&mut self, bytes: usize, closes: bool) -> io::Result<()> {
        assert!(bytes <= self.cut().bytes, "{bytes} bytes of a slot of {}", self.cut().bytes);
        let (opened, wanted) = (self.opened(), pages(bytes) * PAGE);
        if self.cut().kind == Kind::Closed && (wanted > opened || closes && wanted < opened) {
            let (chunk, state) = self.chunk();
            let changed = self.start + wanted.min(opened)..self.start + wanted.max(opened);
            chunk.region.protect(changed, wanted > opened)?;
            state.opened.store(u32::try_from(wanted / PAGE).expect("a slot has few pages"), Ordering::Relaxed);
        }
        self.dirty = self.dirty.max(bytes);
        Ok(())
    }

    /// Makes the guard pages, unless they are there.
    pub(super) fn guard(&mut self) -> io::Result<()> {
        let (chunk, state) = self.chunk();
        if !state.guarded.load(Ordering::Relaxed) {
            let range = self.start - self.cut().guard..self.start;
            match self.home.cuts.system.guards {
                Guards::Marks => chunk.region.advise(range, MADV_GUARD_INSTALL)?,
                Guards::Mappings => chunk.region.protect(range, false)?,
            }
            state.guarded.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// All that the guest may have written; of a stack all there is.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        let bytes = match self.cut().kind {
            Kind::Stack => self.cut().bytes,
            Kind::Open | Kind::Closed => self.dirty.min(self.opened()),
        };
        // SAFETY: these bytes are open, initialised by the system that mapped them, and nobody else's while `self` is
        // borrowed: the guest whose memory it is does not run meanwhile, for its memory is borrowed, too.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), bytes) }
    }

    /// Gives the pages of a range back to the system; they read zero after that.
    pub(super) fn discard(&mut self, range: Range<usize>) -> io::Result<()> {
        assert!(range.end <= self.cut().bytes, "{range:?} of a slot of {} bytes", self.cut().bytes);
        if range.is_empty() {
            return Ok(());
        }
        self.chunk().0.region.advise(self.start + range.start..self.start + range.end, libc::MADV_DONTNEED)
    }

    /// Makes all that may have been written read zero, and keeps at most `keep` bytes of it in memory; says how many those are,
    /// with what earlier guests have left.
    pub(super) fn wipe(&mut self, keep: usize) -> io::Result<usize> {
        let dirty = pages(self.dirty) * PAGE;
        let state = self.chunk().1;
        let before = state.reach.load(Ordering::Relaxed) as usize * PAGE;
        let (reach, touched) = (dirty.max(before), state.touched.load(Ordering::Relaxed));
        state.reach.store(u32::try_from(reach / PAGE).expect("a slot has few pages"), Ordering::Relaxed);
        let kept = if reach <= LOOKED_THROUGH {
            // Without a call of the system: reading what was never written costs little, it is one page of zeroes.
            let touched = touched | zero(self.bytes());
            self.chunk().1.touched.store(touched, Ordering::Relaxed);
            touched.count_ones() as usize * PAGE
        } else if self.home.cuts.system.pagemap.is_some() {
            self.wipe_written(reach, keep)?
        } else {
            let kept = keep.min(LOOKED_THROUGH);
            let filled = kept.min(self.bytes().len());
            zero(&mut self.bytes()[..filled]);
            self.discard(kept..reach)?;
            kept
        };
        self.dirty = 0;
        Ok(kept)
    }

    /// Looks for pages in memory up to `reach`, fills so many with zeroes, gives the rest back, and says how many are kept.
    fn wipe_written(&mut self, end: usize, keep: usize) -> io::Result<usize> {
        let base = self.base.as_ptr().addr();
        let (mut at, mut kept) = (0, 0);
        while at < end {
            let mut found = [PageRange::default(); RANGES];
            let pagemap = self.home.cuts.system.pagemap.as_deref();
            let Some((count, walked)) = pagemap.and_then(|map| map.scan(base + at..base + end, &mut found)) else {
                self.discard(at..end)?;
                break;
            };
            for range in &found[..count] {
                let range = (range.start as usize).max(base) - base..(range.end as usize).min(base + end) - base;
                let kept_here = range.len().min(keep - kept);
                kept += kept_here;
                // What is beyond the guest's is zero already.
                let written = self.bytes().len();
                self.bytes()[range.start.min(written)..(range.start + kept_here).min(written)].fill(0);
                if kept_here < range.len() {
                    self.discard(range.start + kept_here..end)?;
                    return Ok(kept);
                }
            }
            if count < RANGES {
                break;
            }
            if walked <= base + at {
                self.discard(at..end)?;
                break;
            }
            at = walked - base;
        }
        Ok(kept)
    }

    /// Lets go of all pages, and of mappings that only this slot needs.
    fn clear(&mut self) -> io::Result<()> {
        let (chunk, _) = self.chunk();
        chunk.region.advise(self.start..self.end(), libc::MADV_DONTNEED)?;
        chunk.close(&self.home.cuts, self.start..self.end(), self.opened())?;
        self.cleared();
        Ok(())
    }

    /// All has been let go of.
    fn cleared(&mut self) {
        self.dirty = 0;
        let (_, state) = self.chunk();
        for pages in [&state.opened, &state.reach, &state.touched] {
            pages.store(0, Ordering::Relaxed);
        }
        if self.home.cuts.system.guards == Guards::Mappings {
            state.guarded.store(false, Ordering::Relaxed);
        }
    }

    /// Where it ends in the region of its chunk.
    fn end(&self) -> usize {
        self.start + self.cut().bytes
    }

    /// Where that ends which may be in memory: what an earlier guest has left is zero, and still there.
    fn reach(&self) -> usize {
        match self.cut().kind {
            Kind::Stack => self.end(),
            Kind::Open | Kind::Closed => {
                let before = self.chunk().1.reach.load(Ordering::Relaxed) as usize;
                self.start + pages(self.dirty).max(before) * PAGE
            }
        }
    }

    /// Whether it is the one that follows the other in the same chunk.
    fn follows(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.home.cuts, &other.home.cuts)
            && std::ptr::eq(self.chunk().0, other.chunk().0)
            && self.start == other.start + self.cut().stride
    }
}

impl Chunk {
    /// Makes a range one mapping as it was: of a slot, or of several that lie one behind the other with all that is between
    /// them. Whoever asks for it has them all, and they have no pages. `opened` is how far the last one is open.
    fn close(&self, cuts: &Cuts, range: Range<usize>, opened: usize) -> io::Result<()> {
        match cuts.cut.kind {
            Kind::Closed => self.region.protect(range.start..range.end - cuts.cut.bytes + opened, false),
            Kind::Stack if cuts.system.guards == Guards::Mappings => {
                self.region.protect(range.start - cuts.cut.guard..range.end, true)
            }
            Kind::Stack | Kind::Open => Ok(()),
        }
    }
}

/// Lets go of all pages of slots and of mappings that only they need, with as few calls as that can be done with. Says of each,
/// in their new order, whether it has.
pub(super) fn clear_all<T>(slots: &mut [Slot<T>]) -> Vec<io::Result<()>> {
    slots.sort_unstable_by_key(|slot| slot.index);
    let discarded = slots.first().is_some_and(|slot| slot.home.cuts.system.together) && {
        let ranges: Vec<_> = slots.iter().map(|slot| (&slot.chunk().0.region, slot.start..slot.reach())).collect();
        discard_together(&ranges)
    };
    let mut cleared = Vec::with_capacity(slots.len());
    for run in slots.chunk_by_mut(|one, next| next.follows(one)) {
        let (first, last) = (&run[0], &run[run.len() - 1]);
        let (range, opened, chunk) = (first.start..last.end(), last.opened(), first.chunk().0);
        let mut together = Ok(());
        if !discarded {
            together = chunk.region.advise(range.clone(), libc::MADV_DONTNEED);
        }
        together = together.and_then(|()| chunk.close(&first.home.cuts, range, opened));
        for slot in run {
            cleared.push(match together {
                Ok(()) => {
                    slot.cleared();
                    Ok(())
                }
                // Nobody knows how far that went; by itself each does.
                Err(_) => slot.clear(),
            });
        }
    }
    cleared
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        // Whoever was careful has wiped it. What can't be wiped is nobody's any more: it stays taken.
        if self.dirty > 0 && self.clear().is_err() {
            return;
        }
        // Release: the next one sees it as it is left.
        self.chunk().1.taken.store(false, Ordering::Release);
    }
}

/// Memory up to this size is looked through instead of asking the system which pages were written, in bytes: 0.2 to 0.5 µs
/// for the one page of a small guest, of which it wrote 4 KiB, against 0.8 by `PAGEMAP_SCAN` and 2.1 by filling all of it.
/// From the second page on asking is the quicker one.
pub(super) const LOOKED_THROUGH: usize = 64 << 10;

/// Fills with zeroes what is not zero, page by page: what was only read stays the system's page of zeroes. Says which of the
/// first 32 pages that were.
pub(super) fn zero(bytes: &mut [u8]) -> u32 {
    let mut filled = 0;
    for (at, page) in bytes.chunks_mut(PAGE).enumerate() {
        if !is_zero(page) {
            page.fill(0);
            filled |= 1_u32.checked_shl(at as u32).unwrap_or(0);
        }
    }
    filled
}

/// Whether all of it is zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        if has!("avx512f") && has!("avx512bw") {
            // SAFETY: the processor has both.
            return unsafe { is_zero_avx512(bytes) };
        }
        if has!("avx2") {
            // SAFETY: the processor has it.
            return unsafe { is_zero_avx2(bytes) };
        }
    }
    are_zero(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn is_zero_avx512(bytes: &[u8]) -> bool {
    are_zero(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn is_zero_avx2(bytes: &[u8]) -> bool {
    are_zero(bytes)
}

/// In strides that compilers make wide loads of.
#[inline(always)]
fn are_zero(bytes: &[u8]) -> bool {
    let (strides, rest) = bytes.as_chunks::<512>();
    strides.iter().all(|stride| stride.iter().fold(0, |all, byte| all | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

/// A memory with a mapping of its own: larger than any slot.
#[derive(Debug)]
pub(super) struct Single {
    region: Region,
    /// Bytes that it may grow to; a guard follows.
    capacity: usize,
    opened: usize,
}

impl Single {
    /// Room for `capacity` bytes and a guard, nothing of it open.
    pub(super) fn reserve(capacity: usize, guard: usize) -> io::Result<Self> {
        let capacity = pages(capacity) * PAGE;
        let bytes = capacity.checked_add(pages(guard) * PAGE).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { region: Region::reserve(bytes.max(PAGE), false)?, capacity, opened: 0 })
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.region.base
    }

    pub(super) fn open(&mut self, bytes: usize) -> io::Result<()> {
        let wanted = pages(bytes) * PAGE;
        assert!(wanted <= self.capacity, "{bytes} bytes of {}", self.capacity);
        if wanted > self.opened {
            self.region.protect(self.opened..wanted, true)?;
            self.opened = wanted;
        }
        Ok(())
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: these bytes are open, zero or written, and nobody else's while `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.region.base.as_ptr(), self.opened) }
    }
}

/// Bytes of a range of whole pages that are in memory.
#[cfg(test)]
pub(super) fn resident(range: Range<usize>) -> usize {
    let mut pages = vec![0_u8; range.len() / PAGE];
    let start = std::ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: the system looks at no byte of the range, and writes one for each page of it.
    let answer = unsafe { libc::mincore(start, range.len(), pages.as_mut_ptr()) };
    assert_eq!(answer, 0, "{}", io::Error::last_os_error());
    pages.iter().filter(|page| *page & 1 == 1).count() * PAGE
}

/// Reads a byte wherever it is, for tests of what is not to be touched.
#[cfg(test)]
pub(super) fn touch(address: usize) {
    // SAFETY: in a program that is there to end by this, or of memory that is open.
    unsafe { std::hint::black_box(std::ptr::with_exposed_provenance::<u8>(address).read_volatile()) };
}

// SAFETY: `Linear` keeps the memory behind `as_ptr` alive and open for `byte_size` bytes; it moves only in `grow_to` beyond
// `byte_capacity`. It was zero when it was handed out. In the elided tier everything from its size up to the reservation and
// the guard behind that is closed, which is all that compiled code counts on; code of the dense tier counts on nothing.
unsafe impl wasmtime::LinearMemory for Linear {
    fn byte_size(&self) -> usize {
        self.size()
    }

    fn byte_capacity(&self) -> usize {
        self.capacity()
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        Ok(self.grow(new_size)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.base().as_ptr()
    }
}

// SAFETY: what `create` makes holds what is said at `LinearMemory`, for the reservation and the guard that it is given: it
// refuses what its tier does not have.
unsafe impl wasmtime::MemoryCreator for super::Memories {
    fn new_memory(
        &self,
        ty: wasmtime::MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved_size_in_bytes: Option<usize>,
        guard_size_in_bytes: usize,
    ) -> Result<Box<dyn wasmtime::LinearMemory>, String> {
        if ty.is_shared() {
            return Err("memories that threads share are not supported".to_owned());
        }
        match self.create(minimum, reserved_size_in_bytes.unwrap_or(0), guard_size_in_bytes) {
            Ok(memory) => Ok(Box::new(memory)),
            Err(error) => Err(error.to_string()),
        }
    }
}

// SAFETY: the range is open, page-aligned, and this object's alone as long as it lives; below it are guard pages. What an
// earlier fiber left in it is no guest's to see: compiled code and the host write a place of their frames before they read it.
unsafe impl wasmtime::StackMemory for StackLease {
    fn top(&self) -> *mut u8 {
        self.slot().base().as_ptr().wrapping_add(self.slot().cut().bytes)
    }

    fn range(&self) -> Range<usize> {
        let start = self.slot().base().as_ptr().addr();
        start..start + self.slot().cut().bytes
    }

    fn guard_range(&self) -> Range<*mut u8> {
        let start = self.slot().base().as_ptr();
        start.wrapping_sub(self.slot().cut().guard)..start
    }
}

// SAFETY: what it makes holds what is said at `StackMemory`, and has the size that is asked for, or more.
unsafe impl wasmtime::StackCreator for super::Stacks {
    fn new_stack(&self, size: usize, zeroed: bool) -> wasmtime::Result<Box<dyn wasmtime::StackMemory>> {
        let mut stack = self.create(size)?;
        if zeroed {
            stack.zero();
        }
        Ok(Box::new(stack))
    }
}
