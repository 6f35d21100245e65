//! Numbers that nobody else gets.
//!
//! `unique_ids localhost:2181 5`: takes so many, one by one from the server, and as many from blocks of a thousand.
#![allow(clippy::print_stdout, reason = "that is what an example is for")]

use rookeeper_client::Client;
use rookeeper_client::recipes::unique_ids::{IdBlocks, SequenceIds};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [hosts, count] = &words[..] else {
        return Err("usage: unique_ids HOSTS COUNT".into());
    };
    let client = Client::connect(hosts).await?;
    // A write each, without gaps as long as nothing breaks.
    let orders = SequenceIds::cleaned(&client, "/orders");
    // A write for a thousand; what a program does not use is lost.
    let mut events = IdBlocks::new(&client, "/events", 1000);
    for _ in 0..count.parse()? {
        println!(
            "order {} event {}",
            orders.next().await?,
            events.next().await?
        );
    }
    client.close().await?;
    Ok(())
}
