//! How stories write zxids (`EPOCH.COUNTER`), and the transactions of them.

use rookeeper_proto::ids::Zxid;
use rookeeper_quorum::committed::Entry;

/// What a command answers.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// `1.5` and also `1` for the beginning of an epoch.
pub(crate) fn zxid(text: &str) -> Outcome<Zxid> {
    let (epoch, counter) = text.split_once('.').unwrap_or((text, "0"));
    Ok(Zxid::new(epoch.parse()?, counter.parse()?))
}

/// The transaction of a zxid: its text.
pub(crate) fn entry(zxid: Zxid) -> Entry {
    let txn = show(zxid).into_bytes().into();
    Entry { zxid, txn }
}

/// As [`zxid`] reads it.
pub(crate) fn show(zxid: Zxid) -> String {
    match zxid.counter() {
        0 => format!("{}.", zxid.epoch()),
        counter => format!("{}.{counter}", zxid.epoch()),
    }
}
