//! Appends each frame of a sender to a log, syncs it once for all that came meanwhile, and then answers the
//! sender and hands the frame to one other. It knows no accounts, numbers, quotas or repeats, keeps no order
//! between runs, and its log only grows.

use crate::frame::{KEPT, frame, take};
use anyhow::Context;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use tokio::sync::mpsc as queue;

/// Answers and frames that are written to one connection at once.
const AT_ONCE: usize = 256;

/// Where what a connection is to be sent waits.
type Out = queue::UnboundedSender<Vec<u8>>;

/// A frame on its way to the disk.
struct Came {
    bytes: Vec<u8>,
    sender: Out,
    taker: Out,
}

pub async fn run(log: &Path) -> anyhow::Result<()> {
    let mut file = File::create(log)?;
    let (say, came) = mpsc::channel::<Came>();
    std::thread::spawn(move || {
        while let Ok(first) = came.recv() {
            let group: Vec<_> = std::iter::once(first).chain(came.try_iter()).collect();
            let mut bytes = Vec::new();
            group.iter().for_each(|one| bytes.extend_from_slice(&one.bytes));
            file.write_all(&bytes).and_then(|()| file.sync_data()).expect("the disk takes a log");
            for Came { bytes, sender, taker } in group {
                // Whoever has gone hears nothing.
                let _ = (sender.send(KEPT.to_vec()), taker.send(bytes));
            }
        }
    });
    let endpoint = crate::listen()?;
    let takers: Arc<Mutex<HashMap<u8, Out>>> = Arc::default();
    while let Some(incoming) = endpoint.accept().await {
        let (takers, say) = (takers.clone(), say.clone());
        tokio::spawn(async move {
            // A connection that breaks is over.
            let _ = serve(incoming, &takers, say).await;
        });
    }
    Ok(())
}

async fn serve(
    incoming: quinn::Incoming,
    takers: &Mutex<HashMap<u8, Out>>,
    say: mpsc::Sender<Came>,
) -> anyhow::Result<()> {
    let connection = incoming.await?;
    let (mut send, mut receive) = connection.accept_bi().await?;
    let mut who = [0; 2];
    receive.read_exact(&mut who).await?;
    let (out, mut waiting) = queue::unbounded_channel::<Vec<u8>>();
    let writing = tokio::spawn(async move {
        let mut some = Vec::new();
        while waiting.recv_many(&mut some, AT_ONCE).await > 0 {
            if send.write_all(&some.concat()).await.is_err() {
                return;
            }
            some.clear();
        }
    });
    out.send(vec![0])?;
    if who[0] == b't' {
        takers.lock().unwrap_or_else(PoisonError::into_inner).insert(who[1], out);
        // What it says of what it got.
        while receive.read_chunk(usize::MAX, true).await?.is_some() {}
        return Ok(());
    }
    let taker = takers.lock().unwrap_or_else(PoisonError::into_inner).get(&who[1]).cloned();
    let taker = taker.context("nobody takes its frames")?;
    while let Ok(bytes) = take(&mut receive).await {
        say.send(Came { bytes: frame(&bytes), sender: out.clone(), taker: taker.clone() })?;
    }
    drop(out);
    writing.await?;
    Ok(())
}
