//! The two sides of a call apart: what the sender puts on the wire, what the viewer writes to its
//! terminal, and the CPU of each.

use crate::terminal::{AREA, in_full, look};
use anyhow::Context;
use std::time::Duration;
use subrosa::media::cells::Mode;
use subrosa::media::feedback::Feedback;
use subrosa::media::receive::Receiver;
use subrosa::media::send::{Sender, Shape};
use subrosa::media::tty::{Budget, Colours, Painter};
use subrosa_shared::id::TrackId;
use subrosa_shared::time::{Millis, Now};
use subrosa_shared::video::picture::Picture;

/// What one direction of a call takes, a second.
pub struct Sides {
    /// Bytes of datagrams: our header, seal, picture.
    pub wire: u64,
    /// Datagrams.
    pub packets: u64,
    /// Bytes written to a terminal of 80×24 cells, quadrants in truecolor.
    pub terminal: u64,
    /// Mean of the pictures' luma against what was filmed, in decibels.
    pub psnr: f64,
    /// CPU from picture to datagrams.
    pub sender: Duration,
    /// CPU from datagrams to escape codes.
    pub viewer: Duration,
}

const TRACK: TrackId = TrackId(1);
const KEY: [u8; 32] = [1; 32];

/// From end to end, in milliseconds.
const DELAY: u64 = 20;

/// What happens at one picture's time.
#[derive(Default)]
struct Moment {
    heard: Option<Feedback>,
    datagrams: Vec<Vec<u8>>,
}

/// Films and watches: once to know what the two say to each other, and then each side again alone, so
/// that the CPU is its own.
pub fn measure(film: &[Picture], shape: Shape) -> anyhow::Result<Sides> {
    let mut sender = Sender::new(TRACK, &KEY, 0, shape)?;
    let mut receiver = Receiver::new(TRACK, &KEY, 0);
    let (mut moments, mut psnr, mut shown): (Vec<Moment>, _, _) = (Vec::new(), 0.0, 0);
    let mut said = None;
    for (picture, nth) in film.iter().zip(0..) {
        let mut moment = Moment { heard: said.take(), datagrams: Vec::new() };
        films(&mut sender, &mut moment, picture, time(nth, shape));
        let seen = Now { wall: Millis(0), mono: Millis(time(nth, shape).mono.0 + DELAY) };
        for datagram in &moment.datagrams {
            if let Some(there) = receiver.datagram(datagram, seen) {
                psnr += there.psnr(picture).context("one size")?;
                shown += 1;
            }
        }
        said = receiver.feedback(seen);
        moments.push(moment);
    }
    let before = cpu()?;
    let mut sender = Sender::new(TRACK, &KEY, 0, shape)?;
    for ((picture, moment), nth) in film.iter().zip(&moments).zip(0..) {
        let mut again = Moment { heard: moment.heard, datagrams: Vec::new() };
        films(&mut sender, &mut again, picture, time(nth, shape));
        anyhow::ensure!(again.datagrams.len() == moment.datagrams.len(), "the same once more");
    }
    let filmed = cpu()?;
    let mut receiver = Receiver::new(TRACK, &KEY, 0);
    let mut painter = Painter::new(look(Mode::Quadrants, Colours::True));
    let mut terminal = 0;
    for (moment, nth) in moments.iter().zip(0..) {
        for datagram in &moment.datagrams {
            if let Some(picture) = receiver.datagram(datagram, time(nth, shape)) {
                let mut out = Vec::new();
                painter.paint(&picture, AREA, &[], Budget::Unlimited, &mut out);
                terminal += out.len() as u64;
            }
        }
    }
    let watched = cpu()?;
    let datagrams = || moments.iter().flat_map(|moment| &moment.datagrams);
    let second = |sum: u64| sum * u64::from(shape.fps) / film.len().max(1) as u64;
    let share = |time: Duration| time * u32::from(shape.fps) / film.len().max(1) as u32;
    Ok(Sides {
        wire: second(datagrams().map(|datagram| datagram.len() as u64).sum()),
        packets: second(datagrams().count() as u64),
        terminal: second(terminal),
        psnr: psnr / f64::from(shown.max(1)),
        sender: share(filmed.saturating_sub(before)),
        viewer: share(watched.saturating_sub(filmed)),
    })
}

/// Escape codes a second by ascii-chat's algorithm: plain, and each picture compressed by itself.
pub fn ascii(film: &[Picture], fps: u8) -> anyhow::Result<[u64; 2]> {
    let (mut plain, mut packed) = (0, 0);
    for picture in film {
        let mut out = Vec::new();
        in_full(picture, &mut out);
        plain += out.len() as u64;
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut zlib, &out)?;
        packed += zlib.finish()?.len() as u64;
    }
    Ok([plain, packed].map(|sum| sum * u64::from(fps) / film.len().max(1) as u64))
}

fn films(sender: &mut Sender, moment: &mut Moment, picture: &Picture, now: Now) {
    if let Some(heard) = &moment.heard {
        sender.heard(heard, now);
    }
    moment.datagrams = sender.send(picture, now);
    while sender.due().is_some_and(|due| due <= now.mono) {
        moment.datagrams.extend(sender.poll(now));
    }
}

fn time(nth: u64, shape: Shape) -> Now {
    Now { wall: Millis(0), mono: Millis(nth * 1000 / u64::from(shape.fps)) }
}

/// CPU time of this thread so far, of `/proc/thread-self/schedstat`: nanoseconds come first (kernel
/// documentation, sched-stats).
fn cpu() -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split_whitespace().next().context("no time in schedstat")?.parse()?;
    Ok(Duration::from_nanos(nanos))
}
