//! Ctrl-C while a command runs: the command ends, the shell stays. Where nobody types the shell ends too.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::sync::Notify;

use crate::failure::Failure;

/// Whether the running command shall end.
#[derive(Debug, Default)]
pub struct Interrupt {
    is_raised: AtomicBool,
    /// The status that the shell shall end with; 0 while it shall not.
    end: AtomicU8,
    raised: Notify,
}

impl Interrupt {
    /// Asks the running command to end.
    pub fn raise(&self) {
        self.is_raised.store(true, Ordering::Relaxed);
        self.raised.notify_waiters();
    }

    /// Asks the running command to end, and the shell behind it, with this status. That is not forgotten.
    pub fn end(&self, status: u8) {
        self.end.store(status, Ordering::Relaxed);
        self.raise();
    }

    /// The status that the shell shall end with, if it shall end.
    #[must_use]
    pub fn ended(&self) -> Option<u8> {
        match self.end.load(Ordering::Relaxed) {
            0 => None,
            status => Some(status),
        }
    }

    /// Forgets: the next command begins.
    pub fn clear(&self) {
        self.is_raised.store(false, Ordering::Relaxed);
    }

    /// An error once it is raised: long commands ask between two steps, so that what they have done is whole.
    pub fn check(&self) -> Result<(), Failure> {
        match self.is_raised.load(Ordering::Relaxed) || self.ended().is_some() {
            true => Err(Failure::Interrupted),
            false => Ok(()),
        }
    }

    /// Returns when it is raised.
    pub async fn wait(&self) {
        loop {
            let raised = self.raised.notified();
            if self.check().is_err() {
                return;
            }
            // Looked at again: it may be forgotten by now.
            raised.await;
        }
    }
}
