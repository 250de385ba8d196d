//! The screen of `subrosa-relay top`.

use super::*;
use crate::admin::exposition::{Figures, text};
use crate::admin::health::{Health, Stage};
use crate::admin::tap::Tapped;
use crate::metrics::{Count, Metrics};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use subrosa_shared::protocol::frame::Refusal;
use subrosa_shared::store::memory::Memory;

fn figures(times: u64) -> String {
    let metrics = Metrics::default();
    metrics.add(Count::Handshakes, 20 * times);
    metrics.add(Count::Logins, 12 * times);
    metrics.add(Count::Accepted, 1500 * times);
    metrics.add(Count::Delivered, 3000 * times);
    metrics.add(Count::MediaBytesIn, 50_000 * times);
    metrics.add(Count::MediaBytesOut, 400_000 * times);
    for _ in 0..times {
        metrics.refuse(Refusal::MailboxFull);
        metrics.refuse(Refusal::RateLimited { retry_ms: 1 });
        metrics.refuse(Refusal::RateLimited { retry_ms: 1 });
    }
    metrics.close(Refusal::Replaced);
    let store = Tapped::new(Memory::default());
    for _ in 0..90 * times {
        store.took().add(Duration::from_micros(1800));
    }
    store.took().add(Duration::from_secs(3));
    let figures = Figures {
        connections: 13,
        online: 11,
        fresh: 2,
        tracks: 1,
        watchers: 8,
        events: 3,
        frames: 40,
        frames_most: 31,
        accounts: Some(57),
        mailboxes: Some(61),
        waiting: Some(1234),
        mailbox_bytes: 5 << 20,
        bodies: 900,
        files: 4,
        file_bytes: 3 << 30,
        resident: Some(42 << 20),
        uptime: 3 * 86_400 + 4 * 3600 + 59,
    };
    let health = Health::new(None);
    health.reach(Stage::Running);
    text(&figures, &metrics, &health, Some(&store), Instant::now())
}

fn top() -> Top {
    let mut top = Top::default();
    top.hear(&figures(1), Millis(1000));
    top.hear(&figures(3), Millis(3000));
    top
}

fn screen(top: &Top, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen");
    terminal.draw(|frame| top.draw(frame, false)).expect("drawn");
    let rows = terminal.backend().buffer().content.chunks(usize::from(width).max(1));
    let row = |cells: &[ratatui::buffer::Cell]| -> String {
        cells.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_string() + "\n"
    };
    // The version of the day is no part of the picture.
    rows.map(row).collect::<String>().replace(concat!("relay ", env!("CARGO_PKG_VERSION")), "relay 0.0.0")
}

#[test]
fn eighty_columns_show_everything_with_its_rate() {
    insta::assert_snapshot!(screen(&top(), 80, 24));
}

#[test]
fn a_narrow_terminal_shows_one_column_and_any_size_is_drawn() {
    insta::assert_snapshot!(screen(&top(), 40, 20));
    let top = top();
    for width in [1, 2, 7, 39, 77, 78, 200] {
        for height in [1, 2, 3, 5, 60] {
            screen(&top, width, height);
        }
    }
}

#[test]
fn trouble_is_told_and_the_last_figures_stay() {
    let mut top = top();
    top.miss("no relay runs on /data".into());
    let screen = screen(&top, 80, 24);
    assert!(screen.contains("no relay runs on /data") && screen.contains("accepted"), "{screen}");
    assert!(screen.lines().next().is_some_and(|head| head.ends_with("no answer")), "{screen}");
    top.miss(
        "no relay runs on /data; start one with `subrosa-relay run`, or name its folder with --data".into(),
    );
    let narrow = self::screen(&top, 40, 20);
    assert!(narrow.contains("or name its folder") && narrow.contains("people"), "all of it: {narrow}");
    for height in 1..6 {
        self::screen(&top, 30, height);
    }
}

#[test]
fn what_does_not_fit_is_said_and_scrolled_to() {
    let (mut top, area) = (top(), Rect::new(0, 0, 60, 20));
    let shown = |top: &Top| screen(top, 60, 20);
    assert!(
        shown(&top).contains("people")
            && shown(&top).contains("rows more")
            && !shown(&top).contains("refused")
    );
    top.scroll(rows(KeyCode::PageDown, 20), area);
    assert!(!shown(&top).contains("people"), "{}", shown(&top));
    top.scroll(rows(KeyCode::End, 20), area);
    let end = shown(&top);
    assert!(end.contains("refused") && end.contains(" 0 rows more"), "{end}");
    top.scroll(rows(KeyCode::Down, 20), area);
    assert_eq!(shown(&top), end, "no further");
    top.scroll(rows(KeyCode::Up, 20), area);
    assert!(shown(&top).contains(" 1 rows more"), "{}", shown(&top));
    top.scroll(rows(KeyCode::Home, 20), area);
    assert!(shown(&top).contains("people"));
    top.scroll(rows(KeyCode::Down, 60), Rect::new(0, 0, 80, 60));
    assert!(screen(&top, 80, 60).contains("people"), "where all fits nothing moves");
}

#[test]
fn plain_text_is_a_line_a_figure() {
    let plain = top().plain();
    let value = |section: &str, name: &str| {
        let line = plain.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut found = line.filter(|words| words.starts_with(&[section, name]));
        found.next().map(|words| words[2..].join(" ")).unwrap_or_else(|| panic!("{section} {name}:\n{plain}"))
    };
    assert_eq!(value("people", "devices-online"), "11");
    assert_eq!(value("envelopes", "accepted"), "4500");
    assert_eq!(value("disk", "9-of-10-within"), "2.5 ms");
    assert_eq!(value("disk", "files-take"), "3.0 GiB");
    assert_eq!(value("refused", "rate-limited"), "6");
}

#[test]
fn without_colours_no_cell_has_one() {
    let top = top();
    for colours in [false, true] {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a screen");
        terminal.draw(|frame| top.draw(frame, colours)).expect("drawn");
        let coloured = terminal.backend().buffer().content.iter().any(|cell| cell.fg != Color::Reset);
        assert_eq!(coloured, colours);
    }
}
