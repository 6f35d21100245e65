//! What is known of a znode besides its data, as the shell shows it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rookeeper_proto::stat::Stat;

use crate::document::Document;

/// The eleven lines of a stat, dates in the time zone `zone`.
#[must_use]
pub fn block(stat: &Stat, zone: &TimeZone) -> String {
    format!(
        "cZxid = {}\nctime = {}\nmZxid = {}\nmtime = {}\npZxid = {}\ncversion = {}\ndataVersion = {}\n\
         aclVersion = {}\nephemeralOwner = 0x{:x}\ndataLength = {}\nnumChildren = {}\n",
        stat.czxid,
        date(stat.ctime, zone),
        stat.mzxid,
        date(stat.mtime, zone),
        stat.pzxid,
        stat.cversion,
        stat.version,
        stat.aversion,
        stat.ephemeral_owner,
        stat.data_length,
        stat.num_children
    )
}

/// A time in ms since 1970 as `Sat Nov 28 09:12:32 CST 2020`; a time that no calendar has, as the number.
#[must_use]
pub fn date(ms: i64, zone: &TimeZone) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) => time
            .to_zoned(zone.clone())
            .strftime("%a %b %d %H:%M:%S %Z %Y")
            .to_string(),
        Err(_) => ms.to_string(),
    }
}

/// The same for programs: numbers as numbers, zxids and sessions as text in hex, times as RFC 3339.
#[must_use]
pub fn document(stat: &Stat) -> Document {
    let time = |ms| match Timestamp::from_millisecond(ms) {
        Ok(time) => Document::Text(time.to_string()),
        Err(_) => Document::Number(ms),
    };
    let hex = |number: i64| Document::Text(format!("0x{number:x}"));
    let number = |number: i32| Document::Number(number.into());
    Document::record([
        ("cZxid", hex(stat.czxid.0)),
        ("ctime", time(stat.ctime)),
        ("mZxid", hex(stat.mzxid.0)),
        ("mtime", time(stat.mtime)),
        ("pZxid", hex(stat.pzxid.0)),
        ("cversion", number(stat.cversion)),
        ("dataVersion", number(stat.version)),
        ("aclVersion", number(stat.aversion)),
        ("ephemeralOwner", hex(stat.ephemeral_owner)),
        ("dataLength", number(stat.data_length)),
        ("numChildren", number(stat.num_children)),
    ])
}

#[cfg(test)]
mod tests {
    use rookeeper_proto::ids::Zxid;

    use super::*;

    #[test]
    fn a_block_has_eleven_lines() {
        let stat = Stat {
            czxid: Zxid(7),
            mzxid: Zxid(0x1_0000_0002),
            ctime: 1_606_525_952_000,
            ephemeral_owner: 0x100_001c_4697_0000,
            data_length: 10,
            ..Stat::default()
        };
        let zone = TimeZone::posix("CST-8").unwrap();
        let expected = "\
cZxid = 0x7
ctime = Sat Nov 28 09:12:32 CST 2020
mZxid = 0x100000002
mtime = Thu Jan 01 08:00:00 CST 1970
pZxid = 0x0
cversion = 0
dataVersion = 0
aclVersion = 0
ephemeralOwner = 0x100001c46970000
dataLength = 10
numChildren = 0
";
        assert_eq!(block(&stat, &zone), expected);
    }

    #[test]
    fn the_beginning_of_time_is_a_date() {
        assert_eq!(date(0, &TimeZone::UTC), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(date(i64::MAX, &TimeZone::UTC), i64::MAX.to_string());
    }
}
