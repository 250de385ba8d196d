//! Other video codecs, through the system's ffmpeg: one picture in, one frame out, one thread.

use super::clip::{FPS, Film};
use super::curve::{Curve, Point, WANTED};
use anyhow::{Context, bail};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use subrosa_shared::video::picture::Picture;
use tempfile::TempDir;

/// A codec, and how it is asked for low delay and a constant quality.
pub struct Peer {
    pub name: &'static str,
    pub note: &'static str,
    options: &'static [&'static str],
    /// The option that sets a constant quality.
    quality: &'static str,
    /// From coarse to fine: first, last, by how much they fall.
    settings: (u8, u8, usize),
    /// It refuses less. Smaller pictures have their last row and column repeated.
    side_min: u16,
}

/// All that are measured.
pub const PEERS: [Peer; 5] = [
    Peer {
        name: "x264 medium",
        note: "zerolatency, tuned for PSNR, without its banner",
        options: &[
            "-c:v", "libx264", "-preset", "medium", X264[0], X264[1], X264[2], X264[3], X264[4], X264[5],
        ],
        quality: "-crf",
        settings: (48, 14, 2),
        side_min: 16,
    },
    Peer {
        name: "x264 slower",
        note: "likewise",
        options: &[
            "-c:v", "libx264", "-preset", "slower", X264[0], X264[1], X264[2], X264[3], X264[4], X264[5],
        ],
        quality: "-crf",
        settings: (48, 14, 2),
        side_min: 16,
    },
    Peer {
        name: "VP9",
        note: "realtime, cpu 0, no lag",
        options: &[
            "-c:v",
            "libvpx-vp9",
            "-deadline",
            "realtime",
            "-cpu-used",
            "0",
            "-lag-in-frames",
            "0",
            "-error-resilient",
            "0",
            "-b:v",
            "0",
            "-g",
            "9999",
        ],
        quality: "-crf",
        settings: (63, 13, 2),
        side_min: 16,
    },
    Peer {
        name: "SVT-AV1",
        note: "low delay, preset 5 or the slowest that it allows; under 64 rows padded",
        options: &["-c:v", "libsvtav1", "-preset", "5", "-g", "9999", "-svtav1-params", "pred-struct=1:lp=1"],
        quality: "-crf",
        settings: (63, 13, 2),
        side_min: 64,
    },
    Peer {
        name: "JPEG",
        note: "a file a picture, with the best Huffman tables",
        options: &["-c:v", "mjpeg", "-huffman", "optimal"],
        quality: "-q:v",
        settings: (31, 2, 1),
        side_min: 16,
    },
];

/// Common to the presets. The banner in which x264 tells its settings is no picture.
const X264: [&str; 6] =
    ["-tune", "psnr,zerolatency", "-x264-params", "keyint=infinite", "-bsf:v", "filter_units=remove_types=6"];

impl Peer {
    /// The film at the wanted qualities.
    pub fn curve(&self, film: &Film) -> anyhow::Result<Curve<u8>> {
        let files = Files::of(film, self.side_min)?;
        let (coarse, fine, step) = self.settings;
        Curve::around(&WANTED, (fine..=coarse).rev().step_by(step), |setting| {
            let bytes = files.encode(self, setting)?;
            Ok(Point { kbit: film.kbit(bytes), decibels: film.quality(&files.decode(film)?)? })
        })
    }
}

/// A film on disk, raw and encoded. Gone when dropped.
struct Files {
    folder: TempDir,
    width: u16,
    height: u16,
}

impl Files {
    fn of(film: &Film, side_min: u16) -> anyhow::Result<Self> {
        let files = Self {
            folder: tempfile::tempdir()?,
            width: film.width.max(side_min),
            height: film.height.max(side_min),
        };
        let mut raw = Vec::new();
        for picture in &film.pictures {
            let half = |side: u16| usize::from(side.div_ceil(2));
            let (from, to) = (usize::from(film.width), (usize::from(files.width), usize::from(files.height)));
            let (from_half, to_half) = (half(film.width), (half(files.width), half(files.height)));
            repeat_edges(&mut raw, &picture.luma, from, to);
            repeat_edges(&mut raw, &picture.cb, from_half, to_half);
            repeat_edges(&mut raw, &picture.cr, from_half, to_half);
        }
        std::fs::write(files.raw(), raw)?;
        Ok(files)
    }

    fn raw(&self) -> PathBuf {
        self.folder.path().join("raw.yuv")
    }

    fn encoded(&self) -> PathBuf {
        self.folder.path().join("encoded.mkv")
    }

    /// Bytes of all frames; the container does not count.
    fn encode(&self, peer: &Peer, setting: u8) -> anyhow::Result<usize> {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg
            .args(["-nostdin", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size"])
            .arg(format!("{}x{}", self.width, self.height))
            .args(["-framerate", &FPS.to_string(), "-i"])
            .arg(self.raw())
            .args(["-threads", "1"])
            .args(peer.options)
            .args([peer.quality, &setting.to_string(), "-f", "matroska"])
            .arg(self.encoded());
        run(ffmpeg)?;
        let mut ffprobe = Command::new("ffprobe");
        ffprobe
            .args([
                "-v",
                "error",
                "-show_entries",
                "packet=size",
                "-of",
                "default=noprint_wrappers=1:nokey=1",
            ])
            .arg(self.encoded());
        let sizes = String::from_utf8(run(ffprobe)?)?;
        let bytes: Result<usize, _> = sizes.lines().map(|line| line.trim().parse::<usize>()).sum();
        bytes.context("ffprobe tells no sizes")
    }

    fn decode(&self, film: &Film) -> anyhow::Result<Vec<Picture>> {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-nostdin", "-v", "error", "-i"]).arg(self.encoded());
        ffmpeg
            .args(["-vf", &format!("crop={}:{}:0:0", film.width, film.height)])
            .args(["-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]);
        let raw = run(ffmpeg)?;
        let luma = usize::from(film.width) * usize::from(film.height);
        let chroma = usize::from(film.width.div_ceil(2)) * usize::from(film.height.div_ceil(2));
        let picture = |bytes: &[u8]| {
            let (y, rest) = bytes.split_at(luma);
            let (cb, cr) = rest.split_at(chroma);
            Picture::from_planes(film.width, film.height, y.into(), cb.into(), cr.into())
        };
        let pictures: Option<Vec<_>> = raw.chunks_exact(luma + 2 * chroma).map(picture).collect();
        pictures.context("ffmpeg returns another size")
    }
}

/// A plane in a larger one, with its last column and row repeated.
fn repeat_edges(into: &mut Vec<u8>, plane: &[u8], width: usize, (to_width, to_height): (usize, usize)) {
    let last = plane.len() / width - 1;
    for y in 0..to_height {
        let row = &plane[y.min(last) * width..][..width];
        into.extend((0..to_width).map(|x| row[x.min(width - 1)]));
    }
}

/// Runs a program to its end; what it printed, or the last line of its complaint.
fn run(mut command: Command) -> anyhow::Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    // SVT-AV1 is talkative otherwise.
    command.env("SVT_LOG", "1").stdin(Stdio::null());
    let output = command.output().with_context(|| format!("no {name} here"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no reason given");
        bail!("{name}: {last}");
    }
    Ok(output.stdout)
}
