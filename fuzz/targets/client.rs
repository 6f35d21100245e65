//! A client whose server says anything at all, between calls, breaks and time.
//!
//! Holds: what `rookeeper_client::hostile` asserts.
#![no_main]

use fuzz_frames::Frames;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| rookeeper_client::hostile::play(Frames(data)));
