//! The end of a wait at a watch.
//!
//! What lives here: telling what means to look again from what means that there is nothing to wait for any more. What does not:
//! whoever needs to know what has happened.

use crate::{Error, Watch};

/// Waits until there is reason to look again: something has happened, or somebody has removed the watch. An error says that the
/// session has ended.
pub(crate) async fn woken(watch: Watch) -> Result<(), Error> {
    match watch.await {
        Ok(_) | Err(Error::WatchRemoved) => Ok(()),
        Err(error) => Err(error),
    }
}
