//! A whole call between two clients over QUIC on loopback: bytes on the wire with all headers, and CPU,
//! beside a JPEG a picture over the same path and beside the design that ascii-chat publishes.

use crate::codec::clips;
use crate::figure::Table;
use crate::people::{Home, Place, pair};
use crate::process::ticks;
use crate::wire::Between;
use anyhow::Context;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use std::time::Duration;
use subrosa::chat::call::CallState;
use subrosa::config::{Config, Video};
use subrosa::effect::Happened;
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
const PACKET: usize = 28 + 1 + 8 + 2 + 3 + 16 + 12 + 20;

/// Bytes that a packet carries.
const ROOM: usize = 1100;

/// What JPEG is compared at, in decibels of luma.
const JPEG_DB: f64 = 30.0;

/// ascii-chat's algorithm at 80×24 cells with half-blocks in truecolor, in bytes of escape codes a
/// picture, as measured on `carphone`; its server sends such pictures to each client.
const ASCII_DOWN: u64 = 70_000;

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let Video { width, height, fps, .. } = Config::default().video;
    let clip = clips().into_iter().find(|clip| clip.to_string_lossy().contains("carphone"));
    let (name, source) = match &clip {
        Some(clip) => ("carphone", clip.display().to_string()),
        None => ("test picture", "test:1".into()),
    };
    for kbps in BUDGETS {
        let [up, down, cpu] = call(&source, kbps)?;
        table.value(
            &format!("call of {name}, {width}×{height}, {fps} a second, /video {kbps}k: W with all headers"),
            &format!("{} up, {} down", kbits(up), kbits(down)),
            "",
            &format!("{:.1} % CPU: both clients and the relay", cpu as f64 / SECONDS as f64),
        );
    }
    let jpeg = jpeg(&source, Size { width, height }, fps)?;
    table.value(
        "the same as a JPEG a picture, computed",
        &kbits(jpeg),
        &format!("at {JPEG_DB} dB or just above"),
        "",
    );
    let up = u64::from(width) * u64::from(height) * 3 * u64::from(fps);
    table.value(
        "the same by ascii-chat's published design, computed",
        &format!("{} up, {} down", kbits(up), kbits(ASCII_DOWN * u64::from(fps))),
        "raw RGB to the server, escape codes of 80×24 cells back",
        "",
    );
    Ok(())
}

/// Bytes a second up and down of one client, and hundredths of seconds of CPU of all.
fn call(source: &str, kbps: u32) -> anyhow::Result<[u64; 3]> {
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
    Ok([up + headers[0], down + headers[1], cpu])
}

/// Bytes a second of the source's first ten seconds, each picture a JPEG in packets of its own.
fn jpeg(source: &str, size: Size, fps: u8) -> anyhow::Result<u64> {
    let mut source = Source::open(&Spec::parse(source)?, size)?;
    let mut film = Vec::new();
    for tick in 0..u32::from(fps) * 10 {
        film.extend(source.picture(Duration::from_secs(1) * tick / u32::from(fps))?);
    }
    for quality in 1..=100 {
        let (mut bytes, mut sum) = (0, 0.0);
        for picture in &film {
            let (jpeg, shown) = through(picture, quality)?;
            bytes += jpeg + jpeg.div_ceil(ROOM) * PACKET;
            sum += shown.psnr(picture).unwrap_or(0.0);
        }
        if sum / film.len() as f64 >= JPEG_DB {
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
