use super::*;
use crate::media::y4m::Writer;
use futures_util::FutureExt;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::time::Instant;
use subrosa_shared::protocol::media::Header;
use subrosa_shared::time::Millis;

const SIZE: (u16, u16) = (32, 24);

fn stream(number: u8) -> Stream {
    Stream { track: TrackId(number.into()), key: [number; 32], kid: 0 }
}

fn studio() -> Studio {
    let video = Video { width: SIZE.0, height: SIZE.1, fps: 30, ..Video::default() };
    Studio::new(video, Clock::start()).expect("a thread")
}

/// What it says next, if it has said something already.
fn heard(studio: &mut Studio) -> Option<MediaEvent> {
    studio.next().now_or_never().flatten()
}

fn shade(luma: u8) -> Picture {
    Picture::paint(SIZE.0, SIZE.1, |_, _| [luma; 3]).expect("in bounds")
}

fn starts(studio: &mut Studio, number: u8, source: &str) {
    studio.carry_out(MediaEffect::Start { stream: stream(number), source: source.into() });
}

/// Waits until it has said something.
fn speaks(studio: &Studio) {
    let until = Instant::now() + Duration::from_secs(60);
    while studio.reported.is_empty() {
        assert!(Instant::now() < until, "nothing is said");
        std::thread::yield_now();
    }
}

/// Writes this picture again and again until it is the own one.
fn shows(studio: &Studio, writer: &mut Writer<File>, luma: u8) {
    let until = Instant::now() + Duration::from_secs(60);
    while studio.own().is_none_or(|own| own.luma != shade(luma).luma) {
        assert!(Instant::now() < until, "the own picture is another one");
        // A pipe takes no more than is read.
        writer.write(&shade(luma)).expect("somebody reads");
    }
}

#[test]
fn a_pipe_goes_on_when_the_call_moves_to_another_track() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo").success());
    let source = path.to_str().expect("UTF-8");
    let mut studio = studio();
    starts(&mut studio, 1, source);
    // It waits until somebody reads.
    let file = OpenOptions::new().write(true).open(&path).expect("a pipe");
    let mut writer = Writer::new(file, 30);
    shows(&studio, &mut writer, 50);
    starts(&mut studio, 2, source);
    shows(&studio, &mut writer, 200);
    assert!(heard(&mut studio).is_none(), "nothing failed and nothing ended");
}

#[test]
fn another_source_takes_the_place_of_one_that_failed() {
    let mut studio = studio();
    starts(&mut studio, 1, "nowhere.y4m");
    speaks(&studio);
    assert!(matches!(heard(&mut studio), Some(MediaEvent::SourceFailed { .. })));
    assert!(studio.own().is_none());
    studio.carry_out(MediaEffect::Source("test:1".into()));
    let until = Instant::now() + Duration::from_secs(60);
    while studio.own().is_none() {
        assert!(Instant::now() < until, "nothing is shown");
        std::thread::yield_now();
    }
    studio.carry_out(MediaEffect::Stop);
    studio.carry_out(MediaEffect::Source("nowhere.y4m".into()));
    assert!(heard(&mut studio).is_none(), "there is no call that it would be for");
}

#[test]
fn a_file_that_takes_long_to_read_keeps_no_other_source_waiting() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("slow.png");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo").success());
    let mut studio = studio();
    // The folder's only image is read once somebody writes it.
    starts(&mut studio, 1, folder.path().to_str().expect("UTF-8"));
    studio.carry_out(MediaEffect::Source("test:1".into()));
    let until = Instant::now() + Duration::from_secs(60);
    while studio.own().is_none() {
        assert!(Instant::now() < until, "nothing is shown");
        std::thread::yield_now();
    }
    // So that its thread ends. What it says is for nobody.
    drop(OpenOptions::new().write(true).open(&path).expect("somebody reads"));
    assert!(heard(&mut studio).is_none());
}

#[test]
fn another_source_goes_on_where_the_one_before_stopped_counting() {
    let folder = tempfile::tempdir().expect("a folder");
    let (to, sent) = std::sync::mpsc::channel();
    let mut studio = studio();
    studio.attach(move |bytes| {
        let _ = to.send(bytes);
    });
    studio.carry_out(MediaEffect::Budget(2_000));
    studio.carry_out(MediaEffect::Live(true));
    let of = stream(1);
    let mut receiver = Receiver::new(of.track, &of.key, of.kid);
    let mut sealed: HashMap<(u32, u8), Vec<u8>> = HashMap::new();
    for (name, luma) in [("dark.y4m", 50), ("light.y4m", 200)] {
        let path = folder.path().join(name);
        let mut film = Writer::new(File::create(&path).expect("made"), 30);
        film.write(&shade(luma)).expect("written");
        let source: String = path.to_str().expect("UTF-8").into();
        studio.carry_out(match luma {
            50 => MediaEffect::Start { stream: stream(1), source },
            _ => MediaEffect::Source(source),
        });
        let mut seen = 0;
        while seen < 10 {
            let bytes = sent.recv_timeout(Duration::from_secs(60)).expect("pictures go out");
            let (header, payload) = Header::decode(&bytes).expect("its own");
            let first = sealed.entry((header.frame, header.index)).or_insert_with(|| payload.to_vec());
            assert!(first == payload, "two pictures under one key and number");
            let picture = receiver.datagram(&bytes, studio.clock.now());
            let near = |picture: Picture| picture.luma[0].abs_diff(shade(luma).luma[0]) < 20;
            seen += u32::from(picture.is_some_and(near));
        }
    }
}

#[test]
fn what_a_source_says_is_not_heard_once_another_one_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty.y4m");
    std::fs::write(&empty, "YUV4MPEG2 W4 H4 F10:1 Cmono\n").expect("written");
    let empty = empty.to_str().expect("UTF-8");
    let mut studio = studio();
    starts(&mut studio, 1, "test:1");
    for old in ["nowhere.y4m", empty] {
        studio.carry_out(MediaEffect::Source(old.into()));
        speaks(&studio);
        studio.carry_out(MediaEffect::Source("test:1".into()));
        assert!(heard(&mut studio).is_none(), "{old}");
    }
    studio.carry_out(MediaEffect::Source(empty.into()));
    speaks(&studio);
    assert!(matches!(heard(&mut studio), Some(MediaEvent::SourceEnded)), "the one in use is heard");
    studio.carry_out(MediaEffect::Source("nowhere.y4m".into()));
    speaks(&studio);
    studio.carry_out(MediaEffect::Stop);
    starts(&mut studio, 2, "test:1");
    assert!(heard(&mut studio).is_none(), "nor in the next call");
}

#[test]
fn what_they_showed_before_their_camera_was_off_is_not_shown_when_it_is_on() {
    let mut studio = studio();
    studio.theirs.put(shade(50));
    studio.carry_out(MediaEffect::Blank);
    let until = Instant::now() + Duration::from_secs(60);
    while studio.theirs().is_some() {
        assert!(Instant::now() < until, "it is shown still");
        std::thread::yield_now();
    }
}

#[test]
fn what_was_seen_of_a_stream_is_not_seen_again_after_it_is_watched_anew() {
    let now = |at: u64| Now { wall: Millis(0), mono: Millis(at) };
    let shape = Shape { width: SIZE.0, height: SIZE.1, fps: 10, budget: 2_000_000 };
    let of = stream(1);
    let mut sender = Sender::new(of.track, &of.key, of.kid, shape).expect("in bounds");
    let frames: Vec<Vec<Vec<u8>>> =
        (0..4).map(|i| sender.send(&shade(50 + i * 40), now(u64::from(i) * 100))).collect();
    let mut watched = None;
    let sees = |watched: &mut Option<(Stream, Receiver)>, frame: &[Vec<u8>], at: u64| {
        let (_, receiver) = watched.as_mut().expect("it is watched");
        frame.iter().filter_map(|datagram| receiver.datagram(datagram, now(at))).count()
    };
    watch(&mut watched, stream(1));
    for (frame, at) in frames[..3].iter().zip([0, 100, 200]) {
        assert_eq!(sees(&mut watched, frame, at), 1);
    }
    watch(&mut watched, stream(1));
    for frame in &frames[..3] {
        assert_eq!(sees(&mut watched, frame, 2_000), 0, "repeated");
    }
    assert_eq!(sees(&mut watched, &frames[3], 2_100), 1, "and it goes on");
    watch(&mut watched, stream(2));
    assert_eq!(sees(&mut watched, &frames[3], 2_200), 0, "under another key it is another one");
}
