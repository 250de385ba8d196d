//! What subrosa itself told a person: grey lines, alarms and notices.

use crate::World;
use subrosa::chat::timeline::Author;
use subrosa::effect::Happened;

/// Lines that must not be missed, in a conversation (`#name` for a room).
pub fn alarms(world: &mut World, who: &str, with: &str) -> Vec<String> {
    by(world, who, with, Author::Alarm)
}

/// Grey lines.
pub fn notes(world: &mut World, who: &str, with: &str) -> Vec<String> {
    by(world, who, with, Author::Note)
}

/// What was said beside conversations since the last look, and is not kept.
pub fn notices(world: &mut World, who: &str) -> String {
    let told = world.told(who).into_iter().filter_map(|told| match told {
        Happened::Notice { text, .. } => Some(text),
        _ => None,
    });
    told.collect::<Vec<_>>().join("\n")
}

fn by(world: &mut World, who: &str, with: &str, author: Author) -> Vec<String> {
    let lines = world.lines(who, with).into_iter().filter(|line| line.author == author);
    lines.map(|line| line.body).collect()
}
