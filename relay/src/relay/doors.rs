//! Knocks: from who holds a link to one device of a member, and back.

use super::commit::Tables;
use super::perform::Fault;
use super::{Conn, Out, Relay};
use crate::doors::{self, Notice};
use crate::metrics::Count;
use subrosa_shared::id::{AccountName, DeviceId, DoorId};
use subrosa_shared::protocol::door::{Answer, Guess, Watch};
use subrosa_shared::protocol::frame::{Ask, Refusal, ToDevice};
use subrosa_shared::time::Now;

impl Relay {
    pub(super) fn watch_door(
        &mut self,
        conn: Conn,
        name: &AccountName,
        ask: Ask,
        watch: &Watch,
        now: Now,
    ) -> Result<(), Fault> {
        let notices = self.doors.watch(conn, name, watch, now)?;
        self.answer_after(Tables::Doors, conn, ask, ToDevice::Done(ask));
        self.door_notices(notices);
        Ok(())
    }

    pub(super) fn close_door(
        &mut self,
        conn: Conn,
        ask: Ask,
        door: DoorId,
        key: &[u8; 32],
    ) -> Result<(), Fault> {
        let notices = self.doors.close(&door, key)?;
        self.answer_after(Tables::Doors, conn, ask, ToDevice::Done(ask));
        self.door_notices_after(notices);
        Ok(())
    }

    pub(super) fn knock(
        &mut self,
        conn: Conn,
        (from, name): (DeviceId, &AccountName),
        ask: Ask,
        (door, bytes): (DoorId, Vec<u8>),
        now: Now,
    ) -> Result<(), Fault> {
        let notices = self.doors.knock(from, name, door, bytes, now).inspect_err(|fault| {
            if matches!(fault, doors::Fault::Refusal(Refusal::RateLimited { .. })) {
                self.metrics.count(Count::KnocksRefused);
            }
        })?;
        self.metrics.count(Count::Knocks);
        self.say(Out::Frame(conn, ToDevice::Done(ask)));
        self.door_notices(notices);
        Ok(())
    }

    pub(super) fn prove(
        &mut self,
        conn: Conn,
        from: DeviceId,
        ask: Ask,
        (door, bytes): (DoorId, Vec<u8>),
    ) -> Result<(), Fault> {
        let notice = self.doors.prove(from, door, bytes)?;
        self.say(Out::Frame(conn, ToDevice::Done(ask)));
        self.door_notices(vec![notice]);
        Ok(())
    }

    pub(super) fn answer_knock(
        &mut self,
        conn: Conn,
        ask: Ask,
        answer: Answer,
        now: Now,
    ) -> Result<(), Fault> {
        let guess = answer.guess;
        let notice = self.doors.answer(conn, answer, now)?;
        self.answer_after(Tables::Doors, conn, ask, ToDevice::Done(ask));
        if guess == Guess::Taken {
            self.count_after(Tables::Doors, Count::DoorGuesses);
            self.door_notices_after(vec![notice]);
        } else {
            self.door_notices(vec![notice]);
        }
        Ok(())
    }

    /// Says them at once: knocks are in memory alone, and a full disk is not in their way.
    pub(super) fn door_notices(&mut self, notices: Vec<Notice>) {
        for (conn, frame) in self.frames(notices) {
            self.say(Out::Frame(conn, frame));
        }
    }

    /// Says them once the guess, or the end of the door, that they are of is on disk.
    fn door_notices_after(&mut self, notices: Vec<Notice>) {
        for (conn, frame) in self.frames(notices) {
            self.tell_after(Tables::Doors, conn, frame);
        }
    }

    /// For those of them who are connected.
    fn frames(&self, notices: Vec<Notice>) -> Vec<(Conn, ToDevice)> {
        let frames = notices.into_iter().filter_map(|notice| {
            let (conn, frame) = match notice {
                Notice::Knocked(conn, knocked) => (Some(conn), ToDevice::Knocked(knocked)),
                Notice::Proved(conn, knock, bytes) => (Some(conn), ToDevice::Proved { knock, bytes }),
                Notice::Heard(device, door, heard) => {
                    (self.online.get(&device).copied(), ToDevice::KnockHeard { door, heard })
                }
                Notice::Answered(device, door, bytes, last) => {
                    (self.online.get(&device).copied(), ToDevice::Answered { door, bytes, last })
                }
                Notice::Closed(device, door) => {
                    (self.online.get(&device).copied(), ToDevice::DoorClosed(door))
                }
            };
            Some((conn?, frame))
        });
        frames.collect()
    }
}

impl From<doors::Fault> for Fault {
    fn from(fault: doors::Fault) -> Self {
        match fault {
            doors::Fault::Refusal(why) => why.into(),
            doors::Fault::Store(error) => error.into(),
        }
    }
}
