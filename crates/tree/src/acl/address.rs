//! Addresses as ACLs of scheme `ip` write them, and as Java prints them (client protocol 6.4).

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

const V4_BITS: u32 = 32;
const V6_BITS: u32 = 128;
const V6_GROUPS: usize = 8;

/// The text of a peer's address as it stands in identities and ACLs: IPv6 without compression, `0:0:0:0:0:0:0:1`, and an IPv4
/// address inside IPv6 as IPv4.
#[must_use]
pub fn peer_address(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => all_groups(v6),
    }
}

fn all_groups(address: Ipv6Addr) -> String {
    let mut text = String::with_capacity(V6_GROUPS * 5);
    for group in address.segments() {
        let separator = if text.is_empty() { "" } else { ":" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{group:x}");
    }
    text
}

/// An address with the number of leading bits that count. The address stands in the high bits of the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pattern {
    family: Family,
    address: u128,
    bits: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    const fn bits(self) -> u32 {
        match self {
            Self::V4 => V4_BITS,
            Self::V6 => V6_BITS,
        }
    }
}

impl Pattern {
    /// The pattern `address` or `address/bits`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(java_number(bits)?)),
            None => (text, None),
        };
        let (family, address) = parse_address(address)?;
        let bits = bits.unwrap_or_else(|| family.bits());
        (bits <= family.bits()).then_some(Self {
            family,
            address,
            bits,
        })
    }

    /// True when the leading bits of `peer` are those of the pattern.
    pub(super) fn matches(self, peer: &str) -> bool {
        let Some((family, address)) = parse_address(peer) else {
            return false;
        };
        // With no bits at all the shift is as wide as the number: every address of the family.
        let differing = (address ^ self.address).checked_shr(V6_BITS - self.bits);
        family == self.family && differing.unwrap_or(0) == 0
    }
}

fn parse_address(text: &str) -> Option<(Family, u128)> {
    if text.contains(':') {
        return Some((Family::V6, parse_v6(text)?));
    }
    Some((Family::V4, parse_v4(text)? << (V6_BITS - V4_BITS)))
}

fn parse_v4(text: &str) -> Option<u128> {
    let mut parts = 0;
    let mut address = 0;
    for part in text.split('.') {
        parts += 1;
        let byte = java_number(part)?;
        if byte > 0xff || parts > 4 {
            return None;
        }
        address = address << 8 | u128::from(byte);
    }
    (parts == 4).then_some(address)
}

/// A number that is not negative, with what Java's parser lets pass: a plus sign, leading zeros, minus zero.
fn java_number(text: &str) -> Option<u32> {
    text.parse::<i32>().ok()?.try_into().ok()
}

fn parse_v6(text: &str) -> Option<u128> {
    let Some((head, tail)) = text.split_once("::") else {
        let groups = parse_groups(text)?;
        return (groups.len() == V6_GROUPS).then(|| join(&groups));
    };
    let (mut groups, tail) = (parse_groups(head)?, parse_groups(tail)?);
    let hole = V6_GROUPS.checked_sub(groups.len() + tail.len())?;
    if hole == 0 {
        return None;
    }
    groups.resize(groups.len() + hole, 0);
    groups.extend(tail);
    Some(join(&groups))
}

/// Groups between single colons; no text is no group.
fn parse_groups(text: &str) -> Option<Vec<u16>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    // One more than can be right is enough to be wrong, however long the text is.
    text.split(':')
        .take(V6_GROUPS + 1)
        .map(parse_group)
        .collect()
}

fn parse_group(text: &str) -> Option<u16> {
    let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    (hex && text.len() <= 4).then_some(())?;
    u16::from_str_radix(text, 16).ok()
}

fn join(groups: &[u16]) -> u128 {
    let push = |address, group: &u16| address << 16 | u128::from(*group);
    groups.iter().fold(0, push)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_written_as_java_writes_them() {
        for (given, expected) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "0:0:0:0:0:0:0:1"),
            ("2001:db8::ff", "2001:db8:0:0:0:0:0:ff"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
        ] {
            assert_eq!(peer_address(given.parse().unwrap()), expected);
        }
    }

    #[test]
    fn patterns_are_valid_as_the_java_server_finds_them() {
        for good in [
            "127.0.0.1",
            "127.0.0.1/8",
            "1.2.3.4/0",
            "1.2.3.4/32",
            "+1.04.3.4",
            "1.2.3.4/+8",
            "-0.0.0.0",
            "1.2.3.4/-0",
            "::",
            "::1",
            "1::",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "ABCD::/64",
            "::/128",
        ] {
            assert!(Pattern::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "/",
            "/8",
            "127.0.0.1/",
            "1.2.3.4/33",
            "1.2.3.4/-1",
            "1.2.3.4/8/9",
            "1.2.3",
            "1.2.3.4.",
            ".1.2.3.4",
            "1.2.3.256",
            "1.2.3.4 ",
            "1.2.3.4.5",
            "a.b.c.d",
            ":",
            ":::",
            "1::2::3",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4::5:6:7:8",
            "12345::",
            "+1::",
            "::1/129",
            "::ffff:1.2.3.4",
            "fe80::1%lo",
            "1:",
            ":1",
        ] {
            assert_eq!(Pattern::parse(bad), None, "{bad}");
        }
    }

    #[track_caller]
    fn check(pattern: &str, peer: &str, expected: bool) {
        assert_eq!(
            Pattern::parse(pattern).unwrap().matches(peer),
            expected,
            "{pattern} {peer}"
        );
    }

    #[test]
    fn leading_bits_decide() {
        check("127.0.0.0/8", "127.9.9.9", true);
        check("127.0.0.0/8", "128.0.0.1", false);
        check("10.1.2.3", "10.1.2.3", true);
        check("10.1.2.3", "10.1.2.4", false);
        check("10.1.2.2/31", "10.1.2.3", true);
        check("9.9.9.9/0", "1.2.3.4", true);
        check("9.9.9.9/0", "0:0:0:0:0:0:0:1", false);
        check("::/0", "1.2.3.4", false);
        check("::/0", "0:0:0:0:0:0:0:1", true);
        check("2001:db8::/32", "2001:db8:0:0:0:0:0:7", true);
        check("2001:db8::/32", "2001:db9:0:0:0:0:0:7", false);
        check("1.2.3.4", "somewhere", false);
    }
}
