//! A text in the making, and the notations its lines share: dates, addresses.

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, SocketAddr},
};

/// Text of an answer.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// Adds text.
    pub(super) fn put(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a `String` cannot fail.
        let _ = self.0.write_fmt(text);
    }

    /// Adds text and ends the line.
    pub(super) fn line(&mut self, text: fmt::Arguments<'_>) {
        self.put(text);
        self.0.push('\n');
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

/// An address as Java writes it: a slash first, IPv6 without abbreviation.
pub(super) struct Peer(pub(super) SocketAddr);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.0.port();
        match self.0.ip().to_canonical() {
            IpAddr::V4(ip) => write!(f, "/{ip}:{port}"),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, g, h, i] = ip.segments();
                write!(
                    f,
                    "/[{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{g:x}:{h:x}:{i:x}]:{port}"
                )
            }
        }
    }
}

/// A moment, in milliseconds since 1970, as Java's default text in UTC: `Fri Nov 20 21:52:38 UTC 2026`.
pub(super) struct Date(pub(super) i64);

/// Day 0 was a Thursday.
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
/// Names of the months and their days in a common year.
const MONTHS: [(&str, i64); 12] = [
    ("Jan", 31),
    ("Feb", 28),
    ("Mar", 31),
    ("Apr", 30),
    ("May", 31),
    ("Jun", 30),
    ("Jul", 31),
    ("Aug", 31),
    ("Sep", 30),
    ("Oct", 31),
    ("Nov", 30),
    ("Dec", 31),
];
const SECONDS_PER_DAY: i64 = 86_400;
/// Days in 400 years, after which the calendar repeats.
const DAYS_PER_ROUND: i64 = 146_097;
/// Days from 1 January 1970 to 1 January 2000, where a round of 400 years begins.
const DAYS_TO_2000: i64 = 10_957;

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1000);
        let days = seconds.div_euclid(SECONDS_PER_DAY);
        let second = seconds.rem_euclid(SECONDS_PER_DAY);
        let weekday = DAYS[days.rem_euclid(7) as usize];
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}"
        )
    }
}

/// Year, month and day of a day counted from 1970.
fn civil(days: i64) -> (i64, &'static str, i64) {
    let days = days - DAYS_TO_2000;
    let round = days.div_euclid(DAYS_PER_ROUND);
    let mut day = days.rem_euclid(DAYS_PER_ROUND);
    let mut year = day / 366;
    while first_day(year + 1) <= day {
        year += 1;
    }
    day -= first_day(year);
    let leap_day = first_day(year + 1) - first_day(year) - 365;
    let mut name = "Dec";
    for (month, days) in MONTHS {
        let days = days + if month == "Feb" { leap_day } else { 0 };
        name = month;
        if day < days {
            break;
        }
        day -= days;
    }
    (2000 + 400 * round + year, name, day + 1)
}

/// The day with which a year of a round begins; the round begins with a leap year.
fn first_day(year: i64) -> i64 {
    let leap_years = if year == 0 {
        0
    } else {
        (year - 1) / 4 - (year - 1) / 100 + 1
    };
    365 * year + leap_years
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (ms, expected) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (951_827_696_789, "Tue Feb 29 12:34:56 UTC 2000"),
            (1_795_211_558_000, "Fri Nov 20 21:52:38 UTC 2026"),
            (4_107_542_399_000, "Sun Feb 28 23:59:59 UTC 2100"),
            (4_107_542_400_000, "Mon Mar 01 00:00:00 UTC 2100"),
            (1_767_225_599_999, "Wed Dec 31 23:59:59 UTC 2025"),
            (1_767_225_600_000, "Thu Jan 01 00:00:00 UTC 2026"),
        ] {
            assert_eq!(Date(ms).to_string(), expected, "{ms}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = civil(-1);
        for days in 0..2 * DAYS_PER_ROUND {
            let (year, month, day) = civil(days);
            let expected = if day > 1 {
                (before.0, before.1, before.2 + 1) == (year, month, day)
            } else if month == "Jan" {
                before == (year - 1, "Dec", 31)
            } else {
                before.0 == year && before.1 != month && before.2 >= 28
            };
            assert!(expected, "{before:?} before {year} {month} {day}");
            before = (year, month, day);
        }
        for ms in [i64::MIN, i64::MAX] {
            assert!(Date(ms).to_string().contains(" UTC "));
        }
    }

    #[test]
    fn addresses() {
        for (peer, expected) in [
            ("127.0.0.1:42576", "/127.0.0.1:42576"),
            ("[::1]:2181", "/[0:0:0:0:0:0:0:1]:2181"),
            ("[2001:db8::ab]:1", "/[2001:db8:0:0:0:0:0:ab]:1"),
            ("[::ffff:10.0.0.7]:5", "/10.0.0.7:5"),
        ] {
            assert_eq!(
                Peer(peer.parse().expect("an address")).to_string(),
                expected
            );
        }
    }
}
