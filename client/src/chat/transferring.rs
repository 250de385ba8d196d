//! Files in conversations: offered, sent, fetched, halted, taken back, and gone on with after any break.
//!
//! A message that tells of a file goes out once the relay has taken the upload: its size and the
//! account's share are all right then. Who gets it may fetch what is there while the rest still comes.

mod turns;

use super::Link;
use super::attached::Attached;
use super::devices::{UNADDRESSED, pending_key};
use super::talk::{PENDING, Talk};
use super::timeline::{Author, Line, LineState};
use super::transfer::{Kept, Phase, Run, TRANSFERS, Transfer};
use crate::effect::{Effect, Happened};
use crate::files::prepare::Prepared;
use crate::files::{End, Order, Report};
use std::path::{Path, PathBuf};
use subrosa_shared::content::Content;
use subrosa_shared::content::file::{CAPTION_MAX, File, Key};
use subrosa_shared::id::{DeviceId, MessageId, RoomId};
use subrosa_shared::protocol::blob::BlobId;
use subrosa_shared::session::Why;
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

/// Offers that are kept while nobody fetches them.
const OFFERS_MAX: usize = 1000;

/// A line that is this file.
pub(super) fn file_line(file: File, author: Author, state: LineState) -> Line {
    let attached = Attached::new(file);
    let mut line = Line::new(attached.file.id, author, attached.file.at, attached.text(), state);
    line.more.file = Some(Box::new(attached));
    line
}

impl Talk {
    // ---- what the person does

    /// Sends a file: it is read first. The id of its message.
    ///
    /// # Errors
    /// A sentence.
    pub fn attach(&mut self, room: RoomId, path: String, caption: String) -> Result<MessageId, String> {
        if caption.len() > CAPTION_MAX {
            return Err(format!("a caption has at most {CAPTION_MAX} bytes: write more in a message"));
        }
        let id = self.draws();
        self.chat.attaching.push(id);
        self.preparing.insert(id, (room, caption));
        self.effects.push(Effect::Transfer(Order::Prepare { id, path }));
        Ok(id)
    }

    /// Fetches a file that was offered, or one that stopped; or once more one that is gone from where it was saved,
    /// or is wanted in another folder.
    ///
    /// # Errors
    /// A sentence.
    pub fn save_file(&mut self, id: MessageId, folder: Option<PathBuf>, now: Now) -> Result<(), String> {
        let transfer = self.transfer_mut(id)?;
        match transfer.kept.phase {
            _ if transfer.kept.up => return Err("that file is your own: it is on this disk".into()),
            Phase::Done => self.want_again(id, folder.is_some())?,
            Phase::Active if folder.is_none() => return Err("that file is being fetched already".into()),
            _ => {}
        }
        let transfer = self.transfer_mut(id)?;
        // What lies in another folder is not taken along.
        let before = transfer.kept.path.take();
        transfer.kept.path = folder.or(before.clone());
        transfer.kept.named |= transfer.kept.path != before;
        let moved = before.filter(|before| transfer.kept.path.as_ref() != Some(before));
        transfer.done = if moved.is_some() { 0 } else { transfer.done };
        (transfer.kept.phase, transfer.kept.asked) = (Phase::Active, true);
        transfer.tries = 0;
        transfer.rest();
        let Kept { path, left, .. } = &mut transfer.kept;
        left.retain(|left| Some(left) != path.as_ref());
        if let Some(before) = moved {
            transfer.kept.leaves(before.clone());
            self.effects.push(Effect::Transfer(Order::Discard(id, before)));
        }
        self.transfer_changed(id);
        self.run_transfers(now);
        Ok(())
    }

    /// What was saved begins anew, `elsewhere` or where it was; what lies there still is found, and not fetched.
    /// Until it has come elsewhere it is known where it lies.
    fn want_again(&mut self, id: MessageId, elsewhere: bool) -> Result<(), String> {
        let room = self.transfer_mut(id)?.kept.room;
        if self.file_of(id, room).is_none() {
            return Err("that file was saved, and its message is gone: it does not come again".into());
        }
        if !elsewhere && self.chat.link != Link::Online {
            return Err("that file is saved already: /files says where".into());
        }
        let transfer = self.transfer_mut(id)?;
        let saved = transfer.kept.path.take();
        transfer.done = 0;
        if elsewhere {
            transfer.kept.saved = saved;
        } else {
            transfer.kept.path = saved.as_deref().and_then(Path::parent).map(Path::to_path_buf);
            self.notice("that file was saved: where it is gone, it is fetched again".into(), false);
        }
        Ok(())
    }

    /// Halts a transfer.
    ///
    /// # Errors
    /// A sentence.
    pub fn pause_file(&mut self, id: MessageId, now: Now) -> Result<(), String> {
        let transfer = self.transfer_mut(id)?;
        if transfer.kept.phase != Phase::Active {
            return Err("that file is not on its way".into());
        }
        transfer.kept.phase = Phase::Paused;
        transfer.rest();
        self.effects.push(Effect::Transfer(Order::Stop(id)));
        self.transfer_changed(id);
        self.run_transfers(now);
        Ok(())
    }

    /// Goes on with one that was halted or stopped.
    ///
    /// # Errors
    /// A sentence.
    pub fn resume_file(&mut self, id: MessageId, now: Now) -> Result<(), String> {
        let transfer = self.transfer_mut(id)?;
        match transfer.kept.phase {
            Phase::Paused | Phase::Failed(_) | Phase::Active => {}
            Phase::Offered => return self.save_file(id, None, now),
            _ => return Err("that file is not halted".into()),
        }
        transfer.kept.asked = true;
        if transfer.run != Run::Going {
            transfer.kept.phase = Phase::Active;
            transfer.tries = 0;
            transfer.rest();
        }
        self.transfer_changed(id);
        self.run_transfers(now);
        Ok(())
    }

    /// Takes a file back from the relay, or does without one that was offered.
    ///
    /// # Errors
    /// A sentence.
    pub fn cancel_file(&mut self, id: MessageId, now: Now) -> Result<(), String> {
        if self.preparing.remove(&id).is_some() {
            self.chat.attaching.retain(|other| *other != id);
            return Ok(());
        }
        let transfer = self.transfer_mut(id)?;
        let up = transfer.kept.up;
        match transfer.kept.phase {
            Phase::Cancelled | Phase::Cancelling => return Ok(()),
            Phase::Done if !up => return Err("that file is saved already: delete it where it lies".into()),
            _ => {}
        }
        self.give_up(id, Phase::Cancelled);
        self.run_transfers(now);
        Ok(())
    }

    // ---- what comes

    /// A file that somebody tells of, from that device. In a room people speak who are no contacts.
    pub(super) fn file_came(
        &mut self,
        room: RoomId,
        device: DeviceId,
        file: File,
        timer: Option<u32>,
        now: Now,
    ) -> Result<(), Error> {
        let line = file_line(file, Author::Them, LineState::Received);
        if self.stands(room, &line.id)?.is_none() {
            self.offer(room, &line, now);
            let id = line.id;
            let small = line.more.file.as_ref().is_some_and(|attached| {
                attached.file.size <= u64::from(self.config.files.auto_mb) * 1_000_000
            });
            let fetched = small && self.contacts().any(|contact| contact == device);
            if let Some(transfer) = self.chat.transfers.iter_mut().find(|t| t.id == id).filter(|_| fetched) {
                transfer.kept.phase = Phase::Active;
                transfer.save(&mut self.batch);
            }
        }
        self.line_came(room, line, timer, now)?;
        self.run_transfers(now);
        Ok(())
    }

    /// The file of a line can be fetched from here on.
    pub(super) fn offer(&mut self, room: RoomId, line: &Line, now: Now) {
        let Some(File { name, size, blob, .. }) = line.more.file.as_ref().map(|attached| &attached.file)
        else {
            return;
        };
        let kept = Kept {
            room,
            up: false,
            name: name.clone(),
            size: *size,
            blob: *blob,
            at: now.wall,
            phase: Phase::Offered,
            path: None,
            announced: true,
            again: false,
            asked: false,
            named: false,
            forgotten: false,
            left: Vec::new(),
            saved: None,
        };
        // One that somebody told elsewhere makes room.
        self.drop_files(|it| it.id == line.id && it.kept.room != room);
        self.add(Transfer::new(line.id, kept));
        let offers = self.chat.transfers.iter().filter(|it| it.kept.phase == Phase::Offered);
        let old: Vec<MessageId> = offers.skip(OFFERS_MAX).map(|it| it.id).collect();
        self.drop_files(|it| old.contains(&it.id));
    }

    /// What became of an order.
    ///
    /// # Errors
    /// Those of the store.
    pub fn file_report(&mut self, report: Report, now: Now) -> Result<(), Error> {
        match report {
            // Those are the screen's.
            Report::Looked { .. } | Report::Viewed(..) => {}
            Report::Prepared(id, prepared) => {
                self.chat.attaching.retain(|other| *other != id);
                match (self.preparing.remove(&id), prepared) {
                    (Some((room, caption)), Ok(prepared)) => {
                        self.prepared(id, room, caption, prepared, now)?
                    }
                    (Some(_), Err(why)) => self.notice(why, true),
                    (None, _) => {}
                }
            }
            Report::Begun(id, folder) => {
                let Ok(transfer) = self.transfer_mut(id) else {
                    // Its conversation was forgotten before it was known where it lies.
                    self.effects.extend(folder.map(|folder| Effect::Transfer(Order::Discard(id, folder))));
                    return Ok(());
                };
                if transfer.kept.phase != Phase::Active {
                    if let Some(folder) = folder.filter(|_| transfer.kept.path.is_none()) {
                        // Halted or given up before it was known where it lies.
                        transfer.kept.lies(folder);
                        let there = transfer.clone();
                        if there.is_over() {
                            self.discard_half(&there);
                        }
                        self.transfer_changed(id);
                    }
                    return Ok(());
                }
                transfer.goes();
                if let Some(folder) = folder {
                    transfer.kept.lies(folder);
                    transfer.kept.named = false;
                }
                let tells = !std::mem::replace(&mut transfer.kept.announced, true);
                self.transfer_changed(id);
                if tells {
                    self.announce_file(id, now)?;
                }
            }
            Report::Moved(id, done) => {
                let Ok(transfer) = self.transfer_mut(id) else { return Ok(()) };
                if transfer.kept.phase == Phase::Active {
                    transfer.goes();
                    transfer.moved(done, now);
                    self.tell_file(id);
                }
            }
            Report::Ended(id, end) => {
                self.file_ended(id, end, now)?;
                self.run_transfers(now);
            }
            Report::Discarded(id, folder) => self.discarded(id, &folder)?,
        }
        Ok(())
    }

    /// Nothing lies in that folder any more.
    fn discarded(&mut self, id: MessageId, folder: &Path) -> Result<(), Error> {
        if let Some(at) = self.chat.transfers.iter().position(|it| it.id == id) {
            // The person may want it there after all.
            let goes = self.half_goes(&self.chat.transfers[at]);
            let transfer = &mut self.chat.transfers[at];
            transfer.kept.path.take_if(|path| goes && path.as_path() == folder);
            transfer.kept.left.retain(|left| left.as_path() != folder);
            transfer.save(&mut self.batch);
        } else if let Some(mut transfer) = Transfer::get(&self.store, id)? {
            transfer.kept.path.take_if(|path| path.as_path() == folder);
            transfer.kept.left.retain(|left| left.as_path() != folder);
            if transfer.halves().next().is_some() {
                transfer.save(&mut self.batch);
            } else {
                self.batch.delete(TRANSFERS, id.0);
            }
        }
        Ok(())
    }

    fn prepared(
        &mut self,
        id: MessageId,
        room: RoomId,
        caption: String,
        prepared: Prepared,
        now: Now,
    ) -> Result<(), Error> {
        let Prepared { path, name, size, sha256, preview } = prepared;
        let Some(timer) = self.chat.room(room).map(|room| room.timeline.timer()) else {
            // Nobody has that name, as the relay said while it was read.
            self.notice(format!("{name} was not sent: its conversation is gone"), true);
            return Ok(());
        };
        let key = Key(self.secret());
        let mut blob = [0; 16];
        self.rng.fill_bytes(&mut blob);
        let blob = BlobId(blob);
        let kept = Kept {
            room,
            up: true,
            name: name.clone(),
            size,
            blob,
            at: now.wall,
            phase: Phase::Active,
            path: Some(path),
            announced: false,
            again: false,
            asked: true,
            named: false,
            forgotten: false,
            left: Vec::new(),
            saved: None,
        };
        let file = File { id, at: now.wall, name, size, sha256, key, blob, caption, preview };
        let line = file_line(file, Author::Me, LineState::Sending);
        match timer {
            0 => self.push_line(room, line, now),
            seconds => self.push_timed(room, line, seconds, now),
        };
        self.mark_read(room, now)?;
        if let Some(room) = self.chat.room_mut(room) {
            // Who answers has passed the unread line.
            room.divider = None;
        }
        self.add(Transfer::new(id, kept));
        self.sort_rooms();
        self.run_transfers(now);
        Ok(())
    }

    /// Hands a file on that lies at the relay: nothing is uploaded once more.
    ///
    /// # Errors
    /// Those of the store.
    pub fn forward_file(&mut self, room: RoomId, file: File, now: Now) -> Result<(), Error> {
        let Some(timer) = self.chat.room(room).map(|room| room.timeline.timer()) else { return Ok(()) };
        let id = self.draws();
        let file = File { id, at: now.wall, ..file };
        let content = Content::File(Box::new(file.clone()));
        let line = file_line(file, Author::Me, LineState::Sending);
        let (content, place) = match timer {
            0 => (content, self.push_line(room, line, now)),
            seconds => (content.timed(seconds), self.push_timed(room, line, seconds, now)),
        };
        self.mark_read(room, now)?;
        self.batch.put(PENDING, pending_key(&id, &UNADDRESSED), place.clone());
        self.said = Some((id, place.clone()));
        self.transmit(room, content.clone(), Why::Speech, Some(id), now);
        self.copy_tell_siblings(room, content, &place, now);
        self.sort_rooms();
        Ok(())
    }

    /// The relay has taken the upload: its message goes out.
    fn announce_file(&mut self, id: MessageId, now: Now) -> Result<(), Error> {
        let Some(place) = self.place_of(&id)? else { return Ok(()) };
        let Some((room, content)) = self.told_of(&place)? else { return Ok(()) };
        self.batch.put(PENDING, pending_key(&id, &UNADDRESSED), place.clone());
        self.said = Some((id, place.clone()));
        self.transmit(room, content.clone(), Why::Speech, Some(id), now);
        self.copy_tell_siblings(room, content, &place, now);
        Ok(())
    }

    fn file_ended(&mut self, id: MessageId, end: End, now: Now) -> Result<(), Error> {
        let Ok(transfer) = self.transfer_mut(id) else { return Ok(()) };
        let (room, up) = (transfer.kept.room, transfer.kept.up);
        match (end, &transfer.kept.phase) {
            (End::Sent, Phase::Active | Phase::Paused) => {
                transfer.kept.again = false;
                transfer.kept.phase = Phase::Done;
                transfer.done = transfer.kept.size;
                transfer.rest();
            }
            (End::Saved(path), Phase::Active | Phase::Paused) => {
                (transfer.kept.phase, transfer.kept.again) = (Phase::Done, false);
                transfer.done = transfer.kept.size;
                (transfer.kept.path, transfer.kept.saved) = (Some(path), None);
                transfer.rest();
            }
            (End::Deleted, Phase::Cancelling) => {
                transfer.kept.phase = Phase::Cancelled;
                transfer.rest();
            }
            (End::Later(why), Phase::Active | Phase::Cancelling) => transfer.later(why, now),
            (End::Failed(why), Phase::Active) if transfer.may_come() => transfer.later(why, now),
            (End::Failed(why), Phase::Active) if up && transfer.kept.again => {
                // The relay may have all of it: only what could be brought again is known to be missing.
                (transfer.kept.phase, transfer.kept.again) = (Phase::Done, false);
                transfer.rest();
                let name = self.chat.transfer(&id).map_or(String::new(), |t| t.kept.name.clone());
                self.notice(
                    format!("{name}: the relay may have lost it, and it cannot be brought again ({why}): send it anew to who lacks it"),
                    true,
                );
            }
            (End::Failed(why), Phase::Active) => {
                let blob = transfer.kept.blob;
                transfer.kept.phase = Phase::Failed(why.clone());
                transfer.rest();
                if up {
                    // Half of a file is of no use to anybody.
                    self.effects.push(Effect::Transfer(Order::Delete(id, blob)));
                    self.mark_line(Some(id), LineState::Waiting(why.clone()))?;
                }
                let said = |t: &Transfer| format!("{}: {}", t.kept.name, t.said());
                self.notice(self.chat.transfer(&id).map_or(why, said), true);
            }
            // It is not theirs any more, or was never there.
            (End::Failed(_), Phase::Cancelling) => {
                transfer.kept.phase = Phase::Cancelled;
                transfer.rest();
            }
            // Of an order before the person thought otherwise.
            _ => return Ok(()),
        }
        self.transfer_changed(id);
        let sent = |line: &Line| line.state >= LineState::Sent;
        if up && self.line_of(room, &id)?.is_some_and(|(_, line)| sent(&line)) {
            self.timer_sent(Some(id), now)?;
        }
        Ok(())
    }

    // ---- small parts

    fn transfer_mut(&mut self, id: MessageId) -> Result<&mut Transfer, String> {
        let found = self.chat.transfers.iter_mut().find(|transfer| transfer.id == id);
        found.ok_or_else(|| "there is no such file: /files lists them".into())
    }

    fn add(&mut self, transfer: Transfer) {
        if self.chat.transfer(&transfer.id).is_none() {
            let id = transfer.id;
            self.chat.transfers.insert(0, transfer);
            self.transfer_changed(id);
        }
    }

    /// What is stored of a transfer is another.
    fn transfer_changed(&mut self, id: MessageId) {
        if let Some(transfer) = self.chat.transfers.iter().find(|transfer| transfer.id == id) {
            transfer.save(&mut self.batch);
        }
        self.tell_file(id);
    }

    fn tell_file(&mut self, id: MessageId) {
        let why = self.chat.transfer(&id).map_or(String::new(), |transfer| transfer.why().to_owned());
        self.tell_file_and_why(id, why);
    }

    fn tell_file_and_why(&mut self, id: MessageId, why: String) {
        let Some(transfer) = self.chat.transfer(&id) else { return };
        let Some(room) = self.chat.room(transfer.kept.room) else { return };
        let kept = &transfer.kept;
        let saved = kept.path.clone().filter(|_| kept.phase == Phase::Done && !kept.up);
        let happened = Happened::File {
            with: room.whose(),
            id,
            up: kept.up,
            name: kept.name.clone(),
            size: kept.size,
            done: transfer.done,
            state: transfer.word(),
            path: saved,
            why,
        };
        self.tell(happened);
    }

    /// Forgets what is under way in a conversation that is gone.
    pub(super) fn forget_files(&mut self, room: RoomId) {
        self.drop_files(|transfer| transfer.kept.room == room);
    }

    pub(super) fn drop_files(&mut self, which: impl Fn(&Transfer) -> bool) {
        let gone = self.chat.transfers.extract_if(.., |transfer| which(transfer));
        for transfer in gone.collect::<Vec<_>>() {
            self.effects.push(Effect::Transfer(Order::Stop(transfer.id)));
            self.forget_file(transfer);
        }
    }

    /// Forgets a transfer. Its record goes once nothing of it lies there: nothing else knows where that is.
    pub(super) fn forget_file(&mut self, mut transfer: Transfer) {
        if self.discard_half(&transfer) {
            transfer.kept.forgotten = true;
            transfer.kept.name.clear();
            transfer.save(&mut self.batch);
        } else {
            self.batch.delete(TRANSFERS, transfer.id.0);
        }
    }

    /// The message of a file has disappeared, or was deleted: what is under way ends, and what came of it goes too.
    pub(super) fn file_gone(&mut self, id: MessageId) {
        let Ok(transfer) = self.transfer_mut(id) else { return };
        let Kept { up, asked, phase, .. } = &transfer.kept;
        let awaited = *asked && !up && matches!(phase, Phase::Active | Phase::Paused);
        let over = match transfer.kept.phase {
            Phase::Done | Phase::Cancelling | Phase::Cancelled => true,
            // Half of what did not come lies there, to go on with.
            Phase::Failed(_) => transfer.kept.up,
            Phase::Offered | Phase::Active | Phase::Paused => false,
        };
        if !over {
            if awaited {
                let name = transfer.kept.name.clone();
                self.notice(format!("{name} does not come any more: its message has disappeared"), true);
            }
            self.give_up(id, Phase::Failed("its message has disappeared".into()));
        }
    }

    /// What is under way ends: an upload is taken back from the relay, a download is in that phase from now on. One that
    /// was saved elsewhere before lies there still.
    fn give_up(&mut self, id: MessageId, down: Phase) {
        let Ok(transfer) = self.transfer_mut(id) else { return };
        transfer.rest();
        transfer.tries = 0;
        transfer.kept.phase = if transfer.kept.up { Phase::Cancelling } else { down };
        let mut why = String::new();
        if let Some(saved) = transfer.kept.saved.take() {
            if let Phase::Failed(of) = std::mem::replace(&mut transfer.kept.phase, Phase::Done) {
                why = of;
            }
            transfer.done = transfer.kept.size;
            if let Some(folder) = transfer.kept.path.replace(saved) {
                transfer.kept.leaves(folder);
            }
        }
        if why.is_empty() {
            transfer.why().clone_into(&mut why);
        }
        let ended = transfer.clone();
        self.effects.push(Effect::Transfer(Order::Stop(id)));
        self.discard_half(&ended);
        ended.save(&mut self.batch);
        self.tell_file_and_why(id, why);
    }

    /// Discards the halves that an earlier run could not: it ended before, or another client had them open.
    pub(super) fn discard_halves(&mut self) {
        let mut orders = Vec::new();
        for transfer in &self.chat.transfers {
            let here = transfer.kept.path.iter().filter(|_| self.half_goes(transfer));
            let folders = here.chain(&transfer.kept.left);
            orders.extend(folders.map(|folder| Order::Discard(transfer.id, folder.clone())));
        }
        self.effects.extend(orders.into_iter().map(Effect::Transfer));
    }

    /// The number and the folder of each half that lies there. What is there of a file is readable.
    pub fn halves(&self) -> Vec<(MessageId, PathBuf)> {
        // What is forgotten stands in the store alone; one that cannot be read does not hold up a burn.
        let forgotten = Transfer::load(&self.store).map(|(_, forgotten)| forgotten).unwrap_or_default();
        let all = self.chat.transfers.iter().chain(&forgotten);
        all.flat_map(|it| it.halves().map(move |folder| (it.id, folder.clone()))).collect()
    }

    /// Whether something may lie there of a file that nobody can go on with.
    fn half_goes(&self, transfer: &Transfer) -> bool {
        let Kept { up, room, phase, path, .. } = &transfer.kept;
        let ends = match phase {
            Phase::Cancelled => true,
            // With its message there, /files resume goes on.
            Phase::Failed(_) => self.file_of(transfer.id, *room).is_none(),
            _ => false,
        };
        !up && path.is_some() && ends
    }

    /// What lies there of a file that did not come whole is readable, and nobody goes on with it. Whether
    /// anything may lie there.
    fn discard_half(&mut self, transfer: &Transfer) -> bool {
        let orders = transfer.halves().map(|folder| Order::Discard(transfer.id, folder.clone()));
        let before = self.effects.len();
        self.effects.extend(orders.map(Effect::Transfer));
        self.effects.len() > before
    }
}

#[cfg(test)]
mod tests;
