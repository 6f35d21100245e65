//! Room in the log: asked for before anything is judged, waited for when what was judged does not fit after all.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rookeeper_node::ensemble::effect::MemberInput;
use rookeeper_node::input::Input;
use rookeeper_node::limits::RECORD_OVERHEAD;
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_storage::log_writer::LogError;
use tracing::{error, info, warn};

use super::{Driver, Ended, Turn};
use crate::inbox::{Inbox, Message};

/// Room in the log that is made sure of before a batch is judged, bytes, besides what the batch itself announces: sessions that
/// end with all their ephemerals announce nothing.
const LOG_HEADROOM: usize = 4 * 1024 * 1024;
/// Pause before a full disk is tried again.
const FULL_DISK_PAUSE: Duration = Duration::from_millis(100);

impl Driver {
    /// Asks the log for room before anything is judged, and tells the member when there is none.
    pub(super) fn make_room(&mut self, turn: &mut Turn) -> Ended {
        let Some(database) = &mut self.database else {
            return Ok(());
        };
        let announced: usize = turn.messages.iter().map(announced_bytes).sum();
        // Once the disk is full, writes resume when what was refused would fit: else small ones would end that state, and large ones
        // begin it again, all the time.
        let wanted = announced.max(turn.room_wanted);
        turn.room_wanted = wanted.min(LOG_HEADROOM);
        let full = match database.log.reserve(LOG_HEADROOM + wanted) {
            Ok(()) => {
                turn.room_wanted = 0;
                false
            }
            Err(LogError::Full(why)) => {
                if !self.gauges.disk_full.load(Ordering::Relaxed) {
                    error!(error = %why, "the disk is full: writes are refused, reads are served, writes resume by themselves");
                }
                true
            }
            Err(error) => return Err(error.into()),
        };
        if self.gauges.disk_full.swap(full, Ordering::Relaxed) != full {
            if !full {
                info!("the disk has room again: writes resume");
            }
            self.decide(Input::DiskFull(full), turn)?;
        }
        Ok(())
    }
}

/// Tries again while the disk is full: what was judged must reach the log. Room was made sure of before, so this waits only when
/// there is no preallocation, or when a transaction is larger than anybody announced. Who is told to stop waits no longer.
pub(super) fn wait_for_room<T>(
    inbox: &Inbox,
    mut attempt: impl FnMut() -> Result<T, LogError>,
) -> Result<T, LogError> {
    loop {
        match attempt() {
            Err(LogError::Full(why)) if !inbox.is_stopping() => {
                warn!(error = %why, "the log waits for room on the disk");
                std::thread::sleep(FULL_DISK_PAUSE);
            }
            done => return done,
        }
    }
}

fn announced_bytes(message: &Message) -> usize {
    match message {
        Message::Input(Input::Write(request)) => request.write.size_hint() * 2 + RECORD_OVERHEAD,
        Message::Input(_) => RECORD_OVERHEAD,
        // What other servers propose.
        Message::Tied(_, inputs) => inputs.iter().map(proposed_bytes).sum(),
        _ => 0,
    }
}

fn proposed_bytes(input: &MemberInput) -> usize {
    match input {
        MemberInput::FromLeader(
            FromLeader::Proposal { txn, .. } | FromLeader::Inform { txn, .. },
        ) => txn.len() + RECORD_OVERHEAD,
        MemberInput::FromLearner { .. } => RECORD_OVERHEAD,
        _ => 0,
    }
}
