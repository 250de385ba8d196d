//! A video file from its first picture to its last, at a size and rate of one's own.

use super::film::Film;
use super::source::{Error, Size};
use super::y4m;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;
use subrosa_shared::video::picture::{Fit, Picture};

/// The pictures of a file, one after another.
pub struct Clip {
    size: Size,
    fps: u8,
    /// Number of the next picture.
    next: u64,
    kind: Kind,
}

enum Kind {
    Y4m {
        video: y4m::Reader<Box<dyn BufRead + Send>>,
        /// How many of the file's pictures were read, and the newest one.
        read: u64,
        newest: Option<Picture>,
    },
    Film(Film),
}

impl Clip {
    /// Opens a y4m, GIF or image file; `-` is y4m on standard input.
    ///
    /// # Errors
    /// [`Error`] says what is wrong and what to do.
    pub fn open(path: &Path, size: Size, fps: u8) -> Result<Self, Error> {
        Self::with(path, None, size, fps)
    }

    /// The same when that is open already: from a pipe nothing comes twice. GIFs and images are opened anew.
    ///
    /// # Errors
    /// The same.
    pub fn with(
        path: &Path,
        input: Option<Box<dyn BufRead + Send>>,
        size: Size,
        fps: u8,
    ) -> Result<Self, Error> {
        Picture::grey(size.width, size.height).ok_or(Error::Size)?;
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        let kind = match extension.as_deref() {
            Some("gif") => Kind::Film(Film::gif(path, size)?),
            Some("png" | "jpg" | "jpeg") => Kind::Film(Film::stills(&[path.to_path_buf()], size)?),
            // Whatever else it is called, its first line says whether it is y4m.
            _ => {
                let input: Box<dyn BufRead + Send> = match input {
                    Some(input) => input,
                    None if path == Path::new("-") => Box::new(BufReader::new(std::io::stdin())),
                    None => {
                        let file = File::open(path).map_err(|error| Error::unreadable(path, &error))?;
                        Box::new(BufReader::new(file))
                    }
                };
                let video = y4m::Reader::open(input).map_err(|error| match error {
                    y4m::Error::Io(why) => Error::unreadable(path, &why),
                    error => error.into(),
                })?;
                Kind::Y4m { video, read: 0, newest: None }
            }
        };
        Ok(Self { size, fps: fps.max(1), next: 0, kind })
    }

    /// The next picture, or `None` after the last. A faster file loses pictures, a slower one shows
    /// them for longer.
    ///
    /// # Errors
    /// [`Error`] when the file is damaged.
    pub fn next_picture(&mut self) -> Result<Option<Picture>, Error> {
        let at = self.next;
        self.next += 1;
        match &mut self.kind {
            Kind::Film(film) => {
                let moment = Duration::from_nanos(at * 1_000_000_000 / u64::from(self.fps));
                // A still that is over at once is shown once.
                let shown = at == 0 || moment < film.length();
                Ok(film.at(moment).filter(|_| shown).cloned())
            }
            Kind::Y4m { video, read, newest } => {
                let (count, unit) = video.header().rate;
                let wanted = u128::from(at) * u128::from(count) / (u128::from(unit) * u128::from(self.fps));
                while u128::from(*read) <= wanted {
                    let Some(planes) = video.next_picture()? else { return Ok(None) };
                    if u128::from(*read) == wanted {
                        let Size { width, height } = self.size;
                        *newest = Picture::from_scaled(planes, width, height, Fit::Crop);
                    }
                    *read += 1;
                }
                Ok(newest.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const SIZE: Size = Size { width: 16, height: 16 };

    /// A y4m file of that rate with one grey picture a shade.
    fn file(folder: &Path, rate: &str, shades: &[u8]) -> std::path::PathBuf {
        let path = folder.join("clip.y4m");
        let mut bytes = format!("YUV4MPEG2 W16 H16 F{rate}\n").into_bytes();
        for shade in shades {
            bytes.extend(b"FRAME\n");
            bytes.extend([vec![*shade; 256], vec![128; 128]].concat());
        }
        File::create(&path).and_then(|mut file| file.write_all(&bytes)).expect("written");
        path
    }

    fn shades(path: &Path, fps: u8) -> Vec<u8> {
        let mut clip = Clip::open(path, SIZE, fps).expect("a clip");
        let pictures = std::iter::from_fn(|| clip.next_picture().expect("whole"));
        pictures.map(|picture| picture.luma[0]).collect()
    }

    #[test]
    fn a_faster_file_loses_pictures_and_a_slower_one_repeats_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = file(folder.path(), "15:1", &[10, 20, 30, 40, 50, 60]);
        assert_eq!(shades(&path, 15), [10, 20, 30, 40, 50, 60]);
        assert_eq!(shades(&path, 10), [10, 20, 40, 50]);
        assert_eq!(shades(&path, 30), [10, 10, 20, 20, 30, 30, 40, 40, 50, 50, 60, 60]);
        let path = file(folder.path(), "4294967295:1", &[10, 20]);
        assert_eq!(shades(&path, 1), [10], "an absurd rate ends");
    }

    #[test]
    fn a_still_is_short_and_what_is_no_video_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let still = folder.path().join("still.png");
        image::RgbImage::from_pixel(40, 30, image::Rgb([200; 3])).save(&still).expect("saved");
        assert_eq!(shades(&still, 10).len(), 1);
        let text = folder.path().join("notes.txt");
        std::fs::write(&text, "no video\n").expect("saved");
        assert!(Clip::open(&text, SIZE, 10).is_err());
        let gone = Clip::open(&folder.path().join("gone.y4m"), SIZE, 10).err().expect("not there");
        assert!(gone.to_string().contains("gone.y4m"), "{gone}");
        assert!(matches!(Clip::open(&still, Size { width: 2, height: 2 }, 10), Err(Error::Size)));
    }
}
