//! Footage at the sizes and the pace of a call.

use anyhow::{Context, anyhow};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use subrosa::media::y4m::{self, Reader};
use subrosa_shared::video::picture::{Fit, Picture};

/// Pictures a second. A faster clip loses some of its own, a slower one is played faster.
pub const FPS: u8 = 10;

/// The sizes at which everything is measured.
pub const SIZES: [(u16, u16); 2] = [(80, 48), (160, 96)];

/// Pictures of each clip, at most.
const PICTURES: usize = 100;

/// One piece of footage.
pub struct Clip {
    pub name: String,
    /// One for each of [`SIZES`].
    pub films: Vec<Film>,
}

/// A clip at one size.
pub struct Film {
    pub width: u16,
    pub height: u16,
    pub pictures: Vec<Picture>,
}

impl Clip {
    /// All that there are.
    pub fn all() -> anyhow::Result<Vec<Self>> {
        paths().iter().map(|path| Self::read(path).with_context(|| path.display().to_string())).collect()
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let refused = |error: y4m::Error| anyhow!("{error}");
        let mut reader = Reader::open(BufReader::new(File::open(path)?)).map_err(refused)?;
        let (over, under) = reader.header().rate;
        let mut films = SIZES.map(|(width, height)| Film { width, height, pictures: Vec::new() });
        let mut kept = 0;
        let mut number = 0;
        while let Some(planes) = reader.next_picture().map_err(refused)? {
            if number * u64::from(FPS) * u64::from(under) >= kept * u64::from(over) {
                kept += 1;
                for film in &mut films {
                    film.pictures.extend(Picture::from_scaled(planes, film.width, film.height, Fit::Crop));
                }
            }
            number += 1;
            if kept == PICTURES as u64 {
                break;
            }
        }
        anyhow::ensure!(kept > 1, "fewer than two pictures");
        let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Self { name, films: films.into() })
    }

    /// Clips with the same one may be cut from the same footage: the letters that the name starts with.
    pub fn footage(&self) -> &str {
        self.name.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default()
    }
}

/// The y4m files in `SUBROSA_CLIPS`, or in `shared/clips` beside the project.
pub fn paths() -> Vec<PathBuf> {
    let folder = std::env::var_os("SUBROSA_CLIPS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/clips"), PathBuf::from);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "y4m"))
        .collect();
    paths.sort();
    paths
}

impl Film {
    /// As it is called in tables.
    pub fn size(&self) -> String {
        format!("{}×{}", self.width, self.height)
    }

    /// Kilobits a second when all pictures together take so many bytes.
    pub fn kbit(&self, bytes: usize) -> f64 {
        bytes as f64 * 8.0 * f64::from(FPS) / self.pictures.len() as f64 / 1000.0
    }

    /// Mean over the pictures of their luma PSNR in decibels; `shown` is as long as the film.
    pub fn quality(&self, shown: &[Picture]) -> anyhow::Result<f64> {
        let (there, back) = (self.pictures.len(), shown.len());
        anyhow::ensure!(there == back, "{there} pictures went in and {back} came out");
        let each = self.pictures.iter().zip(shown).map(|(picture, shown)| shown.psnr(picture));
        let sum: Option<f64> = each.sum();
        Ok(sum.context("pictures came back with another size")? / there as f64)
    }
}
