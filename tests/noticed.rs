//! What must be true of a town is noticed when it is not: each of its rules is broken here on purpose.

use std::sync::Arc;
use subrosa::chat::call::CallState;
use subrosa::chat::deeds::{Pin, Reaction, Stamp};
use subrosa::chat::expiry::{SETTINGS, TEXTS, TIMERS};
use subrosa::chat::groups::{GROUPS, LOGS};
use subrosa::chat::outbox::OUTBOX;
use subrosa::chat::person::Person;
use subrosa::chat::talk::PENDING;
use subrosa::chat::timeline::{Author, LINES, Line, LineState, More, place, unplace};
use subrosa::chat::transfer::{Kept, Phase, TRANSFERS};
use subrosa::ui::command::Command;
use subrosa_shared::id::{AccountName, MessageId, RoomId};
use subrosa_shared::protocol::frame::ToDevice;
use subrosa_shared::session::timed::Chain;
use subrosa_shared::store::memory::{Memory, MemorySlots};
use subrosa_shared::store::{Batch, Order, SlotKey, SlotWrite, Store, Table, Write};
use subrosa_tests::World;
use subrosa_tests::town::plan::{Plan, SECOND, Step, What};
use subrosa_tests::town::play::{Town, lived};

/// Ada, Ben and Cleo with two devices, who wrote and sent files to each other, and wrote in a room.
fn town() -> Town {
    let whats = [
        What::Founds(0, 0, vec![1, 2]),
        What::Links(2),
        What::Night(1),
        What::Says(0, 1, 3),
        What::Says(1, 0, 2),
        What::Says(2 + SECOND, 0, 2),
        What::Sends(0, 1, 3_000),
        What::Speaks(0, 0),
        What::Speaks(1, 0),
        What::Sends(2, 0, 3_000),
        What::Night(1),
    ];
    let steps = whats.into_iter().enumerate().map(|(number, what)| Step { number, then: 100, what });
    lived(&Plan { seed: 5, people: 3, steps: steps.collect() }).unwrap_or_else(|why| panic!("{why}"))
}

/// What is said of a town in which something was broken.
fn noticed(breaks: impl FnOnce(&mut Town)) -> String {
    let mut town = town();
    assert_eq!(town.rests(99).and_then(|()| town.holds()), Ok(()), "whole before");
    breaks(&mut town);
    town.holds().and_then(|()| town.rests(99)).expect_err("it is broken")
}

fn writes(town: &mut Town, who: &str, writes: &[Write]) {
    town.world.disk(who).records.commit(writes).expect("memory");
}

/// The same while the client does not run, which starts on it.
fn rewrites(town: &mut Town, who: &str, rows: &[Write]) {
    town.world.kill(who);
    writes(town, who, rows);
    town.world.starts(who);
    town.world.settle();
}

/// The conversation and the lines of somebody with somebody.
fn lines(town: &mut Town, who: &str, with: &str) -> (RoomId, Vec<(u64, Line)>) {
    let chat = town.world.app(who).chat();
    let mut rooms = chat.rooms.iter();
    let room = match with.starts_with('#') {
        true => chat.room_named(with),
        false => rooms.find(|room| room.with().is_some_and(|name| name.as_str() == with)),
    };
    let room = room.expect("a conversation").id;
    let rows = town.world.disk(who).records.scan(
        LINES,
        &place(room, 0),
        &place(room, u64::MAX),
        Order::Forward,
        usize::MAX,
    );
    let read = |(key, value): (Vec<u8>, Vec<u8>)| Some((unplace(&key)?.1, Line::read(&value)?));
    (room, rows.expect("memory").into_iter().filter_map(read).collect())
}

/// Changes lines of somebody's conversation on their disk.
fn changes(town: &mut Town, who: &str, with: &str, mut change: impl FnMut(&mut Line)) {
    let (room, lines) = lines(town, who, with);
    for (pos, mut line) in lines {
        change(&mut line);
        writes(town, who, &[Write::Put(LINES, place(room, pos), line.encode().into())]);
    }
}

/// A line is not there.
fn loses(town: &mut Town, who: &str, with: &str, body: &str) {
    let (room, lines) = lines(town, who, with);
    let (pos, _) = lines.iter().find(|(_, line)| line.body == body).expect("it was there");
    writes(town, who, &[Write::Delete(LINES, place(room, *pos))]);
}

/// A line that is there beside the others.
fn adds(town: &mut Town, who: &str, with: &str, make: impl FnOnce(&Line) -> Line) {
    let (room, lines) = lines(town, who, with);
    let (pos, last) = lines.last().expect("there are some");
    let line = make(last);
    writes(town, who, &[Write::Put(LINES, place(room, pos + 1), line.encode().into())]);
}

/// A body of somebody's n-th line.
fn nth(town: &mut Town, author: &str, with: &str, n: usize) -> String {
    let (_, lines) = lines(town, author, with);
    lines.iter().filter(|(_, line)| line.author == Author::Me).nth(n).expect("so many").1.body.clone()
}

/// Who did something to a line, and when.
fn did(line: &Line) -> (AccountName, Stamp) {
    (AccountName::parse("ada").expect("valid"), Stamp { clock: 1, id: line.id })
}

#[test]
fn a_line_that_is_lost_doubled_made_up_or_says_something_else() {
    let why = noticed(|town| {
        let body = nth(town, "ada", "ben", 1);
        loses(town, "ben", "ada", &body);
    });
    assert!(why.starts_with("ben never got of ada"), "{why}");
    let why = noticed(|town| {
        let body = nth(town, "ada", "ben", 1);
        loses(town, "ben", "ada", &body);
        loses(town, "ada", "ben", &body);
    });
    assert!(why.contains("ada wrote to ben in step 3 is gone"), "{why}");
    let why = noticed(|town| {
        let (_, lines) = lines(town, "ben", "ada");
        let theirs = lines.into_iter().find(|(_, line)| line.author == Author::Them).expect("one").1;
        adds(town, "ben", "ada", |_| theirs);
    });
    assert!(why.contains("twice"), "{why}");
    let why = noticed(|town| {
        adds(town, "ben", "ada", |last| Line {
            id: MessageId([9; 16]),
            author: Author::Them,
            ..last.clone()
        });
    });
    assert!(why.contains("which ada never wrote"), "{why}");
    let why = noticed(|town| {
        let body = nth(town, "ada", "ben", 1);
        for (who, with) in [("ada", "ben"), ("ben", "ada")] {
            let (_, lines) = lines(town, who, with);
            let line = lines.into_iter().find(|(_, line)| line.body == body).expect("there").1;
            adds(town, who, with, |_| Line { id: MessageId([9; 16]), ..line });
        }
    });
    assert!(why.contains("twice, as two lines"), "{why}");
    let says = |town: &mut Town, with: &str| {
        changes(town, "ben", with, |line| {
            if line.author == Author::Them && line.more.file.is_none() {
                line.body.push('!');
            }
        });
    };
    let why = noticed(|town| says(town, "ada"));
    assert!(why.contains("which ada never typed to them"), "{why}");
    let why = noticed(|town| says(town, "#club0"));
    assert!(why.contains("in #club0, which nobody typed there so"), "{why}");
    let why = noticed(|town| {
        let bodies = [0, 1].map(|n| nth(town, "ada", "ben", n));
        changes(town, "ben", "ada", |line| {
            if let Some(at) = bodies.iter().position(|body| *body == line.body) {
                line.body.clone_from(&bodies[1 - at]);
            }
        });
    });
    assert!(why.contains("ben sees [") && why.contains("where ada sees ["), "{why}");
}

#[test]
fn what_was_done_to_a_line_that_one_device_does_not_have() {
    for (who, with) in [("ben", "ada"), ("cleo-2", "ada"), ("ben", "#club0")] {
        let signs = |line: &mut Line| {
            let (by, stamp) = did(line);
            line.more.reactions.push(Reaction { by, sign: "👍".into(), on: true, stamp });
        };
        let pins = |line: &mut Line| {
            let (by, stamp) = did(line);
            line.more.pin = Some(Pin { by, on: true, stamp });
        };
        let edits = |line: &mut Line| line.more.edited = Some(did(line).1);
        let answers = |line: &mut Line| line.more.reply = Some(MessageId([1; 16]));
        // Cleo has two devices, of which one may have met Ada by an answer.
        let alone = (who != "cleo-2").then_some(&answers as &dyn Fn(&mut Line));
        let all: [&dyn Fn(&mut Line); 3] = [&signs, &pins, &edits];
        for change in all.into_iter().chain(alone) {
            let why = noticed(|town| changes(town, who, with, change));
            assert!(why.contains("sees [") && why.contains("where "), "{who}: {why}");
        }
    }
    // It is deleted at one end.
    let why = noticed(|town| {
        let body = nth(town, "ada", "#club0", 0);
        changes(town, "ben", "#club0", |line| {
            if line.body == body {
                line.body.clear();
                line.more.deleted = Some(did(line).0);
            }
        });
    });
    assert!(why.contains("ben sees ["), "{why}");
    // One end keeps what is to disappear.
    let why = noticed(|town| {
        town.fading.extend([(0, 1), (1, 0)]);
        let (room, lines) = lines(town, "ben", "ada");
        let said = |(_, line): &(u64, Line)| line.author == Author::Them && line.more.file.is_none();
        let (pos, line) = lines.into_iter().find(said).expect("one");
        let (at, bare) = (place(room, pos), Line { body: String::new(), ..line });
        // Ten seconds from a day that is far.
        let timer: Vec<u8> = [vec![1, 10, 0, 1], vec![0xff; 6], vec![0x7f]].concat();
        let text = Write::Put(TEXTS, at.clone(), vec![1].into());
        let timer = Write::Put(TIMERS, at.clone(), timer.into());
        writes(town, "ben", &[text, timer, Write::Put(LINES, at, bare.encode().into())]);
    });
    assert!(why.contains("ben sees []"), "{why}");
}

#[test]
fn lines_in_another_order() {
    let why = noticed(|town| {
        changes(town, "ben", "ada", |line| {
            if line.author == Author::Them {
                line.more.clock = (1 << 40) - line.more.clock;
            }
        });
    });
    assert!(why.contains("after what was written later"), "{why}");
    let why = noticed(|town| {
        changes(town, "ben", "ada", |line| {
            if line.author == Author::Me {
                line.more.clock += 100;
            }
        });
        changes(town, "ada", "ben", |line| {
            if line.author == Author::Me {
                line.more.clock += 100;
            }
        });
    });
    assert!(why.contains("in another order"), "{why}");
    let why = noticed(|town| {
        changes(town, "ben", "#club0", |line| {
            if line.author == Author::Them && line.more.clock > 0 {
                line.more.clock += 100;
            }
        });
        town.steady.retain(|_, since| *since < 99);
        town.spoken.values_mut().flatten().for_each(|said| said.by = 0);
    });
    assert!(why.contains("too early"), "{why}");
    let why = noticed(|town| {
        changes(town, "ben", "#club0", |line| {
            if line.author == Author::Them && line.more.clock > 0 {
                line.more.clock += 100;
            }
        });
    });
    assert!(why.contains("elsewhere than ada"), "{why}");
    let why = noticed(|town| {
        for what in [What::Says(0, 2, 1), What::Says(2, 0, 1)] {
            assert_eq!(town.takes(&Step { number: 99, then: 60_000, what }), Ok(()));
        }
        changes(town, "cleo-2", "ada", |line| {
            if line.author == Author::Them {
                line.more.clock += 100;
            }
        });
    });
    assert!(why.contains("cleo-2 sees the lines with ada in another order"), "{why}");
}

#[test]
fn a_line_that_is_not_on_its_author_s_disk() {
    let mut town = town();
    // Another disk is looked at than the one that the client writes to.
    let other = copied(&town.world.disk("ada"));
    town.world.disk_is("ada", other);
    let says = Step { number: 99, then: 100, what: What::Says(0, 1, 1) };
    let why = town.takes(&says).expect_err("it is broken");
    assert!(why.contains("is not on ada's disk, or not as the last one"), "{why}");
    // What was read in a room is on the disk, and where the room was is not.
    let mut town = self::town();
    changes(&mut town, "ben", "#club0", |line| line.more.clock += 100);
    let speaks = Step { number: 99, then: 100, what: What::Speaks(1, 0) };
    let why = town.takes(&speaks).expect_err("it is broken");
    assert!(why.contains("is not on ben's disk, or not as the last one"), "{why}");
}

#[test]
fn a_timer_that_one_of_two_has_or_one_device() {
    for who in ["ben", "cleo-2"] {
        let why = noticed(|town| {
            let (room, _) = lines(town, who, "ada");
            // As earlier versions kept it: the other is not told of it.
            let seconds = 600u32.to_be_bytes().to_vec();
            rewrites(town, who, &[Write::Put(SETTINGS, room.0.to_vec(), seconds.into())]);
        });
        assert!(why.contains(&format!("ada and {who} have another timer: 0 and 600")), "{why}");
    }
}

#[test]
fn what_one_device_thinks_of_somebody_and_the_other_does_not() {
    let why = noticed(|town| {
        let (room, _) = lines(town, "cleo-2", "ada");
        let mut batch = Batch::default();
        Person { petname: Some("mum".into()), ..Person::default() }.save(room, &mut batch);
        rewrites(town, "cleo-2", &batch.records);
    });
    assert!(why.contains("cleo-2 thinks otherwise of ada than cleo"), "{why}");
}

#[test]
fn a_line_that_comes_to_a_device_that_was_removed() {
    let why = noticed(|town| {
        let step = Step { number: 99, then: 100, what: What::Unlinks(2) };
        assert_eq!(town.takes(&step), Ok(()));
        assert!(town.unlinked.contains_key(&2), "it is removed");
        adds(town, "cleo-2", "ada", |last| Line {
            id: MessageId([9; 16]),
            author: Author::Them,
            ..last.clone()
        });
    });
    assert!(why.contains("cleo-2, which was removed, got"), "{why}");
}

#[test]
fn what_is_not_finished_when_all_has_arrived() {
    let why = noticed(|town| changes(town, "ada", "ben", |line| line.state = LineState::Sent));
    assert!(why.contains("is only Sent"), "{why}");
    let why = noticed(|town| writes(town, "ada", &[Write::Put(OUTBOX, vec![9; 8], vec![1].into())]));
    assert!(why.contains("ada has not sent 1 envelopes"), "{why}");
    let why = noticed(|town| writes(town, "ben", &[Write::Put(PENDING, vec![9; 32], vec![1; 24].into())]));
    assert!(why.contains("ben has no receipt for 1 envelopes"), "{why}");
    let why = noticed(|town| town.world.cuts_off("ben", true));
    assert!(why.contains("ben is not online"), "{why}");
    let why = noticed(|town| {
        let drops = |who: &str, frame| match frame {
            ToDevice::Deliver(_) if who == "ben" => Vec::new(),
            frame => vec![frame],
        };
        town.world.liar = Some(Box::new(drops));
        town.world.says("ada", "ben", "do you hear me?");
        town.world.settle();
        let pending = town.world.disk("ada").records.scan(PENDING, &[], &[], Order::Forward, 99);
        for (key, _) in pending.expect("memory") {
            writes(town, "ada", &[Write::Delete(PENDING, key)]);
        }
    });
    assert!(why.contains("the relay still keeps"), "{why}");
    let why = noticed(|town| {
        let (room, _) = lines(town, "ada", "ben");
        town.world.commands("ada", Command::Open(room));
        town.world.commands("ada", Command::Video(Some("test".into())));
        town.world.settle();
    });
    assert!(why.contains("is in a call"), "{why}");
    let why = noticed(|town| {
        adds(town, "ben", "ada", |last| Line {
            id: MessageId([9; 16]),
            author: Author::Alarm,
            ..last.clone()
        });
    });
    assert!(why.contains("is alarmed"), "{why}");
    // Cleo sent hers from the other device.
    for (who, name) in [(1, "ben"), (2 + SECOND, "cleo-2")] {
        let why = noticed(|town| {
            let folder = town.folder(who);
            let saved = std::fs::read_dir(folder).expect("a folder").next().expect("a file").expect("reads");
            std::fs::write(saved.path(), "something else").expect("written");
        });
        assert!(why.contains(&format!("came to {name} with other bytes")), "{why}");
    }
    for who in ["ben", "cleo-2"] {
        let row = |town: &mut Town| {
            let rows = town.world.disk(who).records.scan(TRANSFERS, &[], &[], Order::Forward, 1);
            rows.expect("memory").remove(0)
        };
        let why = noticed(|town| {
            let (key, value) = row(town);
            let mut kept: Kept = postcard::from_bytes(&value[1..]).expect("a transfer");
            kept.phase = Phase::Paused;
            let value = postcard::to_extend(&kept, vec![value[0]]).expect("plain fields only");
            rewrites(town, who, &[Write::Put(TRANSFERS, key, value.into())]);
        });
        assert!(why.contains(&format!("did not come to {who}: Paused")), "{why}");
        let why = noticed(|town| {
            let (key, _) = row(town);
            rewrites(town, who, &[Write::Delete(TRANSFERS, key)]);
        });
        assert!(why.starts_with(&format!("{who} has the line")), "{why}");
        assert!(why.contains("and knows of no file"), "{why}");
    }
}

#[test]
fn a_call_that_goes_on_at_one_end() {
    let mut town = town();
    for what in [What::Rings(0, 1), What::Answers(1)] {
        assert_eq!(town.takes(&Step { number: 99, then: 1_000, what }), Ok(()));
    }
    for who in ["ada", "ben"] {
        let call = town.world.app(who).chat().call.as_ref();
        assert_eq!(call.map(|call| call.state), Some(CallState::Active), "{who}");
    }
    // Who leaves does not get through, and their picture never ends.
    let hides = |_: &str, frame| match frame {
        ToDevice::Deliver(_) | ToDevice::TrackEnded(_) => Vec::new(),
        frame => vec![frame],
    };
    town.world.liar = Some(Box::new(hides));
    let night = Step { number: 99, then: 0, what: What::Night(1) };
    let why = town.takes(&night).expect_err("it is broken");
    assert!(why.contains("is in a call that nobody is in"), "{why}");
}

#[test]
fn a_device_or_a_member_that_has_less_than_the_others() {
    let why = noticed(|town| {
        let body = nth(town, "cleo", "ada", 0);
        loses(town, "cleo-2", "ada", &body);
    });
    assert!(why.contains("cleo-2 never got"), "{why}");
    let why = noticed(|town| {
        let body = nth(town, "ada", "#club0", 0);
        loses(town, "ben", "#club0", &body);
    });
    assert!(why.contains("ben never got what ada wrote in #club0 in step 7"), "{why}");
    let why = noticed(|town| {
        let (_, lines) = lines(town, "ben", "#club0");
        let said = lines.into_iter().find(|(_, line)| line.author == Author::Them).expect("one").1;
        adds(town, "ben", "#club0", |_| said);
    });
    assert!(why.contains("has a line of a room twice"), "{why}");
    let why = noticed(|town| {
        adds(town, "ben", "#club0", |last| {
            let more = More { by: Some(did(last).0), clock: last.more.clock, ..More::default() };
            Line { id: MessageId([9; 16]), author: Author::Them, body: String::new(), more, ..last.clone() }
        });
    });
    assert!(why.contains("of #club0, and ada has not"), "{why}");
    let why = noticed(|town| {
        let ben = town.world.disk("ben").records.scan(LOGS, &[], &[], Order::Backward, 1).expect("memory");
        town.world.kill("ben");
        writes(town, "ben", &[Write::Delete(LOGS, ben[0].0.clone())]);
        town.world.starts("ben");
        town.world.settle();
    });
    assert!(why.contains("another log of #club0"), "{why}");
    let why = noticed(|town| {
        let (room, _) = lines(town, "ben", "#club0");
        rewrites(town, "ben", &[Write::Delete(GROUPS, room.0.to_vec())]);
    });
    assert!(why.contains("ben is in the log of #club0 and has no room"), "{why}");
    let why = noticed(|town| {
        let (room, _) = lines(town, "ben", "#club0");
        let row = town.world.disk("ben").records.get(GROUPS, &room.0).expect("memory");
        let mut row = row.expect("a room");
        // Behind the version the keys begin.
        row[1] ^= 1;
        rewrites(town, "ben", &[Write::Put(GROUPS, room.0.to_vec(), row.into())]);
    });
    assert!(why.contains("ben has other keys of #club0 than ada"), "{why}");
}

#[test]
fn more_at_a_time_than_there_may_be() {
    let offline = |town: &mut Town| {
        town.world.cuts_off("ben", false);
        town.world.says("ben", "ada", "to nobody yet");
    };
    let why = noticed(|town| {
        town.bounds.waiting = 0;
        offline(town);
    });
    assert!(why.contains("things wait at ben's"), "{why}");
    let why = noticed(|town| {
        town.bounds.under_way = 0;
        town.world.says("ada", "ben", "on its way");
    });
    assert!(why.contains("are under way"), "{why}");
    let why = noticed(|town| {
        town.bounds.at_relay = 0;
        town.world.cuts_off("ben", false);
        town.world.says("ada", "ben", "for later");
        town.world.settle();
    });
    assert!(why.contains("the relay keeps"), "{why}");
    let why = noticed(|town| town.bounds.in_memory = 0);
    assert!(why.contains("lines in memory"), "{why}");
}

#[test]
fn a_secret_that_outlives_its_rule() {
    let slot = |kind: u8, value: Vec<u8>| {
        noticed(move |town| {
            let write = SlotWrite::Put(SlotKey { kind, id: [7; 16], part: 0 }, value.into());
            town.world.disk("ada").slots.apply(&[write]).expect("memory");
        })
    };
    // As `session::kept` writes them: a key until the first moment of all, a session, a last-resort prekey.
    let skipped = [vec![1, 1], vec![0; 32], vec![0, 0]].concat();
    let why = slot(3, skipped);
    assert!(why.contains("a skipped key"), "{why}");
    let session = [vec![1], vec![0; 64], vec![0], vec![0; 48], vec![1, 0]].concat();
    let why = slot(2, session);
    assert!(why.contains("is there after its time"), "{why}");
    // In use since the first moment, which a clock that was set back says too of what another one took the place of.
    for replaced in [vec![0], vec![1, 1]] {
        let prekey = [vec![1], vec![0; 32], vec![1, 0, 0, 0], replaced].concat();
        let why = slot(4, prekey);
        assert!(why.contains("last-resort prekey"), "{why}");
    }
    let many = |kind: u8, count: u16| {
        noticed(move |town| {
            let put = |number: u16| {
                let mut id = [7; 16];
                id[..2].copy_from_slice(&number.to_be_bytes());
                SlotWrite::Put(SlotKey { kind, id, part: 0 }, vec![1].into())
            };
            let slots: Vec<SlotWrite> = (0..count).map(put).collect();
            town.world.disk("ada").slots.apply(&slots).expect("memory");
        })
    };
    let why = many(2, 4 * 32 + 1);
    assert!(why.contains("sessions of 4 people"), "{why}");
    let why = many(4, 8 * 64 + 3 + 8 * 4 + 1);
    assert!(why.contains("prekeys"), "{why}");
    let fading = |table: Table, value: Vec<u8>| {
        noticed(move |town| writes(town, "ada", &[Write::Put(table, vec![7; 24], value.into())]))
    };
    let why = fading(TIMERS, vec![1, 0, 0, 1, 0]);
    assert!(why.contains("a message is there after its time"), "{why}");
    let why = fading(TEXTS, vec![1]);
    assert!(why.contains("the text of a message is there"), "{why}");
    let why = noticed(|town| {
        let (room, _) = lines(town, "ada", "ben");
        let write = SlotWrite::Put(Chain::slot(room.0), vec![1; 33].into());
        town.world.disk("ada").slots.apply(&[write]).expect("memory");
    });
    assert!(why.contains("a key is there of messages"), "{why}");
}

#[test]
fn a_message_whose_time_does_not_begin_or_whose_words_stay() {
    for (author, own) in [(Author::Me, 1_u8), (Author::Them, 0)] {
        let why = noticed(|town| {
            let (room, lines) = lines(town, "ben", "ada");
            let (pos, _) = lines.into_iter().find(|(_, line)| line.author == author).expect("one");
            let timer = Write::Put(TIMERS, place(room, pos), vec![1, 10, own, 0].into());
            writes(town, "ben", &[timer, Write::Put(TEXTS, place(room, pos), vec![1].into())]);
        });
        assert!(why.contains("the time of a message does not begin"), "{why}");
    }
    let why = noticed(|town| {
        let body = nth(town, "cleo", "ada", 0);
        let table = Table { byte: 0xee, name: "any" };
        writes(town, "ben", &[Write::Put(table, vec![1], body.into_bytes().into())]);
    });
    assert!(why.contains("on ben's disk are words that no line says: “cleo "), "{why}");
}

/// What lies on a disk, on another.
fn copied(disk: &Store) -> Store {
    let copy = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
    let mut batch = Batch::default();
    for byte in 0..=u8::MAX {
        let table = Table { byte, name: "any" };
        let rows = disk.records.scan(table, &[], &[], Order::Forward, usize::MAX).expect("memory");
        rows.into_iter().for_each(|(key, value)| batch.put(table, key, value));
        let slots = disk.slots.list(byte).into_iter();
        let slots: Vec<SlotWrite> = slots.map(|(key, secret)| SlotWrite::Put(key, secret)).collect();
        copy.slots.apply(&slots).expect("memory");
    }
    copy.commit(&batch).expect("memory");
    copy
}

/// A machine that is set back to an older copy of its disk seals anew with keys that it used.
#[test]
#[should_panic(expected = "sealed twice under one key")]
fn a_key_that_seals_twice() {
    let mut world = World::with(3, &["ada", "ben"]);
    world.says("ada", "ben", "hello");
    world.settle();
    // No answer, no turn: what follows goes on in one session.
    world.kill("ben");
    world.says("ada", "ben", "one");
    world.settle();
    let before = copied(&world.disk("ada"));
    world.says("ada", "ben", "two");
    world.settle();
    world.kill("ada");
    world.disk_is("ada", before);
    world.starts("ada");
    world.settle();
    world.says("ada", "ben", "three");
    world.settle();
}
