//! Writes the picture codec's tables anew, from the clips at hand and drawn faces.

use crate::codec::clips;
use crate::figure::Table;
use anyhow::Context;
use std::path::Path;
use std::time::Duration;
use subrosa::media::source::{Size, Source, Spec};
use subrosa_shared::video::codec::Tables;
use subrosa_shared::video::picture::Picture;

const SIZES: [(u16, u16); 2] = [(80, 48), (160, 96)];
/// Pictures of each clip, ten a second.
const PICTURES: u32 = 40;
/// Faces that are drawn in addition.
const FACES: u64 = 2;

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let mut specs: Vec<_> = clips().into_iter().map(Spec::Y4m).collect();
    let filmed = specs.len();
    specs.extend((1..=FACES).map(Spec::Test));
    let mut films = Vec::new();
    for spec in &specs {
        for (width, height) in SIZES {
            films.push(film(spec, width, height)?);
        }
    }
    let bytes = Tables::train(&films).to_bytes();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src/video/tables.bin");
    std::fs::write(&path, &bytes).with_context(|| path.display().to_string())?;
    let from = format!("{filmed} clips and {FACES} drawn faces, {PICTURES} pictures each");
    table.value("tables of the picture codec", &format!("{} bytes", bytes.len()), &from, "");
    Ok(())
}

fn film(spec: &Spec, width: u16, height: u16) -> anyhow::Result<Vec<Picture>> {
    let mut source = Source::open(spec, Size { width, height })?;
    let mut film = Vec::new();
    for at in 0..PICTURES {
        film.extend(source.picture(Duration::from_millis(100) * at)?);
    }
    Ok(film)
}
