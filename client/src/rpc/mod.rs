//! `subrosa rpc`: the client without a screen, for scripts and bots, as JSON-RPC 2.0.
//!
//! One message a line, on standard input and output; nothing else is written to standard output.
//! The same commands and events as in the terminal, the same profile, the same encryption.
//!
//! # Lines
//! - Requests follow [JSON-RPC 2.0](https://www.jsonrpc.org/specification); parameters go by name.
//!   Batches have at most 256 requests. A line has at most 1 MiB and is UTF-8; a longer one is
//!   answered with an error, and reading goes on behind its end. Empty lines are skipped.
//! - Requests begin in the order of their lines. An answer comes when there is one, so answers may
//!   come in another order: the `id` says which. `register` and `unlock` hold back what follows them
//!   until they are answered, so all lines of a script can be written at once.
//! - A reader that does not keep up: when 64 answers wait, no further request is begun; no answer is
//!   ever dropped. When 1,024 events wait, further events are dropped, and a `dropped` notification
//!   stands in their place and says how many. `history` has what was missed.
//! - The end of the input is the wish to leave: what was asked is answered, and the relay has ten
//!   seconds to take what is to be sent; what it did not take stays in the profile and goes out
//!   next time. `quit` gives as long to messages that were not taken yet, and two seconds to all
//!   else; SIGTERM and SIGINT give one.
//! - Passphrases are in no log and in no answer. Text of other people is given as it was written,
//!   with JSON's escapes for everything that a terminal could obey: make it harmless before showing
//!   it unescaped.
//!
//! # Methods
//! `?` marks what may be left out. Names are account names, times are milliseconds since 1970, ids
//! and devices are 32 hexadecimal digits. `place` stands for a conversation: a person's name, or `#`
//! and the name or number of a room of several.
//!
//! | method | parameters | result |
//! |---|---|---|
//! | `version` | | `name`, `version` |
//! | `register` | `name`, `passphrase`, `relay` (a link, or `"here"` to host one), `wait`? (10) | `name`, `device`, `relay`, `online` |
//! | `login` | `name`, `password`, `passphrase` (of the new profile), `relay` (a link), `wait`? (10) | the same: an account with a login password, in a profile of its own |
//! | `unlock` | `passphrase`, `wait`? (10) | the same |
//! | `lock` | | `{}`: keys, conversations and the connection are gone from memory until `unlock`; what is asked meanwhile is answered with -32001 |
//! | `burn` | `name` (the own account), `sure`: true | `{}`: the profile is destroyed, for good |
//! | `status` | | `profile` (`absent`, `locked` or `open`); when open also `name`, `device`, `relay`, `hosting`, `link` (`connecting`, `online`, `offline`, `refused`), `why`, `waiting` (envelopes that the relay has not taken), `unread`, `dropped` (envelopes that did not open), `stuck` (why nothing can be written, or null), `call` (`with`, `state`; or null) |
//! | `contacts` | | `contacts`: a list of people |
//! | `add` | `name` | a person: `name`, `online`, `unread`, `lines`, `muted`, `rings` (`all`, `mentions`, `none`), `mentions` (unread lines that call you), `petname`, `standing` (`contact`, `request`, `blocked`), `verified`, `key` (`unknown`, `pinned`, `changed`), `device`, `new_device`; a stranger who waited is accepted |
//! | `send` | `to` (a place; a room as `say`), `text` (at most 16 KiB), `reply`? (the id of a message there that it answers); `@name` calls somebody | `id`, once the message is on this disk; `mark` tells how far it gets; a stranger who waited is accepted; who is not known yet is looked up first, as by `add` |
//! | `accept` | `with` | `{}`: a stranger becomes a contact, and sees from now on what contacts see |
//! | `block`, `unblock` | `with` | `{}`: nothing of theirs comes in, and they are not told |
//! | `petname` | `with`, `petname`? | `petname`: the own name for them, or null |
//! | `verify` | `with`, `given`? (60 digits, or a code of the other end) | `number`, `code`, `same` (null without `given`), `verified`; what is the same is marked as verified, to what is not nothing more is sent |
//! | `profile` | `with`? | `of`, `name`, `status`, `avatar` (whether there is one): what they, or you, say of themselves, empty for nothing; of others also `shown` (the name that the screen shows) and `like` (the account or `#room` that they would be taken for, or null) |
//! | `set_profile` | `name`?, `status`?, `avatar`? (a file) | as `profile`; an empty text takes it back; an avatar is read meanwhile, and `notice` says how that went |
//! | `set_password` | `passphrase`, `password` | `{}`; a `notice` tells when it is set, or why not |
//! | `sessions` | | `sessions`: connections of the account, newest first: `device` (null for one that a password opened), `own`, `since`, `network` |
//! | `end_session` | `number` (in that list, from 1) | `{}` |
//! | `devices` | | `devices`: the account's, each with `device`, `name` (empty for none), `this`, `online`, `added`, `seen` (null when not known); `history` (`done`, `total`; or null): on its way from another one |
//! | `link_device` | `code`? (that a new machine shows) | without: `code`, `command` (to type on the new machine), `seconds` (it is good for, and for one try); a `notice` tells how it went. With: `device`, `name` of the machine, which is a device of the account now |
//! | `name_device` | `name` | `name`: what this device is called |
//! | `remove_device` | `device`, `sure`: true | `{}`: nothing goes to it from now on |
//! | `history` | `with` (a place; a room as `room_history`), `limit`? (50, at most 500), `before`? (a `pos`) | `lines`, oldest first: as in `message`, with `pos` and `state`; `more`: there are older ones |
//! | `edit` | `with` (a place, as in the next ones), `id`, `text` | `{}`: an own message in other words |
//! | `delete` | `with`, `id` | `{}`: the words of an own message are taken back, everywhere |
//! | `react` | `with`, `id`, `sign` (one character, or `+1`, `heart`, …), `on`? (true) | `{}` |
//! | `pin` | `with`, `id`, `on`? (true) | `{}` |
//! | `pins` | `with` | `pins`: lines as in `history`, oldest first |
//! | `forward` | `with`, `id`, `to` (a place that is known: `add` begins one) | `{}`: its words go there; `message` has the new id; where `send` may not write, neither does this |
//! | `mute` | `with` (a place), `rings` (`all`, `mentions`, `none`), `for`? (`30s` to `4w`) | `rings`, `until` (or null): which lines ring |
//! | `search` | `query` (as behind `/search`: words, `"as a whole"`, `from:`, `in:`, `before:`, `after:`, `on:`), `limit`? (50, at most 500), `before`? (a `next`) | `lines`, newest first: as in `message`, with `pos` and in rooms `by`; `next`: where to go on, null at the end (a page can have fewer than `limit` and go on); `indexing` (`done`, `total`; null when all is indexed) |
//! | `send_file` | `to` (as for `send`), `path` (quotes and backslashes are its own), `caption`? (at most 1 KiB) | `id`, `name`, `size`, `sha256`, once it was read; `file` tells how far it gets, and `message` that it is in the conversation |
//! | `files` | | `files`: newest first, as in `file`, with `rate` (bytes a second, or null) |
//! | `save_file` | `id`, `folder`? | `state`: a file that was offered is fetched, one that failed once more |
//! | `pause_file`, `resume_file` | `id` | `state` |
//! | `cancel_file` | `id` | `state`: taken back from the relay, or not wanted |
//! | `mark_read` | `with` (a place) | `unread` |
//! | `rooms` | | `rooms`: those of several people, each with `room` (its number, the same for all its members), `name`, `topic`, `people` (how many), `unread`, `lines`, `muted`, `standing` (`member`, `invited`, `out`), `by` (who invited you, or null), `pending` (changes of yours that the relay has not taken) |
//! | `room` | `room` (number or name) | the same, and `members` (`name`, `role`: `member`, `moderator`, `owner`, `silenced`), `banned`, `policy` (`invites`: the least role that may, `history`, `limit`), `deleted`, `password` (whether links into it ask for one), `links` (as `room_link`; empty for who may not invite) |
//! | `new_room` | `name`, `people`? | as `room` |
//! | `say` | `room`, `text`, `reply`? | `id`; `message` tells when it is on this disk, `mark` how far it gets: `delivered` and `read` mean by all |
//! | `read_room` | `room` | `unread` |
//! | `room_history` | `room`, `limit`?, `before`? | as `history`; lines have `by`, own ones `delivered`, `read` and `of` (how many members) |
//! | `accept_room`, `decline_room` | `room` | `{}`: an invitation |
//! | `change_room` | `room`, `what`: `invite`, `kick`, `ban`, `unban`, `unsilence`, `hand_over` (each `with`), `silence` (`with`, `seconds`?), `role` (`with`, `role`), `rename` (`name`), `topic` (`topic`), `policy` (`invites`?, `history`?, `limit`?), `leave`, `delete` | `pending`; `room` tells when it is done |
//! | `room_link` | `room`, `once`? (for one person), `for`? (`30s` to `4w`), `new`?: true (all others are taken back, this one has their terms) | `link`, `by`, `once`, `until` (or null), `password` (whether it asks for one) |
//! | `room_unlink` | `room` | `links`: how many were taken back |
//! | `room_password` | `room`, `password` (null takes it away) | `{}`; it is stretched for a moment, then `room` has it; without a link one is made |
//! | `join_room` | `link`, `password`? (needed when the link says so; an empty one is none) | `room`: its number; `room` and `request` do not come before a member lets you in, `notice` says how it goes |
//! | `subscribe` | `events`? (all) | `events`: what is subscribed now |
//! | `unsubscribe` | `events`? (all) | `events` |
//! | `call` | `to`, `source`? | `call`: its id; the `call` notification tells how it goes on |
//! | `answer` | `source`? | `{}` |
//! | `decline` | `with`? | `{}`: the call, or with `with` that stranger's request, which is forgotten |
//! | `hangup` | | `{}` |
//! | `camera` | `on` | `on` |
//! | `sink` | `path` (or null), `format`? (`"y4m"`), `fps`? | `pictures`: how many the sink before got |
//! | `call_stats` | | `with`, `state`, `seconds`, `source`, `camera`, `their_camera`, `fps`, `kbps`, `loss` (0 to 1), `sink` (`path`, `pictures`, `dropped`; or null) |
//! | `trust` | `with`, `device`? (only if it is that one) | `device`; without a changed key only the one that was refused last, by its `device` |
//! | `distrust` | `with`, `device`? (only if it is that one) | `device`: its key is refused, the pinned one stays |
//! | `expire` | `with` (a place), `after` (`30s` to `4w`, or `off`) | `seconds`: new messages there disappear so long after they were read, on both ends; in `history` their `text` is then empty |
//! | `export` | `with`? (a place; all), `path` (must not exist; `.txt`, `.md` or `.json`) | `note` |
//! | `export_keys` | `path` (must not exist), `passphrase` (of the file) | `note`: keys and contacts are in it, sealed; `subrosa import` takes it |
//! | `command` | `line`: a `/command` as in the terminal, where it makes sense without one | `{}`, or as the method of that name |
//! | `quit` | | `{}`, the last line |
//!
//! Where the relay has moved, `subrosa --relay LINK rpc` lets `unlock` go on at its link of now.
//!
//! `register` and `unlock` wait up to `wait` seconds for the login, and until the relay has taken the keys
//! that others need to write first; `online` says whether the login came, and if not it is tried on. When the relay refuses the account (error -32005), the profile is made and
//! open all the same; if the name was taken, `command` with `/name OTHER` takes another. A `source` is `test`, `test:N`, `camera`, a y4m, GIF or image file, or a
//! named pipe with y4m. A sink gets every picture that is received and decoded, as y4m: a new file,
//! or a named pipe; the header's rate is `fps`, pictures are written as they come, those that the
//! file or pipe is too slow for are left out.
//!
//! # Notifications
//! After `subscribe`, each once what it tells is on this disk:
//!
//! | method | parameters |
//! |---|---|
//! | `message` | `with` (in a room of several `room`, `name` and `by` instead), `id`, `author` (`me`, `them`; `note` and `alarm` are subrosa's own lines), `at`, `text`; only where it is so: `reply` (an id), `forwarded`, `mentions` (names), `told_by` (said before this account came: whose word it is), and in `history` and `search` also `edited`, `deleted` (by whom), `pinned`, `reactions` (each `by`, `sign`) |
//! | `request` | `with` (or `room`, `name`, `by`: an invitation): a stranger wrote first; until `accept` they hear nothing, neither marks nor presence, and their calls do not ring |
//! | `profile` | `with`, `name`, `status`, `avatar`: what a contact says of themselves from now on |
//! | `room` | `room`, `name`, `people`, `open`: who is in has changed, or something else about it |
//! | `change` | `with`, `id`, `by`, `change` (`edit` with `text`; `delete`; `react` with `sign` and `on`; `pin` with `on`): something was done to a line |
//! | `mark` | `with` (or `room`, `name`), `id`, `state` (`sending`, `waiting` with `why`, `sent`: on the relay's disk, `delivered`: on theirs, `read`) |
//! | `presence` | `with`, `online` |
//! | `typing` | `with` (or `room`, `name`, `by`), `on` |
//! | `file` | `with`, `id` (of its message), `up` (sent from here), `name`, `size`, `done` (bytes), `state` (`offered`, `waiting`, `uploading`, `downloading`, `paused`, `done`, `failed`, `cancelled`), `path` (where it was saved, or null), `why` |
//! | `call` | `with`, `state` (`calling`, `ringing`, `active`, `ended`), `note` (how it ended) |
//! | `link` | `online`, `why` |
//! | `notice` | `text`, `error` |
//! | `dropped` | `count`: events that are missing here (comes unasked) |
//!
//! # Errors
//! | code | means |
//! |---|---|
//! | -32700, -32600, -32601, -32602 | not JSON or too long; no request; no such method; wrong parameters |
//! | -32001 | the profile is not open |
//! | -32002 | the profile cannot be made, opened or used |
//! | -32003 | wrong passphrase, or wrong code |
//! | -32004 | no connection to the relay now |
//! | -32005 | the relay refuses this account, or its key or version is not the right one |
//! | -32006 | nobody has that name at this relay |
//! | -32007 | there is no conversation with that person |
//! | -32008 | there is no such call |
//! | -32009 | there is a call already |
//! | -32010 | that person's key has changed, or the safety numbers differed (`trust`, `distrust`: neither) |
//! | -32011 | a file could not be written |
//! | -32012 | a profile is open, or there is one already |
//! | -32013 | the relay did not answer in time |
//! | -32014 | the store could not be read or written |
//! | -32015 | that person is blocked or no contact yet; or there is nothing to accept, decline or unblock |
//! | -32016 | there is no such file, or that cannot be done with it |
//! | -32020 | there is no such message in that conversation |
//! | -32021 | that may not be done to that message; the message says why |
//! | -32022 | you are in no such room |
//! | -32023 | the room's rules do not allow that |
//!
//! # A session
//! Two people, each with a `subrosa rpc` of their own. `ada>` is written to Ada's standard input,
//! `ada<` comes from her standard output. A `$word` stands for something that differs each time;
//! `"…"` stands for anything.
//!
//! ```text
//! ada> {"jsonrpc":"2.0","id":1,"method":"subscribe"}
//! ada< {"jsonrpc":"2.0","id":1,"result":{"events":["message","request","profile","room","mark","change","presence","typing","file","call","link","notice"]}}
//! ada> {"jsonrpc":"2.0","id":2,"method":"register","params":{"name":"ada","passphrase":"correct horse","relay":"$relay"}}
//! ada< {"jsonrpc":"2.0","id":2,"result":{"name":"ada","device":"$ada","relay":"$relay","online":true}}
//! ada< {"jsonrpc":"2.0","method":"link","params":{"online":true,"why":""}}
//! ben> {"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"events":["message","request","presence","call"]}}
//! ben< {"jsonrpc":"2.0","id":1,"result":{"events":["message","request","presence","call"]}}
//! ben> {"jsonrpc":"2.0","id":2,"method":"register","params":{"name":"ben","passphrase":"battery staple","relay":"$relay"}}
//! ben< {"jsonrpc":"2.0","id":2,"result":{"name":"ben","device":"$ben","relay":"$relay","online":true}}
//! ada> {"jsonrpc":"2.0","id":3,"method":"add","params":{"name":"bem"}}
//! ada< {"jsonrpc":"2.0","id":3,"error":{"code":-32006,"message":"nobody is called 'bem' at this relay: check the spelling with them"}}
//! ada> {"jsonrpc":"2.0","id":4,"method":"send","params":{"to":"ben","text":"are you there?"}}
//! ada< {"jsonrpc":"2.0","method":"message","params":{"with":"ben","id":"$first","author":"me","at":"…","text":"are you there?"}}
//! ada< {"jsonrpc":"2.0","id":4,"result":{"id":"$first"}}
//! ada< {"jsonrpc":"2.0","method":"mark","params":{"with":"ben","id":"$first","state":"sent"}}
//! ben< {"jsonrpc":"2.0","method":"request","params":{"with":"ada"}}
//! ben< {"jsonrpc":"2.0","method":"message","params":{"with":"ada","id":"$first","author":"them","at":"…","text":"are you there?"}}
//! ben> {"jsonrpc":"2.0","id":20,"method":"accept","params":{"with":"ada"}}
//! ben< {"jsonrpc":"2.0","id":20,"result":{}}
//! ada< {"jsonrpc":"2.0","method":"mark","params":{"with":"ben","id":"$first","state":"delivered"}}
//! ben< {"jsonrpc":"2.0","method":"presence","params":{"with":"ada","online":true}}
//! ben> {"jsonrpc":"2.0","id":3,"method":"mark_read","params":{"with":"ada"}}
//! ben< {"jsonrpc":"2.0","id":3,"result":{"unread":0}}
//! ada< {"jsonrpc":"2.0","method":"mark","params":{"with":"ben","id":"$first","state":"read"}}
//! ben> {"jsonrpc":"2.0","id":4,"method":"history","params":{"with":"ada","limit":1}}
//! ben< {"jsonrpc":"2.0","id":4,"result":{"lines":[{"with":"ada","id":"$first","author":"them","at":"…","text":"are you there?","pos":0,"state":"received"}],"more":false}}
//! ben> {"jsonrpc":"2.0","id":22,"method":"react","params":{"with":"ada","id":"$first","sign":"+1"}}
//! ben< {"jsonrpc":"2.0","id":22,"result":{}}
//! ada< {"jsonrpc":"2.0","method":"change","params":{"with":"ben","id":"$first","by":"ben","change":"react","sign":"👍","on":true}}
//! ben> {"jsonrpc":"2.0","id":23,"method":"edit","params":{"with":"ada","id":"$first","text":"no"}}
//! ben< {"jsonrpc":"2.0","id":23,"error":{"code":-32021,"message":"only your own messages can be edited: /reply answers this one"}}
//! ada> {"jsonrpc":"2.0","id":20,"method":"verify","params":{"with":"ben"}}
//! ada< {"jsonrpc":"2.0","id":20,"result":{"number":"$number","code":"$code","same":null,"verified":false}}
//! ben> {"jsonrpc":"2.0","id":21,"method":"verify","params":{"with":"ada","given":"$code"}}
//! ben< {"jsonrpc":"2.0","id":21,"result":{"number":"$number","code":"…","same":true,"verified":true}}
//! ben> {"jsonrpc":"2.0","id":5,"method":"contacts"}
//! ben< {"jsonrpc":"2.0","id":5,"result":{"contacts":[{"name":"ada","online":true,"unread":0,"lines":2,"muted":false,"rings":"all","mentions":0,"petname":null,"standing":"contact","verified":true,"key":"pinned","device":"$ada","new_device":null}]}}
//! ada> {"jsonrpc":"2.0","id":30,"method":"new_room","params":{"name":"tea"}}
//! ada< {"jsonrpc":"2.0","id":30,"result":{"room":"$tea","name":"#tea","topic":"","people":1,"unread":0,"lines":1,"muted":false,"standing":"member","by":null,"pending":0,"members":[{"name":"ada","role":"owner","silenced":false}],"banned":[],"policy":{"invites":"moderator","history":50,"limit":100},"deleted":false,"password":false,"links":[]}}
//! ada> {"jsonrpc":"2.0","id":31,"method":"room_link","params":{"room":"tea","once":true}}
//! ada< {"jsonrpc":"2.0","id":31,"result":{"link":"$link","by":"ada","once":true,"until":null,"password":false}}
//! ada> {"jsonrpc":"2.0","id":32,"method":"room_password","params":{"room":"tea","password":"gravel teapot nineteen"}}
//! ada< {"jsonrpc":"2.0","id":32,"result":{}}
//! ada< {"jsonrpc":"2.0","method":"message","params":{"room":"$tea","name":"#tea","id":"…","author":"note","at":"…","text":"you set a password: who comes by a link is asked for it"}}
//! ben> {"jsonrpc":"2.0","id":30,"method":"subscribe","params":{"events":["room","notice"]}}
//! ben< {"jsonrpc":"2.0","id":30,"result":{"events":["message","request","room","presence","call","notice"]}}
//! ben> {"jsonrpc":"2.0","id":31,"method":"join_room","params":{"link":"$link","password":"gravel teapot twenty"}}
//! ben< {"jsonrpc":"2.0","id":31,"result":{"room":"$tea"}}
//! ben< {"jsonrpc":"2.0","method":"notice","params":{"text":"that is not the room's password: 9 guesses are left within the hour, for all who try. /join LINK asks for it again","error":true}}
//! ben> {"jsonrpc":"2.0","id":32,"method":"join_room","params":{"link":"$link","password":"gravel teapot nineteen"}}
//! ben< {"jsonrpc":"2.0","id":32,"result":{"room":"$tea"}}
//! ada< {"jsonrpc":"2.0","method":"room","params":{"room":"$tea","name":"#tea","people":2,"open":true}}
//! ben> {"jsonrpc":"2.0","id":6,"method":"hangup"}
//! ben< {"jsonrpc":"2.0","id":6,"error":{"code":-32008,"message":"there is no such call"}}
//! ada> {"jsonrpc":"2.0","id":5,"method":"sink","params":{"path":"$ada_pipe","format":"y4m"}}
//! ada< {"jsonrpc":"2.0","id":5,"result":{"pictures":0}}
//! ada> {"jsonrpc":"2.0","id":6,"method":"call","params":{"to":"ben","source":"test"}}
//! ada< {"jsonrpc":"2.0","id":6,"result":{"call":"$call"}}
//! ben< {"jsonrpc":"2.0","method":"call","params":{"with":"ada","state":"ringing","note":""}}
//! ben> {"jsonrpc":"2.0","id":7,"method":"answer","params":{"source":"test:7"}}
//! ben< {"jsonrpc":"2.0","id":7,"result":{}}
//! ben< {"jsonrpc":"2.0","method":"call","params":{"with":"ada","state":"active","note":""}}
//! ada< {"jsonrpc":"2.0","method":"call","params":{"with":"ben","state":"active","note":""}}
//! ada> {"jsonrpc":"2.0","id":7,"method":"hangup"}
//! ada< {"jsonrpc":"2.0","id":7,"result":{}}
//! ben< {"jsonrpc":"2.0","method":"call","params":{"with":"ada","state":"ended","note":"…"}}
//! ben> {"jsonrpc":"2.0","id":8,"method":"export","params":{"with":"ada","path":"$ben_export"}}
//! ben< {"jsonrpc":"2.0","id":8,"result":{"note":"…"}}
//! ben> [{"jsonrpc":"2.0","id":9,"method":"version"},{"jsonrpc":"2.0","method":"unsubscribe"}]
//! ben< [{"jsonrpc":"2.0","id":9,"result":{"name":"subrosa","version":"…"}}]
//! ben> {"jsonrpc":"2.0","id":10,"method":"quit"}
//! ben< {"jsonrpc":"2.0","id":10,"result":{}}
//! ada< {"jsonrpc":"2.0","method":"presence","params":{"with":"ben","online":false}}
//! ada> {"jsonrpc":"2.0","id":8,"method":"quit"}
//! ada< {"jsonrpc":"2.0","id":8,"result":{}}
//! ```

mod devices;
pub mod doors;
pub mod event;
mod files;
mod lines;
pub mod method;
pub mod output;
pub mod place;
mod profile;
pub mod rooms;
pub mod search;
mod serve;
mod sink;
pub mod wire;

use crate::config::Config;
use crate::stop::Stop;
use std::io::BufReader;
use std::path::Path;
use subrosa_shared::protocol::link::RelayLink;
use tokio::sync::mpsc;

/// The profile is not open.
pub const LOCKED: i64 = -32001;
/// The profile cannot be made, opened or used.
pub const PROFILE: i64 = -32002;
/// Wrong passphrase.
pub const PASSPHRASE: i64 = -32003;
/// No connection to the relay now.
pub const OFFLINE: i64 = -32004;
/// The relay refuses this account, or is not the right one.
pub const REFUSED: i64 = -32005;
/// There is no such file, or that cannot be done with it.
pub const NO_FILE: i64 = -32016;
/// Nobody has that name at this relay.
pub const NO_ACCOUNT: i64 = -32006;
/// There is no conversation with that person.
pub const NO_CONVERSATION: i64 = -32007;
/// There is no such call.
pub const NO_CALL: i64 = -32008;
/// There is a call already.
pub const BUSY: i64 = -32009;
/// That person's key has changed, or has not.
pub const KEY_CHANGED: i64 = -32010;
/// A file could not be written.
pub const FILE: i64 = -32011;
/// A profile is open, or there is one already.
pub const ALREADY_OPEN: i64 = -32012;
/// The relay did not answer in time.
pub const TIMEOUT: i64 = -32013;
/// The store could not be read or written.
pub const STORE: i64 = -32014;

/// That person is blocked or no contact, or there is nothing to decide about them.
pub const UNDECIDED: i64 = -32015;
/// There is no such message in that conversation.
pub const NO_MESSAGE: i64 = -32020;
/// That may not be done to that message.
pub const NOT_ALLOWED: i64 = -32021;

/// You are in no such room of several people.
pub const NO_ROOM: i64 = -32022;
/// A room's rules do not allow that.
pub const AGAINST_RULES: i64 = -32023;

/// Lines that were read and not looked at: with [`wire::LINE_MAX`] they bound the memory.
const LINES: usize = 4;

/// Serves standard input and output until the input ends, `quit` or a signal; `moved` says where the relay of the
/// profile is by now.
///
/// # Errors
/// A sentence, when the system gives us no thread or no signals.
pub async fn run(dir: &Path, config: Config, moved: Option<RelayLink>) -> Result<(), String> {
    let mut stop = Stop::listen().map_err(|error| format!("no signals can be heard: {error}"))?;
    let (lines, input) = mpsc::channel(LINES);
    // A thread, and not the runtime's own reader: a read that nothing ends must not hold up the end.
    std::thread::Builder::new()
        .name("input".into())
        .spawn(move || {
            let mut stdin = BufReader::new(std::io::stdin());
            // An input that cannot be read has ended.
            while let Ok(Some(line)) = wire::next_line(&mut stdin) {
                if lines.blocking_send(line).is_err() {
                    return;
                }
            }
        })
        .map_err(|error| error.to_string())?;
    serve::serve(dir, config, moved, input, std::io::stdout(), &mut stop).await
}
