//! `subrosa link CODE RELAY`: this machine becomes a device of an account that has one already.

use crate::chat::link::{Joining, LASTS, Linked, Step};
use crate::event::LinkEvent;
use crate::net::link::Link;
use crate::start;
use rand_core::OsRng;
use std::path::Path;
use std::sync::Arc;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::Identity;
use subrosa_shared::session::pair::Code;
use subrosa_shared::store::profile::Presence;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// Frames of a rendezvous that wait to be read.
const QUEUE: usize = 64;

/// Links, and makes the profile; says whose device this is now.
///
/// # Errors
/// A sentence with the next step.
pub async fn run(
    dir: &Path,
    code: &str,
    relay: &RelayLink,
    called: &str,
    passphrase: Zeroizing<String>,
) -> Result<String, String> {
    if start::look(dir)? != Presence::Absent {
        return Err(format!(
            "{} holds a profile already: name another one with --profile NEW",
            dir.display()
        ));
    }
    let code = Code::parse(code).map_err(|why| why.to_string())?;
    let identity = Identity::generate(&mut OsRng);
    let linked = meet(code, relay, &identity, called).await?;
    start::linked(dir, &linked, relay, &identity, passphrase).await?;
    Ok(linked.name.to_string())
}

/// Meets the other device at the relay.
async fn meet(code: Code, relay: &RelayLink, identity: &Identity, called: &str) -> Result<Linked, String> {
    let (events, mut inbox) = mpsc::channel(QUEUE);
    let link = Link::start(relay.clone(), events, Arc::new(|_| {}));
    let (mut joining, join) = Joining::new(code, &relay.fingerprint, identity, called, &mut OsRng);
    let mut join = Some(join);
    let talk = async {
        while let Some(event) = inbox.recv().await {
            let frame = match event {
                LinkEvent::Connected { .. } => {
                    // A second connection would be a second try of the same code.
                    match join.take() {
                        Some(join) => link.send(join),
                        None => return Err(String::from("the connection broke: have another code shown")),
                    }
                    continue;
                }
                LinkEvent::Frame(frame) => frame,
                LinkEvent::Lost { why } | LinkEvent::Refused { why } => return Err(why),
            };
            match joining.frame(frame, &mut OsRng) {
                Step::Send(frames) => frames.into_iter().for_each(|frame| link.send(frame)),
                Step::Linked(linked) => return Ok(linked),
                Step::Failed(why) => return Err(why),
            }
        }
        Err("the connection broke: have another code shown".into())
    };
    let met = tokio::time::timeout(LASTS, talk).await;
    link.close().await;
    met.unwrap_or_else(|_| Err("nobody answered within ten minutes: have another code shown".into()))
}
