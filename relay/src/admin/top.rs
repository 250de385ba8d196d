//! `subrosa-relay top`: how a relay does, on a terminal, as it goes. Pure but for [`run`].

use super::ask;
use super::exposition::PREFIX;
use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind, KeyModifiers};
use futures_util::future::{Fuse, FusedFuture};
use futures_util::{FutureExt, StreamExt};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use subrosa_shared::time::Millis;
use tokio::task::JoinHandle;

/// Where the figures come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The relay that runs on this folder.
    Data(PathBuf),
    /// A relay that serves them there.
    Http(SocketAddr),
}

impl Source {
    /// Asks.
    ///
    /// # Errors
    /// [`ask::Error`].
    pub fn figures(&self) -> Result<String, ask::Error> {
        match self {
            Self::Data(data) => ask::text(data, "metrics"),
            Self::Http(address) => ask::figures_at(*address),
        }
    }
}

/// All figures of one moment, by name.
type Sample = BTreeMap<String, f64>;

/// What is shown.
#[derive(Debug, Default)]
pub struct Top {
    now: Option<(Millis, Sample)>,
    before: Option<(Millis, Sample)>,
    /// Why there is nothing newer.
    trouble: Option<String>,
    /// Rows that are above the screen.
    above: u16,
}

/// Lines that belong together.
struct Section {
    title: &'static str,
    rows: Vec<Row>,
}

struct Row {
    label: String,
    value: String,
    /// How much more a second; empty where that says nothing.
    rate: String,
    /// Worth a look: it is not as it should be.
    alarm: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Number,
    Bytes,
}

/// Columns of one list of sections, and of the gap between two.
const COLUMN: u16 = 38;
const GAP: u16 = 2;

impl Top {
    /// What the relay said at that moment.
    pub fn hear(&mut self, figures: &str, mono: Millis) {
        self.before = self.now.take();
        self.now = Some((mono, read(figures)));
        self.trouble = None;
    }

    /// It said nothing.
    pub fn miss(&mut self, why: String) {
        self.trouble = Some(why);
    }

    /// The figures in plain text: a line each, section, name and value.
    pub fn plain(&self) -> String {
        let mut text = String::new();
        for section in self.sections() {
            for row in section.rows {
                text += &format!("{:<10} {:<16} {}\n", section.title, row.label.replace(' ', "-"), row.value);
            }
        }
        text
    }

    /// Moves down by so many rows, or up; never past what there is to see.
    pub fn scroll(&mut self, rows: i32, area: Rect) {
        let most = self.most(area);
        self.above = self.above.min(most).saturating_add_signed(rows.clamp(-999, 999) as i16).min(most);
    }

    /// Rows that do not fit on the screen.
    fn most(&self, area: Rect) -> u16 {
        let rows = self.sides(area.width, false).iter().map(Vec::len).max().unwrap_or(0);
        u16::try_from(rows).unwrap_or(u16::MAX).saturating_sub(self.body(area).height)
    }

    /// How it is, and whether that is bad.
    fn state(&self) -> (&'static str, bool) {
        match (&self.trouble, &self.now) {
            (Some(_), _) => ("no answer", true),
            (None, None) => ("asking", false),
            (None, Some(_)) if self.value("draining") == Some(1.0) => ("draining", true),
            (None, Some(_)) if self.value("ready") == Some(0.0) => ("not ready: the disk is full", true),
            (None, Some(_)) => ("running", false),
        }
    }

    /// Where the figures stand: below the head, and below what is wrong.
    fn body(&self, area: Rect) -> Rect {
        let trouble = self.trouble.as_ref().map_or(0, |why| {
            let width = usize::from(area.width.max(1));
            u16::try_from(why.chars().count().div_ceil(width) + 1).unwrap_or(3).min(3)
        });
        let around = if area.height > 2 { 2 } else { 1 };
        Rect {
            y: area.y.saturating_add(1).saturating_add(trouble),
            height: area.height.saturating_sub(around).saturating_sub(trouble),
            ..area
        }
    }

    /// Draws into all of the area.
    pub fn draw(&self, frame: &mut Frame<'_>, colours: bool) {
        let area = frame.area();
        let style = |modifier, colour| styled(colours, modifier, colour);
        let up =
            self.value("uptime_seconds").map_or(String::new(), |seconds| format!("up {}", span(seconds)));
        let (state, bad) = self.state();
        let head = Line::from(vec![
            Span::styled("subrosa-relay", Style::default().add_modifier(Modifier::BOLD)),
            Span::raw(self.version().map_or(String::new(), |version| format!(" {version}"))),
            Span::raw(if up.is_empty() { String::new() } else { format!("  {up}") }),
            Span::raw("  "),
            Span::styled(
                state,
                if bad { style(Modifier::BOLD, Color::Red) } else { style(Modifier::empty(), Color::Green) },
            ),
        ]);
        frame.render_widget(Paragraph::new(head), row_of(area, 0));
        let (body, most) = (self.body(area), self.most(area));
        if let Some(why) = &self.trouble {
            let height = body.y.saturating_sub(area.y.saturating_add(1));
            let place = Rect { y: area.y.saturating_add(1), height, ..area }.intersection(area);
            let told = Paragraph::new(why.as_str()).wrap(Wrap { trim: true });
            frame.render_widget(told.style(style(Modifier::BOLD, Color::Red)), place);
        }
        let last = area.height.saturating_sub(1);
        if area.height > 2 {
            let foot = match most {
                0 => "every second · q quits".into(),
                most => format!("q quits · ↑ ↓ {} rows more", most - self.above.min(most)),
            };
            let foot = Span::styled(foot, style(Modifier::DIM, Color::Reset));
            frame.render_widget(Paragraph::new(Line::from(foot)), row_of(area, last));
        }
        let sides = self.sides(area.width, colours);
        let columns = sides.len();
        for (at, side) in (0..).zip(sides) {
            let x = area.x.saturating_add(at * (COLUMN + GAP));
            if x < area.right() && body.height > 0 {
                let width = if columns == 1 { area.width } else { (area.right() - x).min(COLUMN) };
                let shown = Paragraph::new(side).scroll((self.above.min(most), 0));
                frame.render_widget(shown, Rect { x, width, ..body }.intersection(area));
            }
        }
    }

    /// The rows of each column, as many as fit beside each other.
    fn sides(&self, width: u16, colours: bool) -> Vec<Vec<Line<'static>>> {
        let style = |modifier, colour| styled(colours, modifier, colour);
        let columns = if width >= 2 * COLUMN + GAP { 2 } else { 1 };
        let lines: Vec<Vec<Line<'static>>> = self
            .sections()
            .into_iter()
            .map(|section| {
                let title = Span::styled(section.title, style(Modifier::BOLD, Color::Cyan));
                let rows = section.rows.into_iter().map(|row| {
                    let text = format!("{:<16}{:>10}{:>12}", row.label, row.value, row.rate);
                    let alarm = if row.alarm { style(Modifier::BOLD, Color::Red) } else { Style::default() };
                    Line::from(Span::styled(text, alarm))
                });
                std::iter::once(Line::from(title)).chain(rows).collect()
            })
            .collect();
        // The first half of the lines to the left; with one column everything is there.
        let all: usize = lines.iter().map(Vec::len).sum();
        let mut sides = vec![Vec::new(); columns];
        for section in lines {
            let right = columns == 2 && sides[0].len() + section.len() / 2 > all / 2;
            sides[usize::from(right)].extend(section);
        }
        sides
    }

    /// Which version the relay is of, as it says.
    fn version(&self) -> Option<&str> {
        let mut names = self.now.as_ref()?.1.keys();
        names.find_map(|name| name.strip_prefix("build_info{version=\"")?.strip_suffix("\"}"))
    }

    fn sections(&self) -> Vec<Section> {
        use Unit::{Bytes, Number};
        let people = vec![
            self.gauge("connections", "open_connections", Number),
            self.gauge("devices online", "devices_online", Number),
            self.gauge("logging in", "logins_pending", Number),
            self.gauge("accounts", "accounts", Number),
            self.count("handshakes", "handshakes_total", Number),
            self.count("logins", "logins_total", Number),
            self.alarm("turned away", "turned_away_total"),
            self.alarm("too slow", "slow_total"),
        ];
        let envelopes = vec![
            self.count("accepted", "accepted_total", Number),
            self.count("delivered", "delivered_total", Number),
            self.gauge("waiting", "envelopes_waiting", Number),
            self.gauge("mailboxes", "mailboxes", Number),
            self.gauge("bytes", "mailbox_bytes", Bytes),
        ];
        let mut disk = vec![
            self.gauge("free", "disk_free_bytes", Bytes),
            self.count("commits", "commit_seconds_count", Number),
            self.gauge("files", "files", Number),
            self.gauge("files take", "files_bytes", Bytes),
        ];
        disk.insert(2, self.commit());
        disk.push(self.gauge("memory", "resident_bytes", Bytes));
        let live = vec![
            self.gauge("tracks", "tracks", Number),
            self.gauge("watchers", "watchers", Number),
            self.count("in", "media_bytes_in_total", Bytes),
            self.count("out", "media_bytes_out_total", Bytes),
            self.count("fell behind", "media_behind_total", Number),
        ];
        let queues = vec![
            self.gauge("events", "queue_events", Number),
            self.gauge("frames", "queue_frames", Number),
            self.gauge("slowest", "queue_frames_most", Number),
        ];
        let all = [
            ("people", people),
            ("envelopes", envelopes),
            ("queues", queues),
            ("disk", disk),
            ("live", live),
            ("refused", self.refused()),
        ];
        let sections = all.into_iter().map(|(title, rows)| (title, rows.into_iter().flatten().collect()));
        sections
            .map(|(title, rows)| Section { title, rows })
            .filter(|section| !section.rows.is_empty())
            .collect()
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.now.as_ref()?.1.get(name).copied()
    }

    /// How much more a second it became.
    fn rate(&self, name: &str) -> Option<f64> {
        let ((now, new), (then, old)) = (self.now.as_ref()?, self.before.as_ref()?);
        let seconds = now.since(*then).as_secs_f64();
        // A relay that was started anew begins at nothing.
        let more = new.get(name)? - old.get(name)?;
        (seconds > 0.0).then(|| (more / seconds).max(0.0))
    }

    fn gauge(&self, label: &str, name: &str, unit: Unit) -> Option<Row> {
        let value = shown(self.value(name)?, unit);
        Some(Row { label: label.into(), value, rate: String::new(), alarm: false })
    }

    fn count(&self, label: &str, name: &str, unit: Unit) -> Option<Row> {
        let rate = self.rate(name).map_or(String::new(), |rate| format!("{}/s", shown(rate, unit)));
        self.gauge(label, name, unit).map(|row| Row { rate, ..row })
    }

    /// A count that is alarming while it rises.
    fn alarm(&self, label: &str, name: &str) -> Option<Row> {
        let alarm = self.rate(name).is_some_and(|rate| rate > 0.0);
        self.count(label, name, Unit::Number).map(|row| Row { alarm, ..row })
    }

    /// How long the last commits took, nine of ten of them; of all when there is no earlier moment.
    fn commit(&self) -> Option<Row> {
        let steps = |sample: &Sample| -> Vec<(f64, f64)> {
            let bucket = |(name, count): (&String, &f64)| {
                let step = name.strip_prefix("commit_seconds_bucket{le=\"")?.strip_suffix("\"}")?;
                Some((step.parse().ok()?, *count))
            };
            let mut steps: Vec<(f64, f64)> = sample.iter().filter_map(bucket).collect();
            steps.sort_by(|a, b| a.0.total_cmp(&b.0));
            steps
        };
        let new = steps(&self.now.as_ref()?.1);
        let old = self.before.as_ref().map(|(_, sample)| steps(sample)).unwrap_or_default();
        let since: Vec<(f64, f64)> = new
            .iter()
            .enumerate()
            .map(|(at, (step, count))| {
                (*step, (count - old.get(at).map_or(0.0, |(_, count)| *count)).max(0.0))
            })
            .collect();
        let all = since.last()?.1;
        let steps = if all > 0.0 { &since } else { &new };
        let all = steps.last()?.1;
        let step = steps.iter().find(|(_, count)| all > 0.0 && *count >= all * 0.9)?.0;
        let value = match step {
            step if step.is_infinite() => "over 2.5 s".into(),
            step if step < 1.0 => format!("{} ms", step * 1000.0),
            step => format!("{step} s"),
        };
        let alarm = step >= 0.25;
        Some(Row { label: "9 of 10 within".into(), value, rate: String::new(), alarm })
    }

    /// What was refused and closed, by reason, the most frequent first.
    fn refused(&self) -> Vec<Option<Row>> {
        let mut rows = Vec::new();
        for (family, word) in [("refusals_by_reason_total", ""), ("closed_by_reason_total", "closed: ")] {
            let Some((_, sample)) = &self.now else { continue };
            let mut counts: Vec<_> = sample
                .iter()
                .filter(|(name, count)| name.starts_with(family) && **count > 0.0)
                .map(|(name, count)| (name, *count))
                .collect();
            counts.sort_by(|a, b| b.1.total_cmp(&a.1));
            for (name, _) in counts.into_iter().take(4) {
                let reason = name.split('"').nth(1).unwrap_or_default().replace('_', " ");
                let label: String = format!("{word}{reason}").chars().take(16).collect();
                rows.push(self.alarm(&label, name));
            }
        }
        rows.push(self.alarm("password tries", "password_limited_name_total"));
        rows
    }
}

/// Asks once a second and draws, until q, Ctrl+C or SIGTERM; the terminal is as it was afterwards. A last question
/// may still wait for its answer on a thread of the runtime then.
///
/// # Errors
/// Those of the terminal.
pub async fn run(from: Source, colours: bool) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let done = watch(&mut terminal, from, colours).await;
    ratatui::try_restore()?;
    done
}

async fn watch(terminal: &mut ratatui::DefaultTerminal, from: Source, colours: bool) -> io::Result<()> {
    let (mut top, began) = (Top::default(), Instant::now());
    let mut keys = EventStream::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let end = ended();
    tokio::pin!(end);
    let mut asked: Fuse<JoinHandle<Result<String, ask::Error>>> = Fuse::terminated();
    terminal.draw(|frame| top.draw(frame, colours))?;
    loop {
        tokio::select! {
            biased;
            // 1. Asked to end.
            () = &mut end => return Ok(()),
            // 2. A key, or another size.
            event = keys.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind == KeyEventKind::Press => {
                    let control = key.modifiers.contains(KeyModifiers::CONTROL);
                    match key.code {
                        KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                        KeyCode::Char('c') if control => return Ok(()),
                        code => {
                            let area = Rect::from((Position::ORIGIN, terminal.size()?));
                            top.scroll(rows(code, area.height), area);
                        }
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
            // 3. The relay answered, or nobody did.
            said = &mut asked => match said.map_err(io::Error::other)? {
                Ok(figures) => top.hear(&figures, Millis(began.elapsed().as_millis() as u64)),
                Err(why) => top.miss(why.to_string()),
            },
            // 4. A second is over.
            _ = tick.tick(), if asked.is_terminated() => {
                let from = from.clone();
                asked = tokio::task::spawn_blocking(move || from.figures()).fuse();
            }
        }
        terminal.draw(|frame| top.draw(frame, colours))?;
    }
}

/// How far a key moves, in rows.
fn rows(code: KeyCode, height: u16) -> i32 {
    let page = i32::from(height.saturating_sub(3).max(1));
    match code {
        KeyCode::Down | KeyCode::Char('j') => 1,
        KeyCode::Up | KeyCode::Char('k') => -1,
        KeyCode::PageDown | KeyCode::Char(' ') => page,
        KeyCode::PageUp => -page,
        KeyCode::End => i32::MAX,
        KeyCode::Home => i32::MIN,
        _ => 0,
    }
}

fn styled(colours: bool, modifier: Modifier, colour: Color) -> Style {
    let style = Style::default().add_modifier(modifier);
    if colours { style.fg(colour) } else { style }
}

#[cfg(unix)]
async fn ended() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => drop(terminate.recv().await),
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn ended() {
    std::future::pending().await
}

fn read(figures: &str) -> Sample {
    let lines = figures.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.strip_prefix(PREFIX)?.to_string(), value.parse().ok()?))
    };
    lines.filter_map(pair).collect()
}

fn row_of(area: Rect, at: u16) -> Rect {
    let height = area.height.min(1);
    Rect { y: area.y.saturating_add(at), height, ..area }.intersection(area)
}

fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => {
            let steps = ["B", "KiB", "MiB", "GiB", "TiB"];
            let mut value = value;
            let mut at = 0;
            while value >= 1024.0 && at + 1 < steps.len() {
                value /= 1024.0;
                at += 1;
            }
            if at == 0 { format!("{value:.0} B") } else { format!("{value:.1} {}", steps[at]) }
        }
        Unit::Number if value >= 1e6 => format!("{:.1} M", value / 1e6),
        Unit::Number if value > 0.0 && value < 10.0 && value.fract() > 0.05 => format!("{value:.1}"),
        Unit::Number => format!("{value:.0}"),
    }
}

fn span(seconds: f64) -> String {
    let minutes = seconds as u64 / 60;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("{seconds:.0} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
#[path = "top_tests.rs"]
mod tests;
