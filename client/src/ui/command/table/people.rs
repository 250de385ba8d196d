//! Commands about people, and about who one is.

use crate::ui::command::argument::{expiry, maybe_name, name, none, profile, some, verify};
use crate::ui::command::{Command, Group, Spec};
use crate::ui::files;

/// Those.
pub(super) const SPECS: &[Spec] = &[
    Spec {
        name: "contacts",
        aliases: &["people", "names"],
        args: "",
        help: "Everybody, with what you think of them",
        keys: &[],
        group: Group::People,
        parse: |a| none(a, Command::Contacts),
    },
    Spec {
        name: "profile",
        aliases: &["me"],
        args: "[name TEXT | status TEXT | avatar FILE | avatar none]",
        help: "What your contacts see of you: a name, a line, a picture",
        keys: &[],
        group: Group::People,
        parse: profile,
    },
    Spec {
        name: "whois",
        aliases: &["who", "about"],
        args: "[NAME]",
        help: "What a person says of themselves, and who they are",
        keys: &[],
        group: Group::People,
        parse: |a| Ok(Command::Whois(maybe_name(a)?)),
    },
    Spec {
        name: "verify",
        aliases: &["safety", "fingerprint"],
        args: "[NAME] [DIGITS]",
        help: "Compare the safety number with a person, or with pasted digits",
        keys: &[],
        group: Group::People,
        parse: verify,
    },
    Spec {
        name: "unverify",
        aliases: &[],
        args: "[NAME]",
        help: "Take the mark of a verified person back",
        keys: &[],
        group: Group::People,
        parse: |a| Ok(Command::Unverify(maybe_name(a)?)),
    },
    Spec {
        name: "trust",
        aliases: &["accept-key"],
        args: "",
        help: "Accept this person's changed key",
        keys: &[],
        group: Group::People,
        parse: |a| none(a, Command::Trust),
    },
    Spec {
        name: "distrust",
        aliases: &["keep-key"],
        args: "[NAME]",
        help: "Keep the key that you know of a person, refuse the changed one",
        keys: &[],
        group: Group::People,
        parse: |a| Ok(Command::Distrust(maybe_name(a)?)),
    },
    Spec {
        name: "accept",
        aliases: &["allow"],
        args: "[NAME]",
        help: "Let a stranger in who wrote to you (or take the call)",
        keys: &[],
        group: Group::People,
        parse: |a| Ok(Command::Accept(maybe_name(a)?)),
    },
    Spec {
        name: "petname",
        aliases: &["alias"],
        args: "NAME [NEW]",
        help: "Your own name for a person; without NEW theirs again",
        keys: &[],
        group: Group::People,
        parse: |a| {
            let (who, new) = a.split_once(char::is_whitespace).unwrap_or((a, ""));
            Ok(Command::Petname(name(who)?, some(new.trim())))
        },
    },
    Spec {
        name: "block",
        aliases: &["ignore"],
        args: "[NAME]",
        help: "Let nothing of a person in; they are not told",
        keys: &[],
        group: Group::People,
        parse: |a| Ok(Command::Block(maybe_name(a)?)),
    },
    Spec {
        name: "unblock",
        aliases: &["unignore"],
        args: "[NAME]",
        help: "Let a blocked person in again",
        keys: &[],
        group: Group::People,
        parse: |a| Ok(Command::Unblock(maybe_name(a)?)),
    },
    Spec {
        name: "file",
        aliases: &["attach", "upload"],
        args: "PATH",
        help: "Send a file (or drag it in); a caption may follow a quoted path",
        keys: &[],
        group: Group::Rooms,
        parse: files::attach,
    },
    Spec {
        name: "files",
        aliases: &["transfers", "downloads"],
        args: "[save|view|pause|resume|cancel [NUMBER] [FOLDER]]",
        help: "Files on their way: a list, or one of them saved, halted, taken back",
        keys: &[("F7", "")],
        group: Group::Rooms,
        parse: files::parse,
    },
    Spec {
        name: "expire",
        aliases: &["disappear", "timer"],
        args: "[1h|1d|1w|off]",
        help: "Let new messages here disappear on both ends after they are read",
        keys: &[],
        group: Group::Rooms,
        parse: |a| {
            if a.is_empty() { Ok(Command::Expire(None)) } else { expiry(a).map(Some).map(Command::Expire) }
        },
    },
    Spec {
        name: "retry",
        aliases: &["resend"],
        args: "",
        help: "Send again what the relay refused",
        keys: &[],
        group: Group::Rooms,
        parse: |a| none(a, Command::Retry),
    },
];
