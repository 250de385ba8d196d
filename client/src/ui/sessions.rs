//! The list of `/sessions`: who is connected to this account, and from where.

use super::dialog::Dialog;
use super::text;
use crate::chat::Chat;
use subrosa_shared::time::{Millis, Now};

/// The list that the relay gave last.
pub fn dialog(chat: &Chat, now: Now) -> Dialog {
    let rows = chat.sessions.iter().zip(1..).map(|(session, number)| {
        let who = match session.device {
            Some(device) => format!("device {}", &device.to_string()[..8]),
            None => "signed in by password".to_owned(),
        };
        let own = if session.own { "  (this one)" } else { "" };
        let since = ago(now.wall.since(Millis(session.since)).as_secs());
        format!("{number:>3}  {who:<24} since {since:<12} from {}{own}", text::line(&session.network))
    });
    let rows: Vec<String> = rows.collect();
    let body = if rows.is_empty() {
        "Nobody is connected to this account.".to_owned()
    } else {
        format!(
            "{}\n\n/sessions NUMBER ends one. A device that is ended can come back; one that signed in by \
             password cannot without the password: /password changes it.",
            rows.join("\n")
        )
    };
    Dialog::text("Connections of this account", body)
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => "now".into(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
