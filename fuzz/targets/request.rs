//! Request bodies of every operation, and connect requests.
//!
//! Holds: nothing panics; a connect request that is written again reads the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rookeeper_proto::jute::Reader;
use rookeeper_proto::request::{self, ConnectRequest, RequestHeader};

fuzz_target!(|data: &[u8]| {
    connect(data);
    let mut reader = Reader::new(data);
    let Ok(header) = RequestHeader::decode(&mut reader) else {
        return;
    };
    let body = Bytes::copy_from_slice(&data[RequestHeader::LEN..]);
    let decoded = request::decode(header.op, &body);
    // The same answer twice: decoding has no memory.
    assert_eq!(decoded.is_ok(), request::decode(header.op, &body).is_ok());
});

fn connect(data: &[u8]) {
    let Ok(request) = ConnectRequest::decode(data) else {
        return;
    };
    let mut again = Vec::new();
    request.encode(&mut again);
    assert_eq!(ConnectRequest::decode(&again).as_ref(), Ok(&request));
}
