//! `subrosa link CODE RELAY`: this machine becomes a device of an account that has one already.

use crate::chat::link::{Joining, Linked, Step};
use crate::net::visit::Visit;
use crate::start;
use rand_core::OsRng;
use std::path::Path;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::Identity;
use subrosa_shared::session::pair::Code;
use subrosa_shared::store::profile::Presence;
use zeroize::Zeroizing;

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

/// Meets the other device at the relay, on one connection: a second would be a second try of the code.
async fn meet(code: Code, relay: &RelayLink, identity: &Identity, called: &str) -> Result<Linked, String> {
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
            Step::Linked(linked) => return Ok(linked),
            Step::Failed(why) => return Err(why),
        }
    }
}
