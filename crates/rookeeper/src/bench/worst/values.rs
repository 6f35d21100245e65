//! Values as large as a request may be: set, then get.

use std::io;
use std::time::Duration;

use rookeeper_proto::code::OpCode;
use serde_json::{Value, json};

use crate::bench::meter::round;
use crate::bench::setup::{create_all, room};
use crate::bench::traffic::Traffic;
use crate::bench::wire::{self, Connection};

/// Connections, each with a znode of its own.
const CONNECTIONS: usize = 4;
/// Requests of each outstanding.
const DEPTH: usize = 2;

pub(super) async fn run(
    server: &str,
    pid: Option<u32>,
    size: usize,
    seconds: u64,
) -> io::Result<Value> {
    let mut connection = Connection::open(server).await?;
    let parent = room(&mut connection, "large").await?;
    let path = |number| format!("{parent}/value-{number}");
    let paths: Vec<String> = (0..CONNECTIONS).map(path).collect();
    let data = vec![b'x'; size];
    create_all(&mut connection, paths.iter(), &data).await?;
    let traffic = Traffic {
        server,
        pid,
        connections: CONNECTIONS,
        depth: DEPTH,
        lasting: Duration::from_secs(seconds),
        echo: false,
    };
    let set = |number| {
        let (path, data) = (path(number), data.clone());
        move |xid, out: &mut Vec<u8>| wire::set(out, xid, &path, &data)
    };
    let get = |number| {
        let path = path(number);
        move |xid, out: &mut Vec<u8>| wire::read(out, xid, OpCode::GetData, &path, false)
    };
    let set = traffic.run("set", set).await?;
    let get = traffic.run("get", get).await?;
    let megabytes = |report: &Value| {
        let rate = report.get("operations_per_second").and_then(Value::as_f64);
        rate.map(|rate| round(rate * size as f64 / 1e6))
    };
    Ok(json!({
        "work": format!("values of {size} B"),
        "set_megabytes_per_second": megabytes(&set),
        "get_megabytes_per_second": megabytes(&get),
        "set": set,
        "get": get,
    }))
}
