//! The layout of a transaction log (disk formats 2): constants shared by writer and reader.

/// First four bytes of a log, "ZKLG".
pub(crate) const MAGIC: i32 = 0x5a4b_4c47;
/// The only version there is.
pub(crate) const VERSION: i32 = 2;
/// What Java writes as database id.
pub(crate) const DBID: i64 = 0;
/// magic, version, dbid.
pub(crate) const HEADER_LEN: usize = 16;
/// crc and length, before the transaction.
pub(crate) const PREFIX_LEN: usize = 12;
/// crc, length and end byte around a transaction.
pub(crate) const FRAMING_LEN: usize = PREFIX_LEN + 1;
/// Last byte of every record, 'B'.
pub(crate) const END_OF_RECORD: u8 = 0x42;

/// The header of a new log.
pub(crate) fn header() -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..4].copy_from_slice(&MAGIC.to_be_bytes());
    bytes[4..8].copy_from_slice(&VERSION.to_be_bytes());
    bytes[8..].copy_from_slice(&DBID.to_be_bytes());
    bytes
}

/// Adler-32 with the usual start value.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    simd_adler32::adler32(&bytes)
}
