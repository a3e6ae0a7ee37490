//! What the system is asked to know which pages were written, in its own form.

use std::ops::Range;

/// `PAGEMAP_SCAN` of Linux 6.7: `_IOWR('f', 16, struct pm_scan_arg)`.
pub(super) const PAGEMAP_SCAN: libc::Ioctl = 0xc060_6610_u32 as libc::Ioctl;

/// Ranges that one scan reports. A guest writes few: its data, its stack, its heap.
pub(super) const RANGES: usize = 16;

/// Categories of pages: of a file, in memory, elsewhere, the page of zeroes.
const FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
const PFNZERO: u64 = 1 << 5;

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct PageRange {
    pub(super) start: u64,
    pub(super) end: u64,
    categories: u64,
}

/// `struct pm_scan_arg`.
#[repr(C)]
pub(super) struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

impl Scan {
    /// Asks which pages of a range of addresses were written since they were last given back; what is found goes `to` the
    /// address of [`RANGES`] elements.
    pub(super) fn new(range: Range<usize>, to: usize) -> Self {
        Self {
            size: size_of::<Self>() as u64,
            flags: 0,
            start: range.start as u64,
            end: range.end as u64,
            walk_end: 0,
            vec: to as u64,
            vec_len: RANGES as u64,
            max_pages: 0,
            // Neither of a file nor the page of zeroes, which is what was only read.
            category_inverted: FILE | PFNZERO,
            category_mask: FILE | PFNZERO,
            category_anyof_mask: PRESENT | SWAPPED,
            return_mask: PRESENT,
        }
    }

    /// Where the search ended.
    pub(super) fn end(&self) -> usize {
        self.walk_end as usize
    }
}
