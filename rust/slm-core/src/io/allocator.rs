//! An allocator that gives large buffers back to the system the moment they are freed.
//!
//! The system's `malloc` keeps freed buffers of up to 32 MiB in the heap of the thread that made them, for the next buffer of that
//! thread. With a memory limit that adds up: each thread keeps its own high-water mark, and `RLIMIT_DATA` counts it even where
//! the pages are gone. Here every large buffer is a mapping of its own. It also asks for huge pages, as tables and sketches are read
//! at random places and would miss the translation cache nearly every time.

use std::alloc::{GlobalAlloc, Layout, System};

/// Buffers of this size and more are mappings of their own. Smaller ones come and go too often to be mapped each time.
pub const LARGE_BYTES: usize = 4 << 20;

/// The system's allocator, but for large buffers where the system is Linux.
pub struct LargeMappings;

/// Gives the system back what small buffers took that are freed by now. A heap of the system's `malloc` shrinks at its end only,
/// and there is one for each thread; after a phase with many buffers they would keep megabytes from the next.
pub fn release_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it moves nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(target_os = "linux")]
fn is_large(layout: Layout) -> bool {
    // A mapping begins at a page; nothing here asks for more than that.
    layout.size() >= LARGE_BYTES && layout.align() <= 4096
}

#[cfg(target_os = "linux")]
fn map(bytes: usize) -> *mut u8 {
    // SAFETY: a new private mapping at a place of the system's choice; no memory that is in use changes.
    let mapped = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if mapped == libc::MAP_FAILED {
        return std::ptr::null_mut();
    }
    // SAFETY: advice on the mapping just made; where the system does not take it nothing changes.
    unsafe { libc::madvise(mapped, bytes, libc::MADV_HUGEPAGE) };
    mapped.cast()
}

// SAFETY: a pointer is handed to `munmap` and `mremap` only if its layout is large, in which case `map` or `mremap` gave it for the
// same size; all others go to `System` alone. Fresh mappings are zero.
#[cfg(target_os = "linux")]
unsafe impl GlobalAlloc for LargeMappings {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        if is_large(layout) { map(layout.size()) } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        if is_large(layout) { map(layout.size()) } else { unsafe { System.alloc_zeroed(layout) } }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if is_large(layout) {
            // SAFETY: the caller gives a pointer of this allocator with its layout, so it is the start of a mapping of that size.
            unsafe { libc::munmap(pointer.cast(), layout.size()) };
        } else {
            // SAFETY: as the caller promises.
            unsafe { System.dealloc(pointer, layout) };
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that a layout can have.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (is_large(layout), is_large(new_layout)) {
            // SAFETY: as the caller promises.
            (false, false) => unsafe { System.realloc(pointer, layout, new_size) },
            (true, true) => {
                // SAFETY: the mapping is this allocator's and has the size of `layout`.
                let moved = unsafe { libc::mremap(pointer.cast(), layout.size(), new_size, libc::MREMAP_MAYMOVE) };
                if moved == libc::MAP_FAILED { std::ptr::null_mut() } else { moved.cast() }
            }
            _ => {
                // SAFETY: a new buffer, and as many bytes as both hold; the old one is freed only when its bytes are copied.
                unsafe {
                    let new = self.alloc(new_layout);
                    if !new.is_null() {
                        std::ptr::copy_nonoverlapping(pointer, new, layout.size().min(new_size));
                        self.dealloc(pointer, layout);
                    }
                    new
                }
            }
        }
    }
}

// SAFETY: all goes to `System`.
#[cfg(not(target_os = "linux"))]
unsafe impl GlobalAlloc for LargeMappings {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pages::{self, Supply};
    use super::*;

    /// Resizes one buffer through all sizes, and looks whether its bytes stay.
    #[test]
    fn buffers_keep_their_bytes_whatever_size_they_change_to() {
        let sizes = [100, LARGE_BYTES - 1, LARGE_BYTES, 3 * LARGE_BYTES + 5, LARGE_BYTES, 7, 2 * LARGE_BYTES, 100];
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        // SAFETY: each pointer is used with the layout that it was made with, and within its size.
        unsafe {
            let mut pointer = LargeMappings.alloc(layout(sizes[0]));
            for byte in 0..7_u8 {
                pointer.add(byte.into()).write(byte + 1);
            }
            for pair in sizes.windows(2) {
                pointer = LargeMappings.realloc(pointer, layout(pair[0]), pair[1]);
                assert!(!pointer.is_null());
                let buffer = std::ptr::slice_from_raw_parts_mut(pointer, pair[1]);
                Supply::default().supply(buffer, pair[1] / 2);
                pages::use_small(buffer);
                assert_eq!(std::slice::from_raw_parts(pointer, 7), [1, 2, 3, 4, 5, 6, 7]);
                pointer.add(pair[1] - 1).write(if pair[1] == 7 { 7 } else { 9 });
            }
            LargeMappings.dealloc(pointer, layout(100));
            let zeroed = LargeMappings.alloc_zeroed(layout(LARGE_BYTES));
            assert!(std::slice::from_raw_parts(zeroed, LARGE_BYTES).iter().all(|&byte| byte == 0));
            LargeMappings.dealloc(zeroed, layout(LARGE_BYTES));
            assert!(LargeMappings.alloc(layout(1 << 60)).is_null());
        }
    }
}
