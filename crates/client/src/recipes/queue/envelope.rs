//! Items as they lie in a znode: a version, each item with its length, an end mark. As Curator has it.
//!
//! What lives here: bytes to items and back. What does not: where they lie.

use bytes::Bytes;

/// What the data begins with.
const VERSION: [u8; 4] = [0, 1, 0, 1];
/// An item follows: its length in 4 bytes, big endian, and its bytes.
const ITEM: u8 = 1;
/// No more items.
const END: u8 = 2;

/// The data of a znode with these items.
pub(super) fn encode<T: AsRef<[u8]>>(items: &[T]) -> Vec<u8> {
    let mut data = VERSION.to_vec();
    for item in items.iter().map(AsRef::as_ref) {
        data.push(ITEM);
        // A request with more would be refused long before: frames are limited to far less.
        let length = u32::try_from(item.len()).unwrap_or(u32::MAX);
        data.extend_from_slice(&length.to_be_bytes());
        data.extend_from_slice(item);
    }
    data.push(END);
    data
}

/// The items of a znode; `None` if the data is no such thing. What follows the end mark is ignored, as in Curator.
pub(super) fn decode(data: &Bytes) -> Option<Vec<Bytes>> {
    let mut rest = data.strip_prefix(&VERSION)?;
    let mut items = Vec::new();
    loop {
        let (mark, behind) = rest.split_first()?;
        match *mark {
            END => return Some(items),
            ITEM => {}
            _ => return None,
        }
        let (length, behind) = behind.split_first_chunk()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        let (item, behind) = behind.split_at_checked(length)?;
        items.push(data.slice_ref(item));
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items, and the data that Curator wrote for them.
    const GOLDEN: [(&[&str], &str); 5] = [
        (&["one"], "0001000101000000036f6e6502"),
        (
            &["two", "three"],
            "00010001010000000374776f0100000005746872656502",
        ),
        (&[""], "00010001010000000002"),
        (&["caf\u{e9}"], "000100010100000005636166c3a902"),
        (&["5 put as 0"], "00010001010000000a3520707574206173203002"),
    ];

    fn bytes(hex: &str) -> Bytes {
        let pairs = hex.as_bytes().chunks(2);
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        pairs.map(byte).collect::<Vec<u8>>().into()
    }

    #[test]
    fn items_are_the_bytes_that_curator_writes() {
        for (items, hex) in GOLDEN {
            assert_eq!(encode(items), bytes(hex));
            assert_eq!(decode(&bytes(hex)).unwrap(), items);
        }
    }

    #[test]
    fn anything_else_is_no_item() {
        let whole = bytes(GOLDEN[1].1);
        for end in 0..whole.len() {
            assert_eq!(decode(&whole.slice(..end)), None, "{end} bytes");
        }
        assert_eq!(decode(&Bytes::from_static(b"garbage")), None);
        // A length that is negative, one beyond the end, an unknown mark.
        assert_eq!(decode(&bytes("0001000101ffffffff02")), None);
        assert_eq!(decode(&bytes("00010001010000000aff02")), None);
        assert_eq!(decode(&bytes("0001000103")), None);
    }
}
