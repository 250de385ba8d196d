//! What a person may change of the own picture by hand: budget, size, rate.

use crate::config::Video;

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Kilobits a second that it may take.
    Budget(u32),
    /// Width and height in dots.
    Size(u16, u16),
    /// Pictures a second.
    Fps(u8),
    /// All of it as in the settings.
    Usual,
}

/// The least and the most that a picture takes, in kilobits a second.
const KBPS: (u32, u32) = (2, 2_000);
const WIDTH: (u16, u16) = (16, 320);
const HEIGHT: (u16, u16) = (16, 200);
const FPS: (u8, u8) = (1, 30);

impl Change {
    /// `8k`, `80x48`, `10fps` or `auto`; `None` for something else, which may be a source.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let lower = text.trim().to_ascii_lowercase();
        if lower == "auto" {
            return Some(Ok(Self::Usual));
        }
        let number = |units: &[&str]| units.iter().find_map(|unit| lower.strip_suffix(unit)).map(str::trim);
        if let Some(digits) = number(&["fps"]).filter(|digits| is_number(digits)) {
            let why = || format!("A picture moves {} to {} times a second.", FPS.0, FPS.1);
            return Some(within(digits, FPS).map(Self::Fps).ok_or_else(why));
        }
        if let Some(digits) = number(&["kbit/s", "kbps", "kbit", "k"]).filter(|digits| is_number(digits)) {
            let why = || format!("A picture takes {}k to {}k (kbit/s).", KBPS.0, KBPS.1);
            return Some(within(digits, KBPS).map(Self::Budget).ok_or_else(why));
        }
        let (width, height) = lower.split_once('x').or_else(|| lower.split_once('×'))?;
        if !is_number(width) || !is_number(height) {
            return None;
        }
        let size = within(width, WIDTH).zip(within(height, HEIGHT));
        let why = || format!("A picture is {}x{} to {}x{} dots.", WIDTH.0, HEIGHT.0, WIDTH.1, HEIGHT.1);
        Some(size.map(|(width, height)| Self::Size(width, height)).ok_or_else(why))
    }

    /// Changes what is set; `usual` is what was set at the start.
    pub fn apply(self, video: &mut Video, usual: &Video) {
        match self {
            Self::Budget(kbps) => video.kbps = kbps,
            Self::Size(width, height) => (video.width, video.height) = (width, height),
            Self::Fps(fps) => video.fps = fps,
            Self::Usual => {
                (video.width, video.height) = (usual.width, usual.height);
                (video.fps, video.kbps) = (usual.fps, usual.kbps);
            }
        }
    }

    /// For the person, once that is so.
    pub fn said(self, video: &Video) -> String {
        let Video { width, height, fps, kbps, .. } = video;
        match self {
            Self::Budget(_) => format!("your picture may take {kbps} kbit/s from now on"),
            Self::Size(..) => format!("your picture is {width}x{height} from now on"),
            Self::Fps(_) => format!("your picture moves at most {fps} times a second from now on"),
            Self::Usual => format!("your picture is {width}x{height}, {fps} a second, {kbps} kbit/s as set"),
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn within<T: std::str::FromStr + PartialOrd>(digits: &str, (least, most): (T, T)) -> Option<T> {
    digits.parse().ok().filter(|number| (least..=most).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_say_by_their_unit_what_they_are() {
        for (text, change) in [
            ("80x48", Change::Size(80, 48)),
            ("320X200", Change::Size(320, 200)),
            ("80×48", Change::Size(80, 48)),
            ("10fps", Change::Fps(10)),
            ("10 FPS", Change::Fps(10)),
            ("8k", Change::Budget(8)),
            ("auto", Change::Usual),
        ] {
            assert_eq!(Change::parse(text), Some(Ok(change)), "{text}");
        }
        for (text, bounds) in [
            ("15x48", "16x16 to 320x200"),
            ("80x201", "16x16 to 320x200"),
            ("99999999x48", "16x16 to 320x200"),
            ("0fps", "1 to 30"),
            ("31fps", "1 to 30"),
            ("1k", "2k to 2000k"),
        ] {
            let why = Change::parse(text).expect("a number").expect_err("out of bounds");
            assert!(why.contains(bounds), "{text}: {why}");
        }
        for source in ["", "test", "camera", "box", "film.x264", "talk.fps", "axb", "x", "80x", "/home/x/8.k"]
        {
            assert_eq!(Change::parse(source), None, "{source}");
        }
    }

    #[test]
    fn auto_is_what_was_set_at_the_start() {
        let usual = Video::default();
        let mut video = usual.clone();
        for change in [Change::Size(80, 48), Change::Fps(5), Change::Budget(8)] {
            change.apply(&mut video, &usual);
        }
        assert_eq!((video.width, video.height, video.fps, video.kbps), (80, 48, 5, 8));
        Change::Usual.apply(&mut video, &usual);
        assert_eq!(video, usual);
    }
}
