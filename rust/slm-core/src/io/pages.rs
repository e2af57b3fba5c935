//! Which pages lie behind a large buffer, and when the system supplies them.
//!
//! A huge page saves misses of the translation cache for as long as the buffer lives, but has to be found and cleared first. How long
//! that takes is not the same from one to the next. A machine of its own clears 2 MiB in 0.2 to 0.3 ms, faster than the small
//! pages in their place (0.6 ms if they are asked for at once, 0.9 ms if each is when it is written). Where a host lends memory to several
//! machines and takes back what is free, it takes 4 to 6 ms, because what is free and taken back are large pieces; and so it does where
//! memory has to be moved to make one. So huge pages are taken as long as they come quickly, and then small ones; and a buffer that proves
//! to be read for long is joined to huge ones later, whatever that takes.
//!
//! Nothing here changes what is in a buffer, and where the system does not take a piece of advice all goes on without it.

/// Bytes of a huge page.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Processor time that a huge page may take to come; small ones take less.
#[cfg(target_os = "linux")]
const MAX_HUGE_SECONDS: f64 = 1e-3;

/// What has been supplied of a buffer that is written from its start on.
#[derive(Debug, Default)]
pub(crate) struct Supply {
    /// Bytes from the start on that have been asked for.
    bytes: usize,
    are_small: bool,
}

impl Supply {
    /// Has the system supply the pages of the first `len` of a buffer, as they are about to be written.
    ///
    /// The buffer must be one of those that are [mappings of their own](super::allocator::LARGE_BYTES), and be given whole. It may have
    /// been resized since the last call.
    pub(crate) fn supply<T>(&mut self, buffer: *mut [T], len: usize) {
        #[cfg(target_os = "linux")]
        {
            let most = buffer.len().saturating_mul(size_of::<T>());
            let needed = len.saturating_mul(size_of::<T>()).min(most);
            while self.bytes < needed && !self.are_small {
                let before = thread_seconds();
                self.ask(buffer, (self.bytes + HUGE_PAGE_BYTES).min(most));
                if thread_seconds() - before > MAX_HUGE_SECONDS {
                    self.are_small = true;
                    use_small(buffer);
                }
            }
            if self.bytes < needed {
                self.ask(buffer, needed);
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (buffer, len);
    }

    /// Asks for the pages up to this byte.
    #[cfg(target_os = "linux")]
    fn ask<T>(&mut self, buffer: *mut [T], end: usize) {
        let start = buffer.cast::<u8>().wrapping_add(self.bytes);
        // Linux 5.14 and later.
        advise(std::ptr::slice_from_raw_parts_mut(start, end - self.bytes), libc::MADV_POPULATE_WRITE);
        self.bytes = end;
    }
}

/// Processor time that this thread has taken: another one that runs in between makes no page slower.
#[cfg(target_os = "linux")]
fn thread_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: there is room for a time.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    #[expect(clippy::cast_precision_loss, reason = "differences of milliseconds")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}

/// Has small pages come behind what of a buffer has none yet.
///
/// The buffer must be one of those that are [mappings of their own](super::allocator::LARGE_BYTES), and the whole of it: the system resizes
/// no mapping in which different pieces of advice hold.
pub(crate) fn use_small<T>(buffer: *mut [T]) {
    #[cfg(target_os = "linux")]
    advise(buffer, libc::MADV_NOHUGEPAGE);
    #[cfg(not(target_os = "linux"))]
    let _ = buffer;
}

/// Joins the pages of a buffer to huge ones, which takes as long as to fill it anew, or longer. As to which buffers, see [`use_small`].
pub(crate) fn join<T>(buffer: *mut [T]) {
    #[cfg(target_os = "linux")]
    {
        advise(buffer, libc::MADV_HUGEPAGE);
        // Linux 6.1 and later; earlier ones do it by and by.
        advise(buffer, libc::MADV_COLLAPSE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = buffer;
}

/// Gives a piece of advice on all pages that a buffer has a part of.
#[cfg(target_os = "linux")]
fn advise<T>(buffer: *mut [T], advice: libc::c_int) {
    let start = buffer.cast::<u8>();
    let before = start.addr() % page_bytes();
    // SAFETY: the pieces of advice given here neither free nor move anything, and change no byte, so they may reach what else is in the first
    // and the last page; of pages that do not exist they are refused.
    unsafe { libc::madvise(start.wrapping_sub(before).cast(), buffer.len() * size_of::<T>() + before, advice) };
}

#[cfg(target_os = "linux")]
fn page_bytes() -> usize {
    // SAFETY: a question without arguments in memory.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(4096)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::super::allocator::LargeMappings;
    use super::*;
    use std::alloc::{GlobalAlloc, Layout};

    /// Bytes of a buffer that has pages, by what the system says of each.
    fn resident_bytes(buffer: &[u8]) -> usize {
        let page_bytes = page_bytes();
        let start = buffer.as_ptr().addr().next_multiple_of(page_bytes);
        let end = (buffer.as_ptr().addr() + buffer.len()) / page_bytes * page_bytes;
        let mut pages = vec![0_u8; (end - start) / page_bytes];
        // SAFETY: the range is within the buffer and begins at a page, and there is a byte for each.
        let outcome = unsafe { libc::mincore(start as *mut libc::c_void, end - start, pages.as_mut_ptr()) };
        assert_eq!(outcome, 0);
        pages.iter().filter(|&&page| page & 1 == 1).count() * page_bytes
    }

    #[test]
    fn what_is_supplied_is_there_and_nothing_else() {
        // A mapping of its own, which `malloc` might not make.
        let layout = Layout::from_size_align(16 << 20, 8).unwrap();
        // SAFETY: zeros in a buffer of this size, which is given back below.
        let buffer = unsafe { std::slice::from_raw_parts_mut(LargeMappings.alloc_zeroed(layout), layout.size()) };
        use_small(&raw mut buffer[..]);
        assert_eq!(resident_bytes(buffer), 0);
        let mut supply = Supply { are_small: true, ..Supply::default() };
        for len in [1 << 20, 1 << 19, 3 << 20] {
            supply.supply(&raw mut buffer[..], len);
            let resident = resident_bytes(buffer);
            assert!((supply.bytes..=supply.bytes + (64 << 10)).contains(&resident), "{resident}");
        }
        assert!(buffer.iter().all(|&byte| byte == 0));
        // SAFETY: nobody has the buffer any more.
        unsafe { LargeMappings.dealloc(buffer.as_mut_ptr(), layout) };
    }

    #[test]
    fn bytes_stay_through_all_advice() {
        let mut buffer: Vec<u8> = (0..9_000_001_u32).map(|number| number.to_le_bytes()[0] ^ 0x5A).collect();
        let before = buffer.clone();
        let supply = |buffer| Supply::default().supply(buffer, 5_000_000);
        for advice in [use_small, supply, join, use_small] {
            advice(&raw mut buffer[..]);
            advice(&raw mut buffer[1_000..]);
            advice(&raw mut buffer[..7]);
        }
        assert!(buffer == before);
    }
}
