//! Raw video as other programs read and write it: YUV4MPEG2.

use std::io::{self, BufRead, Read, Write};
use subrosa_shared::video::picture::{Picture, Planes};

/// The widest and tallest picture that is read.
pub const SIDE_MAX: usize = 4096;

/// The longest header line that is read.
const LINE_MAX: u64 = 512;

/// What a stream's first line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Luma samples in a row.
    pub width: usize,
    /// Luma rows.
    pub height: usize,
    /// Pictures a second, as a fraction; 25/1 when the stream does not say.
    pub rate: (u32, u32),
    /// How chroma is sampled.
    pub chroma: Chroma,
}

/// How chroma is sampled, with 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chroma {
    /// 4:2:0 in any siting: at this size the difference does not show.
    Half,
    /// 4:2:2.
    HalfWidth,
    /// 4:4:4.
    Full,
    /// Grey.
    Mono,
}

/// Why a stream cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not y4m, or damaged.
    #[error("not a y4m stream ({0}); make one with: ffmpeg -i INPUT -pix_fmt yuv420p OUTPUT.y4m")]
    Malformed(&'static str),
    /// y4m, but of a kind we do not read.
    #[error("y4m with {0} is not supported; convert with: ffmpeg -i INPUT -pix_fmt yuv420p OUTPUT.y4m")]
    Unsupported(String),
    /// The stream could not be read.
    #[error("the video could not be read: {0}")]
    Io(#[from] io::Error),
}

/// Reads pictures one after another. Memory is bounded by [`SIDE_MAX`], whatever the header says.
pub struct Reader<R> {
    input: R,
    header: Header,
    luma: Vec<u8>,
    cb: Vec<u8>,
    cr: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the stream's first line.
    ///
    /// # Errors
    /// [`Error`] says what is wrong with it.
    pub fn open(mut input: R) -> Result<Self, Error> {
        let line = line(&mut input)?.ok_or(Error::Malformed("it is empty"))?;
        let header = Header::parse(&line)?;
        let (w, h) = header.chroma_size();
        let (luma, chroma) = (vec![0; header.width * header.height], vec![0; w * h]);
        Ok(Self { input, header, luma, cb: chroma.clone(), cr: chroma })
    }

    /// What the stream's first line says.
    pub fn header(&self) -> Header {
        self.header
    }

    /// The next picture, or `None` after the last whole one.
    ///
    /// # Errors
    /// [`Error::Malformed`] when what follows is not a picture.
    pub fn next_picture(&mut self) -> Result<Option<Planes<'_>>, Error> {
        let Some(line) = line(&mut self.input)? else { return Ok(None) };
        if !(line == "FRAME" || line.starts_with("FRAME ")) {
            return Err(Error::Malformed("a picture does not start with FRAME"));
        }
        for plane in [&mut self.luma, &mut self.cb, &mut self.cr] {
            match self.input.read_exact(plane) {
                Ok(()) => {}
                // A stream that was cut ends with its last whole picture.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(Planes {
            width: self.header.width,
            height: self.header.height,
            luma: &self.luma,
            chroma: self.header.chroma_size(),
            cb: &self.cb,
            cr: &self.cr,
        }))
    }

    /// The stream, after the last picture that was read.
    pub fn into_inner(self) -> R {
        self.input
    }
}

impl Header {
    fn parse(line: &str) -> Result<Self, Error> {
        let mut words = line.split(' ');
        if words.next() != Some("YUV4MPEG2") {
            return Err(Error::Malformed("it does not start with YUV4MPEG2"));
        }
        let mut header = Self { width: 0, height: 0, rate: (25, 1), chroma: Chroma::Half };
        let side = |text: &str| text.parse().ok().filter(|side| (1..=SIDE_MAX).contains(side));
        for word in words.filter(|word| !word.is_empty()) {
            let Some((tag, value)) = word.split_at_checked(1) else { continue };
            match tag {
                "W" => header.width = side(value).ok_or(Error::Malformed("its width is not 1 to 4096"))?,
                "H" => header.height = side(value).ok_or(Error::Malformed("its height is not 1 to 4096"))?,
                "F" => {
                    let (count, unit) =
                        value.split_once(':').ok_or(Error::Malformed("its rate is no fraction"))?;
                    let number = |text: &str| {
                        text.parse::<u32>().map_err(|_| Error::Malformed("its rate is no fraction"))
                    };
                    let rate = (number(count)?, number(unit)?);
                    // 0:0 means unknown.
                    if rate.0 > 0 && rate.1 > 0 {
                        header.rate = rate;
                    }
                }
                "C" => header.chroma = Chroma::parse(value)?,
                // Interlacing, aspect, comments: nothing that changes what is shown this small.
                _ => {}
            }
        }
        if header.width == 0 || header.height == 0 {
            return Err(Error::Malformed("it has no size"));
        }
        Ok(header)
    }

    /// Width and height of each chroma plane.
    fn chroma_size(&self) -> (usize, usize) {
        match self.chroma {
            Chroma::Half => (self.width.div_ceil(2), self.height.div_ceil(2)),
            Chroma::HalfWidth => (self.width.div_ceil(2), self.height),
            Chroma::Full => (self.width, self.height),
            Chroma::Mono => (0, 0),
        }
    }
}

impl Chroma {
    fn parse(name: &str) -> Result<Self, Error> {
        match name {
            "420" | "420jpeg" | "420mpeg2" | "420paldv" => Ok(Self::Half),
            "422" => Ok(Self::HalfWidth),
            "444" => Ok(Self::Full),
            "mono" => Ok(Self::Mono),
            other => {
                Err(Error::Unsupported(format!("chroma {:?}", other.chars().take(16).collect::<String>())))
            }
        }
    }
}

/// A line without its end; `None` at the end of the stream.
fn line(input: &mut impl BufRead) -> Result<Option<String>, Error> {
    let mut bytes = Vec::new();
    input.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.pop() != Some(b'\n') {
        return Err(Error::Malformed("a line is cut or too long"));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| Error::Malformed("its header is not text"))
}

/// Writes pictures as one stream. The first picture sets the size; others are scaled to it.
pub struct Writer<W> {
    output: W,
    fps: u32,
    size: Option<(u16, u16)>,
}

impl<W: Write> Writer<W> {
    /// A stream that says it has `fps` pictures a second.
    pub fn new(output: W, fps: u32) -> Self {
        Self { output, fps: fps.max(1), size: None }
    }

    /// Appends a picture and flushes it out.
    ///
    /// # Errors
    /// What the output says.
    pub fn write(&mut self, picture: &Picture) -> io::Result<()> {
        let size = (picture.width(), picture.height());
        let (width, height) = match self.size {
            Some(size) => size,
            None => {
                writeln!(self.output, "YUV4MPEG2 W{} H{} F{}:1 Ip A1:1 C420jpeg", size.0, size.1, self.fps)?;
                *self.size.insert(size)
            }
        };
        let scaled =
            picture.scaled(width, height, Default::default()).expect("a picture of that size exists");
        self.output.write_all(b"FRAME\n")?;
        for plane in [&scaled.luma, &scaled.cb, &scaled.cr] {
            self.output.write_all(plane)?;
        }
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: &[u8]) -> Result<Reader<&[u8]>, Error> {
        Reader::open(bytes)
    }

    #[test]
    fn what_is_written_is_read() {
        let picture = Picture::paint(17, 19, |x, y| [x as u8 * 9, y as u8 * 9, 40]).expect("in bounds");
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, 10);
        writer.write(&picture).expect("memory");
        writer.write(&picture.scaled(40, 40, Default::default()).expect("in bounds")).expect("memory");
        assert!(bytes.starts_with(b"YUV4MPEG2 W17 H19 F10:1 Ip A1:1 C420jpeg\nFRAME\n"));
        let mut reader = open(&bytes).expect("ours");
        assert_eq!(reader.header().rate, (10, 1));
        let planes = reader.next_picture().expect("whole").expect("one");
        assert_eq!(Picture::from_scaled(planes, 17, 19, Default::default()), Some(picture));
        assert!(reader.next_picture().expect("whole").is_some());
        assert!(reader.next_picture().expect("the end").is_none());
    }

    #[test]
    fn chroma_in_each_kind_is_read() {
        for (name, samples) in
            [("420jpeg", 8), ("420mpeg2", 8), ("420paldv", 8), ("422", 16), ("444", 32), ("mono", 0)]
        {
            let mut bytes =
                format!("YUV4MPEG2 W4 H4 F30000:1001 C{name} XCOLORRANGE=LIMITED\nFRAME Ip\n").into_bytes();
            bytes.extend(vec![7; 16 + samples]);
            let mut reader = open(&bytes).expect(name);
            assert_eq!(reader.header().rate, (30_000, 1001));
            assert_eq!(reader.next_picture().expect(name).expect(name).luma, [7; 16]);
            assert!(reader.next_picture().expect(name).is_none());
        }
        assert!(matches!(open(b"YUV4MPEG2 W4 H4 C420p10\n"), Err(Error::Unsupported(_))));
    }

    #[test]
    fn bad_headers_are_refused_before_anything_is_allocated() {
        for text in [
            "",
            "\n",
            "YUV4MPEG2\n",
            "YUV4MPEG2 W99999999 H4\n",
            "YUV4MPEG2 W4 H0\n",
            "YUV4MPEG2 W-4 H4\n",
            "YUV4MPEG2 W4 H4 F25\n",
            "YUV4MPEG2 W4 H4 Fa:b\n",
            "RIFF W4 H4\n",
            "YUV4MPEG2 W4 H4",
            "YUV4MPEG2 W4097 H1\n",
        ] {
            assert!(open(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(open(&[b'Y'; 100_000]).is_err());
        assert!(open(b"YUV4MPEG2 W4 H4 X\xff\xfe\n").is_err());
        let mut cut = open(b"YUV4MPEG2 W4 H4\nFRAME\n1234").expect("a header");
        assert!(cut.next_picture().expect("cut").is_none());
        let mut wrong = open(b"YUV4MPEG2 W4 H4\nNOISE\n").expect("a header");
        assert!(wrong.next_picture().is_err());
    }
}
