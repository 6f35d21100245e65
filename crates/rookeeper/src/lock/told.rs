//! The signals that ask this process to end. Those that it was started to ignore (`nohup`) are left alone.

use std::fs;
use std::future::{pending, poll_fn};
use std::io;
use std::task::Poll;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

/// Who gets one of these is to end.
const ENDS: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// What asks this process to end.
#[derive(Debug)]
pub(super) struct Told {
    ends: Vec<(Signal, unix::Signal)>,
}

impl Told {
    /// From now on none of them ends this process by itself.
    pub(super) fn listen() -> io::Result<Self> {
        let ignored = ignored();
        let wanted = ENDS.into_iter().filter(|end| !has(ignored, *end));
        let ends = wanted.map(|end| Ok((end, stream(end)?)));
        Ok(Self {
            ends: ends.collect::<io::Result<_>>()?,
        })
    }

    /// The next one that comes.
    pub(super) async fn next(&mut self) -> Signal {
        if self.ends.is_empty() {
            return pending().await;
        }
        poll_fn(|context| {
            for (signal, stream) in &mut self.ends {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// One signal, as often as it comes.
pub(super) fn stream(of: Signal) -> io::Result<unix::Signal> {
    signal(SignalKind::from_raw(of.as_raw()))
}

/// The signals that this process ignores, a bit for each; none where the system does not say.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_by(&status)
}

fn ignored_by(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok());
    mask.unwrap_or(0)
}

fn has(mask: u64, signal: Signal) -> bool {
    let bit = u32::try_from(signal.as_raw() - 1).unwrap_or(u32::MAX);
    mask.checked_shr(bit).is_some_and(|rest| rest & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_a_bit_of_the_mask() {
        let mask = ignored_by("Name:\tx\nSigBlk:\t0f\nSigIgn:\t0000000000000005\n");
        assert!(has(mask, Signal::HUP) && has(mask, Signal::QUIT));
        assert!(!has(mask, Signal::INT) && !has(mask, Signal::TERM));
        assert_eq!(ignored_by(""), 0);
    }
}
