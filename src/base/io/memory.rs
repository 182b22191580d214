//! How much of the program is in this process's memory, and what of it the kernel may not take away.

use rustix::{
    io::Errno,
    mm::{Advice, MlockAllFlags, madvise, mlockall},
};
use std::{ffi::c_void, hint::black_box, io, ptr};

/// The kernel maps the neighbours of a page that is touched, 64 kB at a time, but not across the end of a mapping. The code of all processes is mixed in the
/// program, so that each function would bring fifteen pages of others with it.
const PIECE_BYTES: usize = 8 << 10;
/// Heap that is touched at the start and never given back, beyond what is in use then.
const HEAP_BYTES: usize = 256 << 10;
/// Stack that is touched at the start.
const STACK_BYTES: usize = 64 << 10;
/// Larger pieces have a mapping of their own, which goes when they are freed. glibc takes no more than this (`HEAP_MAX_SIZE / 2`).
#[cfg(target_env = "gnu")]
const MAPPED_BYTES: libc::c_int = 32 << 20;
/// Where pages are larger, splitting and forgetting is refused, and everything stays as the kernel does it by itself.
const PAGE_BYTES: usize = 4096;

/// Takes out of this process's memory what it touched of the program while it started: what it still needs comes back when it is touched.
pub fn forget_start() {
    for segment in program_segments() {
        // Best effort: more memory than needed does no harm.
        let _ = segment.forget();
    }
}

/// Has the kernel bring the program into this process's memory in small pieces from now on. It costs the kernel 200 bytes for each piece, and each fork the time to copy
/// them: not for a process that starts programs all the time.
pub fn load_in_small_pieces() {
    for segment in program_segments() {
        let _ = segment.split();
    }
}

/// Locks what this process has touched and what it touches from now on, and touches some heap and stack, so that there is room.
///
/// # Errors
/// Memory cannot be locked: not permitted, or a limit.
pub fn lock() -> io::Result<()> {
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE;
    match mlockall(all | MlockAllFlags::ONFAULT) {
        // A kernel before 4.4.
        Err(Errno::INVAL) => mlockall(all)?,
        result => result?,
    }
    keep_heap();
    touch_stack();
    Ok(())
}

/// How many pages of this process had to be found or made when they were touched.
pub fn page_faults() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a live local of the right type, which is all numbers, so that zeros are a value of it too.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    u64::try_from(usage.ru_minflt.saturating_add(usage.ru_majflt)).unwrap_or(0)
}

/// A part of the program, or of a library, that is mapped from its file and cannot be written: code and constants.
struct Segment {
    begin: usize,
    bytes: usize,
}

impl Segment {
    fn at(&self, offset: usize) -> *mut c_void {
        ptr::without_provenance_mut(self.begin + offset)
    }

    fn split(&self) -> io::Result<()> {
        for offset in (0..self.bytes).step_by(2 * PIECE_BYTES) {
            let bytes = PIECE_BYTES.min(self.bytes - offset);
            // Mappings of different properties are not merged. This property changes nothing: the agent's processes leave no core dump.
            // SAFETY: whole pages of a mapping that this program consists of; what is not dumped does not change.
            unsafe { madvise(self.at(offset), bytes, Advice::LinuxDontDump)? };
        }
        Ok(())
    }

    fn forget(&self) -> io::Result<()> {
        // SAFETY: the segment cannot be written, and relocations are made in segments that can: its pages are read from its file again, with the same contents.
        unsafe { madvise(self.at(0), self.bytes, Advice::LinuxDontNeed)? };
        Ok(())
    }
}

fn program_segments() -> Vec<Segment> {
    unsafe extern "C" fn add(info: *mut libc::dl_phdr_info, _size: usize, found: *mut c_void) -> libc::c_int {
        // SAFETY: both pointers are valid during the call (dl_iterate_phdr(3)), and the second is the one that is given below.
        let (info, found) = unsafe { (&*info, &mut *found.cast::<Vec<Segment>>()) };
        // SAFETY: the loader says that there are so many.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0) {
            // What is loaded below its own addresses, as a kernel's vdso may be, has a difference that wraps.
            let begin = info.dlpi_addr.wrapping_add(header.p_vaddr) as usize;
            let aligned = begin.next_multiple_of(PAGE_BYTES);
            let bytes = (header.p_memsz as usize).saturating_sub(aligned - begin);
            found.push(Segment { begin: aligned, bytes: bytes / PAGE_BYTES * PAGE_BYTES });
        }
        0
    }
    let mut found = Vec::new();
    // SAFETY: the callback gets the pointer that belongs to it, and nobody else uses the vector meanwhile.
    unsafe { libc::dl_iterate_phdr(Some(add), (&raw mut found).cast()) };
    found
}

/// Memory that is given back to the kernel would have to be got again at a bad moment.
fn keep_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it changes settings of the allocator, before there is another thread.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
    }
    let mut heap = vec![0_u8; HEAP_BYTES];
    heap.iter_mut().step_by(PAGE_BYTES).for_each(|byte| *byte = black_box(1));
    black_box(&heap);
}

#[inline(never)]
fn touch_stack() {
    let mut stack = [0_u8; STACK_BYTES];
    stack.iter_mut().step_by(PAGE_BYTES).for_each(|byte| *byte = black_box(1));
    black_box(&stack);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of the program's segments is in memory.
    fn program_kb() -> u64 {
        let segments = program_segments();
        let (mut inside, mut sum) = (false, 0);
        for line in std::fs::read_to_string("/proc/self/smaps").unwrap().lines() {
            if let Some(begin) = line.split_once('-').and_then(|(begin, _)| usize::from_str_radix(begin, 16).ok()) {
                inside = segments.iter().any(|segment| (segment.begin..segment.begin + segment.bytes).contains(&begin));
            } else if let Some(size) = line.strip_prefix("Rss:").filter(|_| inside) {
                sum += size.trim_end_matches("kB").trim().parse::<u64>().unwrap();
            }
        }
        sum
    }

    #[test]
    fn a_program_that_forgets_its_start_has_less_in_memory_and_goes_on() {
        // Constants of the whole program, so that there is something to forget.
        for segment in program_segments() {
            // SAFETY: it is mapped and can be read.
            let bytes = unsafe { std::slice::from_raw_parts(segment.at(0).cast::<u8>(), segment.bytes) };
            black_box(bytes.iter().step_by(PAGE_BYTES).fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
        }
        let before = program_kb();
        load_in_small_pieces();
        forget_start();
        let after = program_kb();
        assert!(after < before / 2, "{before} kB before, {after} kB after");
        assert_eq!("1 2 3".split(' ').map(|word| word.parse::<u32>().unwrap()).sum::<u32>(), 6);
    }

    #[test]
    fn pages_that_are_touched_are_counted() {
        // More than malloc keeps for itself (mallopt(3): at most 32 MiB): it is the kernel's, and nothing has touched it.
        let mut memory = vec![0_u8; 64 << 20];
        let before = page_faults();
        memory.iter_mut().step_by(PAGE_BYTES).for_each(|byte| *byte = black_box(1));
        assert!(page_faults() >= before + 2, "64 MiB were touched");
        black_box(&memory);
    }
}
