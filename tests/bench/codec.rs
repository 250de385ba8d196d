//! The picture codec on film, beside what else would carry it.

mod clip;
mod curve;
mod ours;
mod peers;
mod still;

use crate::figure::Table;
pub use clip::paths as clips;
use clip::{Clip, FPS, Film};
use curve::{Comparison, Curve, WANTED};
use ours::{Ours, Recovery};
use peers::PEERS;
use std::sync::Arc;
use std::thread;
use subrosa::media::send::Shape;
use subrosa_shared::protocol::media::{DATAGRAM_MAX, HEADER};
use subrosa_shared::video::codec::{Layers, Rate, Tables};

/// What an encrypted picture is longer by, in bytes.
const SEAL: usize = 20;

/// Where one quality is enough, in decibels.
const USUAL: f64 = 32.0;

/// How many pictures ago a frame was that is known to have arrived.
const AGES: [usize; 3] = [2, 3, 5];

/// Prints a comparison of each clip at each size, and puts the other figures into the table.
pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let clips = Clip::all()?;
    if clips.is_empty() {
        table.value("codec", "skipped: no clips", "name a folder of y4m files in SUBROSA_CLIPS", "");
    }
    for (at, clip) in clips.iter().enumerate() {
        let next = (clips.len() > 1).then(|| &clips[(at + 1) % clips.len()]);
        let (tables, source) = learned(clip, &clips);
        for (size, film) in clip.films.iter().enumerate() {
            let what = format!("{} at {}", clip.name, film.size());
            let ours = Ours::new(film, tables.clone());
            let curve = ours.curve(&WANTED, Layers::One)?;
            print!("{}", compare(&what, film, &curve, &source)?);
            if let Some(quantiser) = curve.setting(USUAL) {
                speed(table, &what, &ours, quantiser)?;
                recovery(table, &what, &ours, quantiser)?;
            }
            layers(table, &what, &ours, &curve)?;
            starts(table, &what, &ours, next.map(|next| (next, &next.films[size])))?;
        }
    }
    Ok(())
}

/// What both sides know before the first picture, learned from everything but this clip, and from
/// what that is.
fn learned(clip: &Clip, clips: &[Clip]) -> (Arc<Tables>, String) {
    let others: Vec<_> = clips.iter().filter(|other| other.footage() != clip.footage()).collect();
    if others.is_empty() {
        return (Tables::builtin(), "tables as shipped: no other clips to learn from".into());
    }
    eprintln!("bench: codec: {}: learning from the others", clip.name);
    let films: Vec<_> =
        others.iter().flat_map(|other| &other.films).map(|film| film.pictures.clone()).collect();
    let names: Vec<_> = others.iter().map(|other| other.name.as_str()).collect();
    (Arc::new(Tables::train(&films)), format!("tables learned from {}", names.join(", ")))
}

/// Kilobits a second at three qualities, ours and everyone else's.
fn compare(what: &str, film: &Film, ours: &Curve<u8>, source: &str) -> anyhow::Result<Comparison> {
    let title = format!("{what}, {FPS} a second, {} pictures: luma PSNR", film.pictures.len());
    let mut comparison = Comparison::new(title);
    thread::scope(|scope| {
        let peers = PEERS.each_ref().map(|peer| {
            scope.spawn(move || {
                let curve = peer.curve(film);
                eprintln!("bench: codec: {what}: {}", peer.name);
                curve
            })
        });
        comparison.row("subrosa", ours.wanted(), source);
        for (peer, curve) in PEERS.iter().zip(peers) {
            let curve = curve.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            comparison.row_or_skipped(peer.name, curve.map(|curve| curve.wanted()), peer.note);
        }
        anyhow::Ok(())
    })?;
    let jpeg = still::jpeg(film).map(|curve| curve.wanted());
    comparison.row_or_skipped("JPEG in Rust", jpeg, "a file a picture, with the usual Huffman tables");
    let cells = still::cells(film)?;
    let note = format!("{:.0} kbit/s, always {:.1} dB", cells.kbit, cells.decibels);
    comparison.row("256-colour cells, deflate", [None; 3], &note);
    Ok(comparison)
}

fn speed(table: &mut Table, what: &str, ours: &Ours<'_>, quantiser: u8) -> anyhow::Result<()> {
    let [encoding, decoding] = ours.times(quantiser)?;
    table.alone(&format!("encode {what}, near {USUAL:.0} dB"), &encoding);
    table.alone(&format!("decode {what}, near {USUAL:.0} dB"), &decoding);
    Ok(())
}

/// What it costs that a relay may leave out every second frame, at the same luma PSNR over all.
fn layers(table: &mut Table, what: &str, ours: &Ours<'_>, one: &Curve<u8>) -> anyhow::Result<()> {
    let two = ours.curve(&WANTED, Layers::Two)?;
    for wanted in WANTED {
        if let (Some(one), Some(two)) = (one.kbit(wanted), two.kbit(wanted)) {
            table.value(
                &format!("two layers, {what}, {wanted:.0} dB"),
                &format!("{two:.1} kbit/s"),
                &format!("one layer: {one:.1} kbit/s"),
                &format!("{:+.1} %", (two / one - 1.0) * 100.0),
            );
        }
    }
    Ok(())
}

/// What a frame from an acknowledged one costs beside a keyframe with the same quantiser: the median
/// over all pictures of the film, by how old the acknowledged one is.
fn recovery(table: &mut Table, what: &str, ours: &Ours<'_>, quantiser: u8) -> anyhow::Result<()> {
    for age in AGES {
        let Recovery { share, frame, keyframe } = ours.recovery(quantiser, age)?;
        let said = |(bytes, decibels): (f64, f64)| format!("{bytes:.0} B at {decibels:.1} dB");
        table.value(
            &format!("recover, {what}, acknowledged {} ms ago", age * 1000 / usize::from(FPS)),
            &said(frame),
            &format!("keyframe: {}", said(keyframe)),
            &format!("{:.0} %", share * 100.0),
        );
    }
    Ok(())
}

/// What a call begins with, and what a cut costs, in the budget that a call has by default.
fn starts(
    table: &mut Table,
    what: &str,
    ours: &Ours<'_>,
    next: Option<(&Clip, &Film)>,
) -> anyhow::Result<()> {
    let budget = Shape::default().budget;
    let overhead = u32::from(FPS) * (HEADER + SEAL) as u32;
    let rate = Rate::Budget { bytes_per_second: (budget / 8).saturating_sub(overhead), fps: FPS };
    let (keyframe, cut) = ours.keyframe_and_cut(next.map(|(_, film)| film), rate)?;
    let mut row = |kind: &str, (bytes, decibels): (usize, f64)| {
        let datagrams = (bytes + SEAL).div_ceil(DATAGRAM_MAX - HEADER);
        table.value(
            &format!("{kind}: {what}, {} kbit/s", budget / 1000),
            &format!("{bytes} B at {decibels:.1} dB"),
            "",
            &format!("{datagrams} datagram{}", if datagrams == 1 { "" } else { "s" }),
        );
    };
    row("keyframe", keyframe);
    if let (Some(cut), Some((clip, _))) = (cut, next) {
        row(&format!("cut to {}", clip.name), cut);
    }
    Ok(())
}
