//! A whole call between two clients over QUIC on loopback: bytes on the wire with all headers, and CPU,
//! beside a JPEG a picture over the same path and beside the design that ascii-chat publishes.

use crate::codec::clips;
use crate::figure::Table;
use crate::people::{Home, Place, pair};
use crate::process::ticks;
use crate::sides::{self, Sides};
use crate::wire::Between;
use anyhow::Context;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use std::time::Duration;
use subrosa::chat::call::CallState;
use subrosa::config::{Config, Video};
use subrosa::effect::Happened;
use subrosa::media::send::Shape;
use subrosa::media::source::{Size, Source, Spec};
use subrosa::ui::command::Command;
use subrosa::ui::picture::Change;
use subrosa_shared::video::picture::{Fit, Picture, Rgb};

/// Seconds that are measured, after those in which a call finds its rate.
const SECONDS: u64 = 10;
const SETTLES: u64 = 5;

/// What the person allows, in kilobits a second.
const BUDGETS: [u32; 2] = [32, 8];

/// IPv4 and UDP.
const BELOW_QUIC: u64 = 20 + 8;

/// What a picture's packet costs beside the picture: IPv4, UDP, QUIC (1 B, connection id of 8, packet
/// number, frame type and length, tag), our header, SFrame's header and tag.
const PACKET: usize = 28 + 1 + 8 + 2 + 3 + 16 + SEALED;

/// What of it is ours: header, and SFrame's header and tag.
const SEALED: usize = 12 + 20;

/// Bytes that a packet carries.
const ROOM: usize = 1100;

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let Video { width, height, fps, .. } = Config::default().video;
    let clip = clips().into_iter().find(|clip| clip.to_string_lossy().contains("carphone"));
    let (name, source) = match &clip {
        Some(clip) => ("carphone", clip.display().to_string()),
        None => ("test picture", "test:1".into()),
    };
    let size = Size { width, height };
    let film = film(&source, size, fps)?;
    // ascii-chat's own description: each client sends its pictures raw, the server makes ASCII of them,
    // mixes, and sends each client escape codes for its terminal, compressed where that helps.
    let [escapes, packed] = sides::ascii(&film, fps)?;
    let raw = u64::from(width) * u64::from(height) * 3 * u64::from(fps);
    for kbps in BUDGETS {
        let [up, down, plain_up, plain_down, cpu] = call(&source, kbps)?;
        let name = format!("call of {name}, {width}×{height}, {fps} a second, /video {kbps}k");
        table.value(
            &format!("{name}: W over QUIC"),
            &format!("{} up, {} down", kbits(up), kbits(down)),
            &format!("without IP and UDP {} up, {} down", kbits(plain_up), kbits(plain_down)),
            &format!("{:.1} % CPU: both clients and the relay", cpu as f64 / SECONDS as f64),
        );
        let shape = Shape { width, height, fps, budget: kbps * 1000 };
        let Sides { wire, packets, terminal, psnr, sender, viewer } = sides::measure(&film, shape)?;
        let on_wire = wire + packets * (PACKET - SEALED) as u64;
        table.value(
            &format!("{name}: W one way, {psnr:.1} dB"),
            &format!("{}, {} with all headers", kbits(wire), kbits(on_wire)),
            "",
            "",
        );
        let jpeg = jpeg(&film, psnr, fps)?;
        let times = |other: u64, ours: u64| format!("{:.1}×", other as f64 / ours.max(1) as f64);
        table.value(
            "a JPEG a picture, as good",
            &format!("{} with all headers", kbits(jpeg)),
            "",
            &times(jpeg, on_wire),
        );
        table.value(
            "ascii-chat's design: W, raw RGB up, escape codes down (zlib a picture)",
            &format!("{} up, {} down", kbits(raw), kbits(packed)),
            "",
            &format!("{} / {}", times(raw, on_wire), times(packed, on_wire)),
        );
        table.value(
            &format!("{name}: T, 80×24 quadrants in truecolor, no budget"),
            &format!("{terminal} B/s"),
            &format!("ascii-chat's way: {escapes} B/s"),
            &times(escapes, terminal),
        );
        table.value(
            &format!("{name}: CPU, picture to wire / wire to terminal"),
            &format!("{:.1} % / {:.1} %", sender.as_secs_f64() * 100.0, viewer.as_secs_f64() * 100.0),
            "of one core",
            "",
        );
    }
    Ok(())
}

/// Bytes a second up and down of one client with all headers, the same without those below QUIC, and
/// hundredths of seconds of CPU of all.
fn call(source: &str, kbps: u32) -> anyhow::Result<[u64; 5]> {
    let place = Place::start(None)?;
    let link = place.server().link();
    let between = Between::start(link)?;
    let [ada, ben] = pair([Home::Memory, Home::Memory], [&between.link, link])?;
    for person in [&ada, &ben] {
        person.runs(Command::Picture(Change::Budget(kbps)));
    }
    let is = |wanted: CallState| move |happened: &Happened| matches!(happened, Happened::Call { state: Some(state), .. } if *state == wanted);
    ada.runs(Command::Video(Some(source.into())));
    ben.hears("a call", is(CallState::Ringing))?;
    ben.runs(Command::Answer(Some(source.into())));
    ada.hears("an answer", is(CallState::Active))?;
    std::thread::sleep(Duration::from_secs(SETTLES));
    let (bytes, packets, cpu) = (between.counted(), between.packets(), ticks(std::process::id())?);
    std::thread::sleep(Duration::from_secs(SECONDS));
    let cpu = ticks(std::process::id())? - cpu;
    let [up, down] = between.since(bytes, SECONDS);
    let sent = between.packets();
    let headers = [0, 1].map(|way| (sent[way] - packets[way]) * BELOW_QUIC / SECONDS);
    ada.runs(Command::Hangup);
    Ok([up + headers[0], down + headers[1], up, down, cpu])
}

/// The source's first ten seconds.
fn film(source: &str, size: Size, fps: u8) -> anyhow::Result<Vec<Picture>> {
    let mut source = Source::open(&Spec::parse(source)?, size)?;
    let mut film = Vec::new();
    for tick in 0..u32::from(fps) * 10 {
        film.extend(source.picture(Duration::from_secs(1) * tick / u32::from(fps))?);
    }
    Ok(film)
}

/// Bytes a second of JPEGs that are just as good in the mean, each in packets of its own.
fn jpeg(film: &[Picture], least: f64, fps: u8) -> anyhow::Result<u64> {
    for quality in 1..=100 {
        let (mut bytes, mut sum) = (0, 0.0);
        for picture in film {
            let (jpeg, shown) = through(picture, quality)?;
            bytes += jpeg + jpeg.div_ceil(ROOM) * PACKET;
            sum += shown.psnr(picture).unwrap_or(0.0);
        }
        if sum / film.len() as f64 >= least {
            return Ok((bytes * usize::from(fps) / film.len()) as u64);
        }
    }
    anyhow::bail!("no JPEG is that good")
}

/// Length of a picture's JPEG, and what it shows.
fn through(picture: &Picture, quality: u8) -> anyhow::Result<(usize, Picture)> {
    let (width, height) = (picture.width(), picture.height());
    let raw: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| picture.rgb(x, y))).collect();
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    encoder.encode(&raw, width.into(), height.into(), ExtendedColorType::Rgb8)?;
    let back = image::load_from_memory(&bytes)?.to_rgb8();
    let rgb = Rgb::new(width.into(), height.into(), back.as_raw()).context("as many bytes")?;
    Ok((bytes.len(), Picture::from_rgb(rgb, width, height, Fit::Crop).context("the same size")?))
}

fn kbits(bytes: u64) -> String {
    format!("{:.1} kbit/s", bytes as f64 * 8.0 / 1000.0)
}
