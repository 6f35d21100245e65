//! Requests for paths of very many components, compared with paths of two.

use std::io;
use std::time::Duration;

use rookeeper_proto::code::OpCode;
use serde_json::{Value, json};

use super::ratio;
use super::siblings::come_and_go;
use crate::bench::setup::{create_all, room};
use crate::bench::traffic::Traffic;
use crate::bench::wire::{self, Connection};
use crate::bench::work::ROOT;

/// Connections, and requests of each outstanding.
const CONNECTIONS: usize = 50;
const DEPTH: usize = 16;
/// What a znode holds.
const DATA: &[u8] = &[b'x'; 100];
/// Components of the path of a room.
const ROOM_DEPTH: usize = 2;

pub(super) async fn run(
    server: &str,
    pid: Option<u32>,
    depth: usize,
    seconds: u64,
) -> io::Result<Value> {
    let mut connection = Connection::open(server).await?;
    let mut parent = room(&mut connection, "deep").await?;
    for _ in ROOM_DEPTH + 1..depth {
        parent.push_str("/further");
        create_all(&mut connection, [parent.clone()].iter(), b"").await?;
    }
    let traffic = Traffic {
        server,
        pid,
        connections: CONNECTIONS,
        depth: DEPTH,
        lasting: Duration::from_secs(seconds),
        echo: false,
    };
    let shallow = below(&traffic, &mut connection, ROOT).await?;
    let deep = below(&traffic, &mut connection, &parent).await?;
    let ratio = |work: &str| {
        let field = "operations_per_second";
        ratio(deep.get(work)?, shallow.get(work)?, field)
    };
    Ok(json!({
        "work": format!("paths of {depth} components"),
        "get_ratio": ratio("get"),
        "set_ratio": ratio("set"),
        "create_ratio": ratio("create"),
        "shallow": shallow,
        "deep": deep,
    }))
}

/// get and set of a znode below `parent`, and creates and deletes beside it.
async fn below(
    traffic: &Traffic<'_>,
    connection: &mut Connection,
    parent: &str,
) -> io::Result<Value> {
    let leaf = format!("{parent}/leaf");
    create_all(connection, [leaf.clone()].iter(), DATA).await?;
    let get = |_| {
        let leaf = leaf.clone();
        move |xid, out: &mut Vec<u8>| wire::read(out, xid, OpCode::GetData, &leaf, false)
    };
    let set = |_| {
        let leaf = leaf.clone();
        move |xid, out: &mut Vec<u8>| wire::set(out, xid, &leaf, DATA)
    };
    Ok(json!({
        "get": traffic.run("get", get).await?,
        "set": traffic.run("set", set).await?,
        "create": come_and_go(traffic, "create and delete", parent).await?,
    }))
}
