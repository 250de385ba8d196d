//! Invitations, as the relay's owner makes, lists and revokes them.

use super::Admin;
use crate::config::Registration;
use subrosa_shared::time::Millis;

/// The most accounts that one invitation opens.
const USES_MAX: u32 = 10_000;

/// The longest that one holds, in seconds: a year.
const SECONDS_MAX: u64 = 365 * 24 * 3600;

impl Admin {
    /// `new USES SECONDS`, `list`, or `revoke ID`; answers in lines.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) async fn invites(&self, words: &[&str]) -> Result<String, String> {
        let wall = crate::server::wall();
        let gone = "the relay does not answer";
        let broken = |error| format!("the store does not take it: {error}");
        match words {
            ["new", uses, seconds] => {
                let uses = uses.parse().ok().filter(|uses| (1..=USES_MAX).contains(uses));
                let uses = uses.ok_or(format!("an invitation is for 1 to {USES_MAX} accounts"))?;
                let seconds = seconds.parse().ok().filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
                let seconds: u64 = seconds.ok_or("an invitation holds for a year at most")?;
                let until = Millis(wall.0 + seconds * 1000);
                let made = self.within(move |core| {
                    let policy = core.relay.config().registration;
                    core.relay.invite(uses, until, wall).map(|invite| (policy, invite))
                });
                let (policy, invite) = made.await.ok_or(gone)?.map_err(broken)?;
                let invite = invite.ok_or("too many invitations hold; revoke some first")?;
                let note = match policy {
                    Registration::Invite => "",
                    Registration::Open => {
                        "this relay is open to everybody: registration = \"invite\" asks for invitations"
                    }
                    Registration::Closed => {
                        "this relay takes nobody: registration = \"invite\" lets those in who have an invitation"
                    }
                };
                Ok(format!("{}\n{note}\n", invite.text().as_str()))
            }
            ["list"] => {
                let listed = self.within(move |core| core.relay.invitations(wall)).await.ok_or(gone)?;
                let line = |(id, invitation): (String, crate::invites::Invitation)| {
                    let left = left(invitation.until.0.saturating_sub(wall.0));
                    format!("{id}  {} left  {left} left\n", invitation.uses)
                };
                Ok(listed.map_err(broken)?.into_iter().map(line).collect())
            }
            ["revoke", id] => {
                let id = id.to_string();
                match self
                    .within(move |core| core.relay.revoke_invite(&id))
                    .await
                    .ok_or(gone)?
                    .map_err(broken)?
                {
                    true => Ok("revoked\n".into()),
                    false => {
                        Err("there is no such invitation; `subrosa-relay invite list` shows them".into())
                    }
                }
            }
            _ => {
                Err("this relay does not know that question: it is of another version than the one who asks"
                    .into())
            }
        }
    }
}

/// So many milliseconds, in hours, and below two of them in minutes.
fn left(millis: u64) -> String {
    let minutes = millis.div_ceil(60_000);
    if minutes < 120 { format!("{minutes} min") } else { format!("{} h", minutes / 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_for_less_than_an_hour_had_no_time_left() {
        let minutes = |minutes: u64| left(minutes * 60_000 - 500);
        assert_eq!([1, 30, 60, 119].map(minutes), ["1 min", "30 min", "60 min", "119 min"]);
        assert_eq!([120, 179, 48 * 60].map(minutes), ["2 h", "2 h", "48 h"]);
    }
}
