//! Placeholder until the words are ready.
use crate::service::Service;
use rookeeper_node::input::ConnId;
/// Temporary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word;
impl Word {
    pub(crate) fn from_bytes(b: [u8; 4]) -> Option<Self> { (&b == b"srvr").then_some(Self) }
    pub(crate) fn extra_bytes(self) -> usize { 0 }
}
/// Answers a word.
pub(crate) fn answer(_service: &Service, _word: Word, _extra: &[u8], _conn: ConnId) -> Vec<u8> { b"Zookeeper version: 3.9.3\nMode: standalone\n".to_vec() }
