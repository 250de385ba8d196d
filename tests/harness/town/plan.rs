//! What happens in a town, made from its seed before anything of it happens: pure data.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::fmt;

/// People of a town, as far as it needs them.
pub const NAMES: [&str; 50] = [
    "ada", "ben", "cleo", "dan", "eve", "fay", "gus", "hal", "ivy", "jon", "kay", "leo", "mia", "ned", "oda",
    "pam", "quin", "ron", "sue", "tom", "una", "vic", "wes", "xia", "yve", "zoe", "abe", "bea", "cid", "dee",
    "eli", "flo", "gil", "hue", "ida", "jim", "kim", "lou", "max", "nia", "ole", "pia", "ray", "sam", "tia",
    "uri", "val", "wim", "yan", "zac",
];

/// Somebody, by number; from [`SECOND`] on their other device, where it matters which.
pub type Who = usize;
/// What a person's number and this are together is their second device.
pub const SECOND: usize = 100;
/// A room, by number.
pub type Club = usize;

/// How big a town is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A handful of people.
    Small,
    /// A dozen or two.
    Middle,
    /// Fifty.
    Big,
}

/// The whole story.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many live there.
    pub people: usize,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its number in the whole plan, also when others are left out.
    pub number: usize,
    /// Milliseconds that pass after it.
    pub then: u64,
    /// What it is.
    pub what: What,
}

/// What may happen. What makes no sense at its moment does not happen.
#[derive(Clone, Debug)]
pub enum What {
    /// Somebody writes so many lines to another.
    Says(Who, Who, usize),
    /// Everything works again, and somebody links a second device.
    Links(Who),
    /// Everything works again, and somebody removes their second device.
    Unlinks(Who),
    /// Somebody founds a room with others.
    Founds(Who, Club, Vec<Who>),
    /// Somebody writes in a room.
    Speaks(Who, Club),
    /// Somebody does something about a room.
    Does(Who, Club, Deed),
    /// Somebody does something to the last line between them and another that it makes sense for.
    Acts(Who, Who, Act),
    /// The same in a room.
    ActsIn(Who, Club, Act),
    /// Somebody thinks otherwise of another, and tells nobody.
    Thinks(Who, Who, Thought),
    /// New lines between two disappear after so many seconds.
    Expires(Who, Who, u32),
    /// Somebody looks at a conversation.
    Reads(Who, Who),
    /// Somebody sends a file of so many bytes.
    Sends(Who, Who, usize),
    /// Somebody rings another.
    Rings(Who, Who),
    /// Somebody takes the call that rings.
    Answers(Who),
    /// Somebody ends their call.
    HangsUp(Who),
    /// All cameras take so many pictures.
    Films(u32),
    /// A client is killed and started.
    Restarts(Who),
    /// A client is killed after so many effects.
    DiesAfter(Who, u64),
    /// A client that was killed is started.
    Starts(Who),
    /// A connection breaks.
    Breaks(Who),
    /// A machine is cut off; what it sent last is lost or not.
    CutOff(Who, bool),
    /// It is back.
    Back(Who),
    /// Several are cut off from the relay at a time.
    Part(Vec<Who>),
    /// They are back.
    Meet(Vec<Who>),
    /// A disk is full.
    Fills(Who),
    /// It has space again.
    Empties(Who),
    /// A clock is so many milliseconds off.
    Clock(Who, i64),
    /// Each frame to somebody takes so long.
    Slow(Who, u64),
    /// The network changes: delay, jitter, loss, twice, cut; what comes twice is a datagram or a delivery.
    Weather(u64, u64, u32, u32, u32),
    /// So many of 1,000 deliveries are overtaken by others, until the night.
    Overtakes(u32),
    /// The relay is killed.
    RelayDies,
    /// The relay is killed at that write from now: before the write (even numbers) or behind it, before
    /// anything is said of it (odd ones).
    RelayDiesAfter(u32),
    /// The relay starts.
    RelayStarts,
    /// The relay's disk is full, or not.
    RelayFull(bool),
    /// Everything works again, everything that is under way arrives, and so many hours pass.
    Night(u64),
}

/// What is done about a room.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    /// So many topics, one after the other.
    Topics(usize),
    /// Bring somebody in.
    Invite(Who),
    /// Remove somebody.
    Kick(Who),
    /// Remove somebody for good.
    Ban(Who),
    /// Make somebody a moderator.
    Promote(Who),
    /// Make somebody a plain member.
    Demote(Who),
    /// Somebody's words count for nothing.
    Silence(Who),
    /// They count again.
    Unsilence(Who),
    /// Members may invite.
    Open,
    /// New lines disappear after so many seconds.
    Expires(u32),
    /// Go.
    Leave,
}

/// What is done about a line.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// Say it in other words.
    Edit,
    /// Take it back.
    Delete,
    /// Set a sign below it, or take that back.
    React,
    /// Keep it at hand, or not any more.
    Pin,
    /// Answer it.
    Reply,
}

/// What is thought of somebody.
#[derive(Clone, Copy, Debug)]
pub enum Thought {
    /// They have another own name here.
    Petname,
    /// Nothing of theirs rings, or all of it again.
    Mute,
}

/// Whose device that is.
pub fn person(who: Who) -> Who {
    who % SECOND
}

/// Chance.
struct Dice(ChaCha20Rng);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        (self.0.next_u64() % most as u64) as usize
    }

    fn two(&mut self, people: usize) -> (Who, Who) {
        let who = self.below(people);
        (who, (who + 1 + self.below(people - 1)) % people)
    }

    /// One of somebody's devices, mostly the first.
    fn device(&mut self, who: Who) -> Who {
        if self.below(4) == 0 { who + SECOND } else { who }
    }
}

impl Size {
    /// Of a seed's town: few are big.
    pub fn of(seed: u64) -> Self {
        match seed {
            seed if seed % 100 == 99 => Self::Big,
            seed if seed % 10 == 9 => Self::Middle,
            _ => Self::Small,
        }
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        Self::sized(seed, Size::of(seed))
    }

    /// The same for a town of that size.
    pub fn sized(seed: u64, size: Size) -> Self {
        let mut dice = Dice(ChaCha20Rng::seed_from_u64(seed));
        let (people, clubs, days, busy) = match size {
            Size::Small => (2 + dice.below(4), 1, 3 + dice.below(4), 12),
            Size::Middle => (8 + dice.below(8), 2, 4, 40),
            Size::Big => (50, 4, 2, 120),
        };
        let mut whats = Vec::new();
        // Two in three are founded at once, the others on some day.
        let founding: Vec<usize> = (0..clubs).map(|_| dice.below(3).saturating_sub(1)).collect();
        // Half of all small towns have nobody with two devices.
        let linking: Vec<(usize, Who)> =
            (0..dice.below(2 + clubs)).map(|_| (dice.below(days), dice.below(people))).collect();
        // Some of them are removed on a later day, if there is one.
        let unlinking: Vec<(usize, Who)> =
            linking.iter().map(|(on, who)| (on + 1 + dice.below(days), *who)).collect();
        // What ends a trouble, and after how many steps.
        let mut pending: Vec<(usize, What)> = Vec::new();
        for day in 0..days {
            let today = linking.iter().filter(|(on, _)| *on == day);
            whats.extend(today.map(|(_, who)| What::Links(*who)));
            let today = unlinking.iter().filter(|(on, _)| *on == day);
            whats.extend(today.map(|(_, who)| What::Unlinks(*who)));
            for club in (0..clubs).filter(|club| founding[*club] == day) {
                let with = 1 + dice.below((people - 1).min(9));
                let founder = dice.below(people);
                let with = (1..=with).map(|next| (founder + next) % people).collect();
                whats.push(What::Founds(founder, club, with));
            }
            for _ in 0..busy / 2 + dice.below(busy) {
                for (left, _) in &mut pending {
                    *left = left.saturating_sub(1);
                }
                while let Some(at) = pending.iter().position(|(left, _)| *left == 0) {
                    whats.push(pending.swap_remove(at).1);
                }
                happens(&mut dice, people, clubs, &mut whats, &mut pending);
            }
            let hours = [1, 5, 11, 30, 75][dice.below(5)];
            whats.push(What::Night(hours));
            pending.clear();
        }
        let steps = whats.into_iter().enumerate();
        let steps = steps.map(|(number, what)| {
            let then = [0, 5, 40, 200, 1_500, 20_000][dice.below(6)];
            Step { number, then, what }
        });
        Self { seed, people, steps: steps.collect() }
    }

    /// The same with those steps alone.
    pub fn only(&self, keep: impl Fn(&Step) -> bool) -> Self {
        let steps = self.steps.iter().filter(|step| keep(step)).cloned().collect();
        Self { steps, ..*self }
    }
}

/// One thing more, and what will end it.
fn happens(
    dice: &mut Dice,
    people: usize,
    clubs: usize,
    whats: &mut Vec<What>,
    pending: &mut Vec<(usize, What)>,
) {
    let (who, other) = dice.two(people);
    let (at, there) = (dice.device(who), dice.device(other));
    let club = dice.below(clubs);
    let soon = 1 + dice.below(6);
    let mut trouble = |what: What, end: What| {
        whats.push(what);
        pending.push((soon, end));
    };
    match dice.below(119) {
        0..=27 => whats.push(What::Says(at, other, [1, 1, 1, 2, 5, 30][dice.below(6)])),
        28..=43 => whats.push(What::Speaks(at, club)),
        44..=51 => {
            let deed = match dice.below(9) {
                0 => Deed::Topics(1),
                // More changes than one message to a newcomer holds.
                1 => Deed::Topics([1, 1, 1, 80][dice.below(4)]),
                2 | 3 => Deed::Invite(other),
                4 => Deed::Kick(other),
                5 => Deed::Promote(other),
                6 => Deed::Silence(other),
                7 => Deed::Open,
                _ => Deed::Leave,
            };
            if let Deed::Silence(other) = deed {
                trouble(What::Does(at, club, deed), What::Does(at, club, Deed::Unsilence(other)));
            } else {
                whats.push(What::Does(at, club, deed));
            }
        }
        52..=55 => {
            whats.push(What::Acts(at, other, [Act::Edit, Act::Delete, Act::React][dice.below(3)]));
        }
        56 => whats.push(What::Expires(at, other, [0, 10, 600, 90_000][dice.below(4)])),
        57..=60 => whats.push(What::Reads(at, other)),
        61..=62 => whats.push(What::Sends(at, other, [10, 3_000, 70_000, 200_000][dice.below(4)])),
        63..=64 => {
            trouble(What::Rings(at, other), What::HangsUp([at, there][dice.below(2)]));
            pending.push((dice.below(3), What::Answers(there)));
            pending.push((dice.below(4), What::Films(3)));
        }
        65..=68 => whats.push(What::Restarts(at)),
        69..=74 => trouble(What::DiesAfter(at, dice.below(60) as u64), What::Starts(at)),
        75..=76 => whats.push(What::Breaks(at)),
        77..=79 => trouble(What::CutOff(at, dice.below(2) == 0), What::Back(at)),
        80 => {
            let some: Vec<Who> = (0..people).filter(|_| dice.below(2) == 0).collect();
            trouble(What::Part(some.clone()), What::Meet(some));
        }
        81..=83 => trouble(What::Fills(at), What::Empties(at)),
        84 => {
            const HOUR: i64 = 3_600_000;
            let off = [-26 * HOUR, -HOUR, -1_000, 0, 90_000, 3 * HOUR, 26 * HOUR][dice.below(7)];
            whats.push(What::Clock(at, off));
        }
        85..=86 => {
            trouble(What::Slow(at, [50, 1_000, 4_000][dice.below(3)]), What::Slow(at, 0));
        }
        87..=90 => {
            let bad = What::Weather(
                dice.below(400) as u64,
                1 + dice.below(300) as u64,
                dice.below(300) as u32,
                dice.below(100) as u32,
                dice.below(12) as u32,
            );
            trouble(bad, What::Weather(0, 0, 0, 0, 0));
        }
        91..=92 => trouble(What::RelayDies, What::RelayStarts),
        93..=97 => trouble(What::RelayDiesAfter(dice.below(80) as u32), What::RelayStarts),
        98..=99 => trouble(What::RelayFull(true), What::RelayFull(false)),
        100..=103 => whats.push(What::Acts(at, other, [Act::React, Act::Pin, Act::Reply][dice.below(3)])),
        104..=109 => {
            let acts = [Act::Edit, Act::Delete, Act::React, Act::Pin, Act::Reply];
            whats.push(What::ActsIn(at, club, acts[dice.below(5)]));
        }
        110..=112 => {
            let seconds = [0, 10, 600, 90_000][dice.below(4)];
            let deeds = [Deed::Demote(other), Deed::Ban(other), Deed::Expires(seconds)];
            whats.push(What::Does(at, club, deeds[dice.below(3)]));
        }
        115..=118 => whats.push(What::Overtakes([100, 300, 900, 1_000][dice.below(4)])),
        _ => whats.push(What::Thinks(at, other, [Thought::Petname, Thought::Mute][dice.below(2)])),
    }
}

/// A device in words.
pub fn device(who: Who) -> String {
    let of = NAMES[person(who)];
    if who < SECOND { of.to_owned() } else { format!("{of}-2") }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Edit => "edits",
            Self::Delete => "takes back",
            Self::React => "sets or takes back a sign below",
            Self::Pin => "keeps at hand, or not,",
            Self::Reply => "answers",
        })
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |who: &Who| device(*who);
        match self {
            Self::Says(who, to, 1) => write!(f, "{} writes to {}", name(who), name(to)),
            Self::Says(who, to, lines) => write!(f, "{} writes {lines} lines to {}", name(who), name(to)),
            Self::Links(who) => write!(f, "everything works again, and {} links a second device", name(who)),
            Self::Unlinks(who) => {
                write!(f, "everything works again, and {} removes their second device", name(who))
            }
            Self::Founds(who, club, with) => {
                let with: Vec<String> = with.iter().map(name).collect();
                write!(f, "{} founds #club{club} with {}", name(who), with.join(", "))
            }
            Self::Speaks(who, club) => write!(f, "{} writes in #club{club}", name(who)),
            Self::Does(who, club, deed) => {
                let deed = match deed {
                    Deed::Topics(times) => format!("sets the topic {times} times"),
                    Deed::Invite(whom) => format!("invites {}", name(whom)),
                    Deed::Kick(whom) => format!("removes {}", name(whom)),
                    Deed::Ban(whom) => format!("removes {} for good", name(whom)),
                    Deed::Promote(whom) => format!("makes {} a moderator", name(whom)),
                    Deed::Demote(whom) => format!("makes {} a plain member", name(whom)),
                    Deed::Silence(whom) => format!("silences {}", name(whom)),
                    Deed::Unsilence(whom) => format!("lets {} speak", name(whom)),
                    Deed::Open => "lets members invite".to_string(),
                    Deed::Expires(seconds) => format!("lets new lines disappear after {seconds} s"),
                    Deed::Leave => "leaves".to_string(),
                };
                write!(f, "in #club{club} {} {deed}", name(who))
            }
            Self::Acts(who, to, act) => {
                write!(f, "{} {act} the last line of the conversation with {}", name(who), name(to))
            }
            Self::ActsIn(who, club, act) => write!(f, "{} {act} the last line of #club{club}", name(who)),
            Self::Thinks(who, of, Thought::Petname) => {
                write!(f, "{} has another name for {}", name(who), name(of))
            }
            Self::Thinks(who, of, Thought::Mute) => {
                write!(f, "{} does not let {} ring, or does again", name(who), name(of))
            }
            Self::Expires(who, to, seconds) => {
                write!(f, "{} lets new lines with {} disappear after {seconds} s", name(who), name(to))
            }
            Self::Reads(who, to) => write!(f, "{} looks at the conversation with {}", name(who), name(to)),
            Self::Sends(who, to, size) => write!(f, "{} sends {} a file of {size} B", name(who), name(to)),
            Self::Rings(who, to) => write!(f, "{} rings {}", name(who), name(to)),
            Self::Answers(who) => write!(f, "{} answers", name(who)),
            Self::HangsUp(who) => write!(f, "{} hangs up", name(who)),
            Self::Films(pictures) => write!(f, "cameras take {pictures} pictures"),
            Self::Restarts(who) => write!(f, "{}'s client is killed and started", name(who)),
            Self::DiesAfter(who, effects) => {
                write!(f, "{}'s client is to be killed after {effects} effects", name(who))
            }
            Self::Starts(who) => write!(f, "{}'s client is started if it was killed", name(who)),
            Self::Breaks(who) => write!(f, "{}'s connection breaks", name(who)),
            Self::CutOff(who, true) => write!(f, "{} is cut off, and what was sent last is lost", name(who)),
            Self::CutOff(who, false) => write!(f, "{} is cut off", name(who)),
            Self::Part(some) => {
                let some: Vec<String> = some.iter().map(name).collect();
                write!(f, "these are cut off: {}", some.join(", "))
            }
            Self::Meet(some) => {
                let some: Vec<String> = some.iter().map(name).collect();
                write!(f, "these have a network again: {}", some.join(", "))
            }
            Self::Back(who) => write!(f, "{} has a network again", name(who)),
            Self::Fills(who) => write!(f, "{}'s disk is full", name(who)),
            Self::Empties(who) => write!(f, "{}'s disk has space again", name(who)),
            Self::Clock(who, off) => write!(f, "{}'s clock is {off} ms off", name(who)),
            Self::Slow(who, 0) => write!(f, "{} reads as fast as all", name(who)),
            Self::Slow(who, millis) => write!(f, "each frame to {} takes {millis} ms", name(who)),
            Self::Weather(0, 0, 0, 0, 0) => write!(f, "the network is calm"),
            Self::Weather(delay, jitter, loss, twice, cut) => write!(
                f,
                "the network takes {delay}+{jitter} ms, loses {loss}‰, repeats {twice}‰, breaks {cut}‰"
            ),
            Self::Overtakes(late) => write!(f, "{late}‰ of what the relay delivers is overtaken"),
            Self::RelayDies => write!(f, "the relay is killed"),
            Self::RelayDiesAfter(halves) => {
                let side = if halves % 2 == 0 { "before" } else { "behind" };
                write!(f, "the relay is to be killed {side} its {}th write from now", halves / 2 + 1)
            }
            Self::RelayStarts => write!(f, "the relay is started if it was killed"),
            Self::RelayFull(true) => write!(f, "the relay's disk is full"),
            Self::RelayFull(false) => write!(f, "the relay's disk has space again"),
            Self::Night(hours) => write!(f, "everything works again; {hours} h pass"),
        }
    }
}
