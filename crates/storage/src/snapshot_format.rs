//! The layout of a snapshot around its body (disk formats 4.1 and 4.3): constants shared by writer and reader.

use rookeeper_proto::jute::Writer;

/// First four bytes of the plain stream, "ZKSN".
pub(crate) const MAGIC: i32 = 0x5a4b_534e;
/// The only version there is.
pub(crate) const VERSION: i32 = 2;
/// What Java writes as database id.
pub(crate) const DBID: i64 = -1;
/// magic, version, dbid.
pub(crate) const HEADER_LEN: usize = 16;
/// The digest algorithm written; lower ones stored a text.
pub(crate) const DIGEST_VERSION: i32 = 2;
/// The string "/", which ends the body and every seal, and so every valid file.
pub(crate) const END_MARK: [u8; 5] = [0, 0, 0, 1, b'/'];

/// First two bytes of a gzip file.
pub(crate) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// First eight bytes of a xerial snappy stream.
pub(crate) const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Written twice behind the magic: version, and lowest compatible version.
pub(crate) const XERIAL_VERSION: i32 = 1;
/// Plain bytes in one snappy block.
pub(crate) const XERIAL_BLOCK: usize = 32 * 1024;

/// The first bytes of the plain stream.
pub(crate) fn header() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN);
    bytes.put_i32(MAGIC);
    bytes.put_i32(VERSION);
    bytes.put_i64(DBID);
    bytes
}

/// A seal over everything before it, whose Adler-32 is `adler`.
pub(crate) fn seal(adler: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + END_MARK.len());
    bytes.put_i64(i64::from(adler));
    bytes.extend_from_slice(&END_MARK);
    bytes
}
