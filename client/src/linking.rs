//! `subrosa link`: this machine becomes a device of an account that has one already. Either shows the
//! code, and it is typed on the other one.

use crate::chat::link::{Joining, LASTS, Linked, Step};
use crate::chat::showing::{Showing, VOID};
use crate::net::visit::Visit;
use crate::start;
use rand_core::OsRng;
use std::path::Path;
use std::time::Duration;
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::Identity;
use subrosa_shared::session::pair::Code;
use subrosa_shared::store::burn;
use subrosa_shared::store::profile::Presence;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// How the two find each other.
pub enum By {
    /// The other device shows this code.
    Typing(Code),
    /// This one shows a code, and says so here.
    Showing(Box<dyn FnMut(Said<'_>) + Send>),
}

/// What is said while this machine shows a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// The code.
    Code(&'a str),
    /// Good for that many minutes more; said once a minute.
    Minutes(u64),
    /// It was typed on a device of this account.
    Account(&'a str),
}

/// A device that was linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Whose it is.
    pub account: String,
    /// The other device said that it is in the account's list. Otherwise its first login shows that.
    pub sure: bool,
}

/// Says in a sentence each, for a screen that waits, what happens while a code is shown.
pub fn in_sentences(to: UnboundedSender<String>) -> Box<dyn FnMut(Said<'_>) + Send> {
    let mut shown = Zeroizing::new(String::new());
    Box::new(move |said| {
        let text = match said {
            Said::Code(code) => {
                *shown = code.to_owned();
                return;
            }
            Said::Minutes(minutes) => format!(
                "On a device of yours, type: /devices link {} (good for one try and {minutes} min more; Esc leaves)",
                shown.as_str()
            ),
            Said::Account(account) => {
                format!("the code was typed on a device of '{account}': linking…")
            }
        };
        // Whoever waited has left.
        let _ = to.send(text);
    })
}

/// Links, and makes the profile, which is on the disk before the account has one device more.
///
/// # Errors
/// A sentence with the next step; then there is no profile, and nobody has put this device into a list.
pub async fn run(
    dir: &Path,
    by: By,
    relay: &RelayLink,
    called: &str,
    passphrase: Zeroizing<String>,
) -> Result<Joined, String> {
    if start::look(dir)? != Presence::Absent {
        return Err(format!(
            "{} holds a profile already: name another one with --profile NEW",
            dir.display()
        ));
    }
    let identity = Identity::generate(&mut OsRng);
    let (mut visit, linked) = match by {
        By::Typing(code) => meet(code, relay, &identity, called).await?,
        By::Showing(mut say) => show(relay, &identity, called, &mut *say).await?,
    };
    start::linked(dir, &linked, relay, &identity, passphrase).await?;
    let kept = linked.kept();
    if let Some(kept) = &kept
        && let Err(why) = says_kept(&mut visit, &linked, kept).await
    {
        // Nobody lists this device: the next try begins anew.
        let _ = burn::burn(dir);
        return Err(why);
    }
    let sure = kept.is_none() || listed(&mut visit, &linked).await;
    Ok(Joined { account: linked.name.to_string(), sure })
}

/// Says that all is on the disk, unless it was over while that was made: then nobody lists this device.
async fn says_kept(visit: &mut Visit, linked: &Linked, kept: &ToRelay) -> Result<(), String> {
    // What has come is read, and nothing is waited for.
    match tokio::time::timeout(Duration::ZERO, visit.whenever()).await {
        Ok(Ok(frame)) if linked.listed(&frame).is_some() => Err(
            "the other device left, or took the code back, while the profile was made: nothing was linked. Begin again with another code"
                .into(),
        ),
        Ok(Err(why)) => Err(why),
        Ok(Ok(_)) | Err(_) => visit.send(kept).await,
    }
}

/// Waits until the other device has listed this one; false when it does not say so.
async fn listed(visit: &mut Visit, linked: &Linked) -> bool {
    let said = async {
        loop {
            let Ok(frame) = visit.receive().await else { return false };
            if let Some(sure) = linked.listed(&frame) {
                return sure;
            }
        }
    };
    tokio::time::timeout(start::LISTS, said).await.unwrap_or(false)
}

/// Meets the other device at the relay, on one connection: a second would be a second try of the code.
async fn meet(
    code: Code,
    relay: &RelayLink,
    identity: &Identity,
    called: &str,
) -> Result<(Visit, Linked), String> {
    let (mut joining, join) = Joining::new(code, &relay.fingerprint, identity, called, &mut OsRng);
    let mut visit = Visit::connect(relay).await?;
    visit.send(&join).await?;
    loop {
        match joining.frame(visit.receive().await?, &mut OsRng) {
            Step::Send(frames) => {
                for frame in frames {
                    visit.send(&frame).await?;
                }
            }
            Step::Keep(linked) => return Ok((visit, linked)),
            Step::Failed(why) => return Err(why),
        }
    }
}

/// Shows a code, and waits until it was typed or is too old.
async fn show(
    relay: &RelayLink,
    identity: &Identity,
    called: &str,
    say: &mut (dyn FnMut(Said<'_>) + Send),
) -> Result<(Visit, Linked), String> {
    let (mut showing, open) = Showing::new(&relay.fingerprint, identity, called, &mut OsRng);
    let mut visit = Visit::connect(relay).await?;
    visit.send(&open).await?;
    let until = Instant::now() + LASTS;
    let (mut shown, mut named) = (false, false);
    loop {
        let frame =
            if showing.waits() { waited(&mut visit, until, say).await? } else { visit.receive().await? };
        match showing.frame(frame, &mut OsRng) {
            Step::Send(frames) => {
                for frame in frames {
                    visit.send(&frame).await?;
                }
            }
            Step::Keep(linked) => return Ok((visit, linked)),
            Step::Failed(why) => return Err(why),
        }
        if let Some(code) = showing.code().filter(|_| !shown) {
            shown = true;
            say(Said::Code(&code));
        }
        if let Some(account) = showing.account().filter(|_| !named) {
            named = true;
            say(Said::Account(account.as_str()));
        }
    }
}

/// The frame that comes once the code was typed; says each minute how long it is still good.
async fn waited(
    visit: &mut Visit,
    until: Instant,
    say: &mut (dyn FnMut(Said<'_>) + Send),
) -> Result<ToDevice, String> {
    let frame = visit.whenever();
    tokio::pin!(frame);
    loop {
        let minutes = until.saturating_duration_since(Instant::now()).as_secs().div_ceil(60);
        if minutes == 0 {
            return Err(VOID.into());
        }
        say(Said::Minutes(minutes));
        let next = until - Duration::from_secs(60 * (minutes - 1));
        tokio::select! {
            frame = &mut frame => return frame,
            () = tokio::time::sleep_until(next) => {}
        }
    }
}
