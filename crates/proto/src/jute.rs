//! The primitive encodings: big-endian integers, length-prefixed buffers and strings, counted vectors.
//!
//! Null (length -1) and empty differ everywhere. Strings are UTF-8 on input; Java's surrogate pairs written as two
//! three-byte sequences are understood, and characters above U+FFFF are written that way, because that is what Java sends and
//! stores (client protocol 1.2). Byte sequences that are neither become U+FFFD, as in Java.
//!
//! Invariant: a length taken from the input is compared with what is left before it is used for anything.

use std::borrow::Cow;

use thiserror::Error;

/// Why bytes are not the record they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The record ends early.
    #[error("{needed} bytes needed, {left} left")]
    Truncated {
        /// Bytes the next field needs.
        needed: usize,
        /// Bytes left in the frame.
        left: usize,
    },
    /// A buffer or string announces a negative length other than -1.
    #[error("negative length {0}")]
    NegativeLength(i32),
    /// A buffer or string is longer than the reader's limit.
    #[error("length {len} is beyond the limit of {limit} bytes")]
    TooLong {
        /// The announced length.
        len: usize,
        /// The limit in force.
        limit: usize,
    },
    /// A field that must be there is null.
    #[error("{0} is null")]
    Null(&'static str),
    /// A type or kind the record does not know.
    #[error("unknown {what} {value}")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// The value found.
        value: i32,
    },
    /// A multi holds what it may not hold.
    #[error("{0}")]
    BadMulti(&'static str),
}

/// Reads fields, in order, from one frame, record or file section.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    left: &'a [u8],
    limit: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; the only limit on a buffer is the input itself.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            left: bytes,
            limit: usize::MAX,
        }
    }

    /// Reads `bytes`, refusing buffers and strings longer than `limit` bytes.
    #[must_use]
    pub const fn with_limit(bytes: &'a [u8], limit: usize) -> Self {
        Self { left: bytes, limit }
    }

    /// What has not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.left
    }

    /// True when every byte was read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Takes the next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let left = self.left.len();
        let (head, tail) = self
            .left
            .split_at_checked(n)
            .ok_or(DecodeError::Truncated { needed: n, left })?;
        self.left = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let left = self.left.len();
        let (head, tail) = self
            .left
            .split_first_chunk()
            .ok_or(DecodeError::Truncated { needed: N, left })?;
        self.left = tail;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[b]| b)
    }

    /// Any non-zero byte is true.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        self.u8().map(|b| b != 0)
    }

    /// Four bytes, big-endian.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// A buffer; `None` is null.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.i32()? {
            -1 => Ok(None),
            n => {
                let len = usize::try_from(n).map_err(|_| DecodeError::NegativeLength(n))?;
                if len > self.limit {
                    return Err(DecodeError::TooLong {
                        len,
                        limit: self.limit,
                    });
                }
                self.take(len).map(Some)
            }
        }
    }

    /// A string; `None` is null.
    pub fn string(&mut self) -> Result<Option<Cow<'a, str>>, DecodeError> {
        Ok(self.buffer()?.map(decode_text))
    }

    /// A string that must not be null; `what` names it in the error.
    pub fn required_string(&mut self, what: &'static str) -> Result<Cow<'a, str>, DecodeError> {
        self.string()?.ok_or(DecodeError::Null(what))
    }

    /// The item count of a vector; `None` is null, other negative counts mean empty. The count is a claim: never allocate by it.
    pub fn count(&mut self) -> Result<Option<usize>, DecodeError> {
        match self.i32()? {
            -1 => Ok(None),
            n => Ok(Some(usize::try_from(n).unwrap_or(0))),
        }
    }

    /// A vector of items read by `item`; `None` is null.
    pub fn vector<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.count()? else {
            return Ok(None);
        };
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(Some(items))
    }
}

/// First byte of a three-byte sequence that may hold a surrogate.
const SURROGATE_LEAD: u8 = 0xed;

/// Decodes UTF-8, accepting Java's surrogate pairs; what is neither becomes U+FFFD.
#[must_use]
pub fn decode_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(decode_lenient(bytes)),
    }
}

fn decode_lenient(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| *b == SURROGATE_LEAD) {
        let (plain, tail) = rest.split_at(at);
        text.push_str(&String::from_utf8_lossy(plain));
        let (decoded, used) = match surrogate_pair(tail) {
            Some(c) => (Cow::Owned(c.to_string()), 6),
            None => {
                let used = tail
                    .iter()
                    .skip(1)
                    .take_while(|b| **b != SURROGATE_LEAD)
                    .count()
                    + 1;
                (
                    String::from_utf8_lossy(tail.get(..used).unwrap_or(tail)),
                    used,
                )
            }
        };
        text.push_str(&decoded);
        rest = tail.get(used..).unwrap_or_default();
    }
    text.push_str(&String::from_utf8_lossy(rest));
    text
}

/// The character of two three-byte surrogates at the start of `bytes`.
fn surrogate_pair(bytes: &[u8]) -> Option<char> {
    let unit = |b: &[u8]| match b {
        [SURROGATE_LEAD, mid @ 0xa0..=0xbf, low @ 0x80..=0xbf] => {
            Some(0xd000 | (u32::from(mid & 0x3f) << 6) | u32::from(low & 0x3f))
        }
        _ => None,
    };
    let high = unit(bytes.get(..3)?).filter(|u| (0xd800..0xdc00).contains(u))?;
    let low = unit(bytes.get(3..6)?).filter(|u| (0xdc00..0xe000).contains(u))?;
    char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
}

/// Appends fields to a buffer.
pub trait Writer {
    /// One byte: 0 or 1.
    fn put_bool(&mut self, value: bool);
    /// Four bytes, big-endian.
    fn put_i32(&mut self, value: i32);
    /// Eight bytes, big-endian.
    fn put_i64(&mut self, value: i64);
    /// Length and bytes; `None` is null.
    fn put_buffer(&mut self, value: Option<&[u8]>);
    /// Length and text as Java writes it.
    fn put_string(&mut self, value: &str);
    /// A count. Lengths beyond `i32` cannot occur: every source is bounded by the frame limit.
    fn put_count(&mut self, count: usize);
}

impl Writer for Vec<u8> {
    fn put_bool(&mut self, value: bool) {
        self.push(u8::from(value));
    }

    fn put_i32(&mut self, value: i32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_i64(&mut self, value: i64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_buffer(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.put_i32(-1),
            Some(bytes) => {
                self.put_count(bytes.len());
                self.extend_from_slice(bytes);
            }
        }
    }

    fn put_string(&mut self, value: &str) {
        if value.bytes().all(|b| b < FOUR_BYTE_LEAD) {
            self.put_buffer(Some(value.as_bytes()));
        } else {
            self.put_buffer(Some(&encode_surrogates(value)));
        }
    }

    fn put_count(&mut self, count: usize) {
        self.put_i32(i32::try_from(count).unwrap_or(i32::MAX));
    }
}

/// First byte of a character above U+FFFF in UTF-8.
const FOUR_BYTE_LEAD: u8 = 0xf0;

fn encode_surrogates(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() * 2);
    for c in text.chars() {
        let mut units = [0; 2];
        match c.encode_utf16(&mut units) {
            [high, low] => {
                for unit in [*high, *low] {
                    let [top, bottom] = unit.to_be_bytes();
                    let middle = ((top & 0x0f) << 2) | (bottom >> 6);
                    bytes.extend_from_slice(&[
                        SURROGATE_LEAD,
                        0x80 | middle,
                        0x80 | (bottom & 0x3f),
                    ]);
                }
            }
            _ => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn null_and_empty_buffers_differ() {
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(reader.buffer(), Ok(None));
        assert_eq!(reader.buffer(), Ok(Some(&[][..])));
    }

    #[test]
    fn negative_counts_other_than_null_are_empty() {
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xf9]);
        assert_eq!(reader.vector(|r| r.i32()), Ok(Some(vec![])));
    }

    #[test]
    fn announced_lengths_are_checked_against_the_frame_and_the_limit() {
        assert_eq!(
            Reader::new(&[0x7f, 0xff, 0xff, 0xff]).buffer(),
            Err(DecodeError::Truncated {
                needed: 0x7fff_ffff,
                left: 0
            })
        );
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0xf9]).buffer(),
            Err(DecodeError::NegativeLength(-7))
        );
        assert_eq!(
            Reader::with_limit(&[0, 0, 0, 2, 1, 1], 1).buffer(),
            Err(DecodeError::TooLong { len: 2, limit: 1 })
        );
    }

    #[test]
    fn characters_above_the_basic_plane_travel_as_two_surrogates() {
        let mut out = Vec::new();
        out.put_string("/\u{1F600}");
        assert_eq!(out, [0, 0, 0, 7, b'/', 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]);
        assert_eq!(decode_text(&out[4..]), "/\u{1F600}");
        assert_eq!(decode_text("/\u{1F600}".as_bytes()), "/\u{1F600}");
    }

    #[test]
    fn bytes_that_are_no_text_become_replacement_characters() {
        assert_eq!(decode_text(&[b'a', 0xff, b'b']), "a\u{fffd}b");
        assert!(decode_text(&[0xed, 0xa0, 0xbd, b'x']).ends_with('x'));
        assert!(decode_text(&[0xed, b'y']).ends_with('y'));
    }

    proptest! {
        #[test]
        fn strings_round_trip(text in any::<String>()) {
            let mut out = Vec::new();
            out.put_string(&text);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.string().unwrap().unwrap(), text);
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            let _ = decode_text(&bytes);
            let _ = reader.vector(|r| r.string());
        }
    }
}
