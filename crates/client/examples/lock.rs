//! A distributed lock: whoever comes first has it first, and a holder stops when the lock may not be its own any more.
//!
//! `lock localhost:2181 printer`: waits for the lock, holds it for five seconds, and gives it back. Start several: each has its turn,
//! in the order in which they came, and a release wakes only the next one.
#![allow(clippy::print_stdout, reason = "that is what an example is for")]

use std::time::Duration;

use rookeeper_client::recipes::mutex::Mutex;
use rookeeper_client::{Client, Zxid};
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [hosts, name] = &words[..] else {
        return Err("usage: lock HOSTS NAME".into());
    };
    let client = Client::connect(hosts).await?;
    let mutex = Mutex::new(&client, &format!("/locks/{name}"));
    let guard = match mutex.try_lock().await? {
        Some(guard) => guard,
        None => {
            println!("somebody has it: waiting in line");
            mutex.lock().await?
        }
    };
    tokio::select! {
        () = work(guard.token()) => {
            println!("done");
            guard.release().await?;
        }
        // Others may have it soon: whatever is not finished must not go on. A release would wait for the connection.
        () = guard.lost() => {
            println!("lost");
            drop(guard);
        }
    }
    client.close().await?;
    Ok(())
}

/// What the lock protects should refuse a token that is smaller than one that it has seen.
async fn work(token: Zxid) {
    println!("working, with token {token}");
    sleep(Duration::from_secs(5)).await;
}
