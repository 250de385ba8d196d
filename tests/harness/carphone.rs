//! A talking head on film, which is not part of the project. Packages include it by its path.

mod skip;

use super::Planes;
use skip::skipped;

/// The clip, 176 × 144 at 15 pictures a second, from the folder `SUBROSA_CLIPS` or from `shared/clips` beside
/// the project. Where it is not, that is said.
pub fn clip(project: &str) -> Option<Vec<u8>> {
    let folder = std::env::var("SUBROSA_CLIPS").unwrap_or_else(|_| format!("{project}/../shared/clips"));
    let read = std::fs::read(format!("{folder}/carphone-176x144-15.y4m"));
    read.inspect_err(|_| skipped(&format!("no clips in {folder}"))).ok()
}

/// Its picture of that number.
pub fn picture(clip: &[u8], number: usize) -> Planes<'_> {
    let header = clip.iter().position(|byte| *byte == b'\n').expect("a header") + 1;
    let (luma, chroma) = (176 * 144, 88 * 72);
    // Each begins with a line of its own.
    let planes = &clip[header + number * (6 + luma + 2 * chroma) + 6..];
    Planes {
        width: 176,
        height: 144,
        luma: &planes[..luma],
        chroma: (88, 72),
        cb: &planes[luma..luma + chroma],
        cr: &planes[luma + chroma..luma + 2 * chroma],
    }
}
