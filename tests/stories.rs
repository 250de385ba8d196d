//! Stories, told through the front door.

#[path = "stories/astray.rs"]
mod astray;
mod badinput;
mod chat;
#[path = "stories/checked.rs"]
mod checked;
#[path = "stories/converge.rs"]
mod converge;
#[path = "stories/conversation.rs"]
mod conversation;
#[path = "stories/corpus.rs"]
mod corpus;
#[path = "stories/decided.rs"]
mod decided;
#[path = "stories/devices.rs"]
mod devices;
mod faults;
#[path = "stories/files.rs"]
mod files;
#[path = "stories/files_real.rs"]
mod files_real;
mod forensic;
#[path = "stories/joining.rs"]
mod joining;
mod killed;
mod links;
#[path = "stories/login.rs"]
mod login;
mod mended;
#[path = "stories/namespaces.rs"]
mod namespaces;
#[path = "stories/newcomers.rs"]
mod newcomers;
mod noticed;
mod offline;
#[path = "stories/operator.rs"]
mod operator;
#[path = "stories/overtaken.rs"]
mod overtaken;
#[path = "stories/paths.rs"]
mod paths;
mod powerloss;
#[path = "stories/profile.rs"]
mod profile;
mod real;
#[path = "stories/rewound.rs"]
mod rewound;
#[path = "stories/rooms.rs"]
mod rooms;
#[path = "stories/rooms_away.rs"]
mod rooms_away;
#[path = "stories/rooms_files.rs"]
mod rooms_files;
#[path = "stories/rooms_real.rs"]
mod rooms_real;
#[path = "stories/rooms_talk.rs"]
mod rooms_talk;
#[path = "stories/rooms_vault.rs"]
mod rooms_vault;
#[path = "stories/rpc.rs"]
mod rpc;
mod screens;
#[path = "stories/search.rs"]
mod search;
#[path = "stories/settings.rs"]
mod settings;
#[path = "stories/strangers.rs"]
mod strangers;
mod supply;
#[path = "stories/thin.rs"]
mod thin;
mod torn;
mod torn_relay;
mod town;
#[path = "stories/trust.rs"]
mod trust;
#[path = "stories/turned.rs"]
mod turned;
#[path = "stories/vault.rs"]
mod vault;
mod video;
mod wire;
