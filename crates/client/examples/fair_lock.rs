//! A fair lock by hand: whoever wants it draws a number and waits for the number before its own, so that a release wakes one.
//!
//! `fair_lock localhost:2181 printer 5`: five workers come at once, each with a session of its own, and are served in the order of
//! their numbers.
//!
//! It shows how the queue works, and stops at the first error. The recipe `mutex`, which `lock` uses, has the same layout and goes on
//! where a connection breaks between a request and its answer; use that one.
#![allow(clippy::print_stdout, reason = "that is what an example is for")]

use std::time::Duration;

use rookeeper_client::{Client, CreateOptions, Error};
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [hosts, name, workers] = &words[..] else {
        return Err("usage: fair_lock HOSTS NAME WORKERS".into());
    };
    let line = format!("/fair-{name}");
    let client = Client::connect(hosts).await?;
    // A container goes by itself when the last one has left.
    let created = client.create(&line, "", &CreateOptions::container()).await;
    if let Err(error) = created
        && !error.is_node_exists()
    {
        return Err(error.into());
    }
    let mut all = Vec::new();
    for worker in 0..workers.parse()? {
        all.push(tokio::spawn(work(hosts.clone(), line.clone(), worker)));
    }
    for worker in all {
        worker.await??;
    }
    client.close().await?;
    Ok(())
}

/// One worker: draws a number, waits for its turn, works, and leaves.
async fn work(hosts: String, line: String, worker: u32) -> Result<(), Error> {
    let client = Client::connect(&hosts).await?;
    // Ephemeral: a worker that dies leaves the line with its session, after its timeout.
    let options = CreateOptions::ephemeral_sequential();
    let place = client.create(&format!("{line}/n-"), "", &options).await?;
    let (_, number) = place.path.rsplit_once('/').unwrap_or_default();
    println!("worker {worker} drew {number}");
    wait_for_turn(&client, &line, number).await?;
    println!("worker {worker} has the lock");
    sleep(Duration::from_millis(200)).await;
    client.delete(&place.path, -1).await?;
    client.close().await
}

/// Until nobody is ahead. Everybody watches only the one before, who may also have left without its turn: so it looks again.
async fn wait_for_turn(client: &Client, line: &str, number: &str) -> Result<(), Error> {
    loop {
        let names = client.children(line).await?.names;
        let ahead = names
            .iter()
            .map(String::as_str)
            .filter(|name| *name < number);
        let Some(before) = ahead.max() else {
            return Ok(());
        };
        let (stat, gone) = client.exists_watched(&format!("{line}/{before}")).await?;
        if stat.is_some() {
            gone.await?;
        }
    }
}
