//! Work that has time: a state that is written, sent, received.
//!
//! It shares the processors with requests, which have none. What does not live here: the disk, which such work shares as well, in the
//! small pieces of `storage`'s snapshot writer.

/// How far behind requests such work stands, as `nice` counts.
const NICENESS: i32 = 10;

/// The calling thread has less of a busy processor from now on. It cannot take its rank back, so this is for threads that end with their
/// work.
pub(crate) fn give_way() {
    // Where it is not allowed the work is done all the same. Linux means the calling thread.
    let _ = rustix::process::nice(NICENESS);
}

/// Between two pieces: whoever waits for this processor has it now. Linux does not stop a thread for one that wakes, however low its
/// rank, before it had its slice of 3 ms: the time of five writes.
pub(crate) fn pause() {
    std::thread::yield_now();
}
