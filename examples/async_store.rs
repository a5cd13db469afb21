//! A program on tokio: bots that wait for tasks without a thread for each.
//!
//!     cargo run --example async_store

use std::error::Error;
use std::time::Duration;

use hivekeep::{AsyncStore, BotId, ClaimOptions, NewTask};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = AsyncStore::open(folder.path().join("hive.redb")).await?;

    let mut bots = Vec::new();
    for number in 1..=100 {
        let (store, bot) = (store.clone(), BotId::new(format!("BOT-{number}"))?);
        bots.push(tokio::spawn(async move { work(&store, &bot).await }));
    }
    store.write(|tx| tx.queue().enqueue(NewTask::new(json!({"do": "build"})))).await?;

    let mut done = 0;
    for bot in bots {
        done += bot.await??;
    }
    println!("100 bots waited, and did {done} task");
    assert_eq!(done, 1);
    // Dropped, it would be closed as well, but nobody would hear of what goes wrong.
    store.close().await?;
    Ok(())
}

/// Does what comes within two seconds; gives how much that was.
async fn work(store: &AsyncStore, bot: &BotId) -> hivekeep::Result<usize> {
    let claims = store.claim_wait(bot, &ClaimOptions::default(), Duration::from_secs(2)).await?;
    for claim in &claims {
        let (id, token) = (claim.id.clone(), claim.token);
        store.write(move |tx| tx.queue().complete(&id, token, json!("done"))).await?;
    }
    Ok(claims.len())
}
