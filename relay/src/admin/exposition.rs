//! The figures of a relay as Prometheus reads them: text format 0.0.4, a sentence above each.
//!
//! What is counted is named, never who: the one label, `reason`, takes its values from a closed list.

use super::health::{Health, Stage};
use super::tap::Tapped;
use crate::metrics::{Histogram, Metrics};
use std::fmt::Write;
use std::time::Instant;
use subrosa_shared::store::Kv;

/// How things stand at one moment. `None` is what this relay does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Connections that are open.
    pub connections: u64,
    /// Devices that are logged in.
    pub online: u64,
    /// Connections without a login.
    pub fresh: u64,
    /// Live tracks.
    pub tracks: u64,
    /// Watchers of all tracks together.
    pub watchers: u64,
    /// Events that wait for the relay.
    pub events: u64,
    /// Frames that wait for all connections together.
    pub frames: u64,
    /// Frames that wait for the slowest connection.
    pub frames_most: u64,
    /// Accounts.
    pub accounts: Option<u64>,
    /// Mailboxes.
    pub mailboxes: Option<u64>,
    /// Envelopes that wait in them.
    pub waiting: Option<u64>,
    /// Bytes that they hold, each body once.
    pub mailbox_bytes: u64,
    /// Bodies that they hold.
    pub bodies: u64,
    /// Files that lie here, those that are not complete too.
    pub files: u64,
    /// Bytes that are promised to files.
    pub file_bytes: u64,
    /// Bytes of memory that the process holds.
    pub resident: Option<u64>,
    /// Seconds since the start.
    pub uptime: u64,
}

/// All figures as text.
pub fn text<K: Kv + ?Sized>(
    figures: &Figures,
    metrics: &Metrics,
    health: &Health,
    store: Option<&Tapped<K>>,
    now: Instant,
) -> String {
    let mut page = Page::default();
    page.family("build_info", Kind::Gauge, "Always 1; the label says which version runs.");
    page.sample("build_info", concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1);
    for (name, sentence, count) in metrics.counts() {
        page.family(&format!("{name}_total"), Kind::Counter, sentence);
        page.sample(&format!("{name}_total"), "", count);
    }
    page.by_reason(
        "refusals_by_reason_total",
        "Envelopes and questions refused, by reason.",
        metrics.refusals(),
    );
    page.by_reason(
        "closed_by_reason_total",
        "Connections closed by the relay, by reason.",
        metrics.closings(),
    );
    let gauges = [
        ("open_connections", "Connections that are open now.", Some(figures.connections)),
        ("devices_online", "Devices that are logged in now.", Some(figures.online)),
        ("logins_pending", "Connections that have not logged in yet.", Some(figures.fresh)),
        ("tracks", "Live tracks that are open now.", Some(figures.tracks)),
        ("watchers", "Watchers of all live tracks together.", Some(figures.watchers)),
        ("queue_events", "Events that wait for the relay's thread; at most 1024.", Some(figures.events)),
        ("queue_frames", "Frames that wait for all connections together.", Some(figures.frames)),
        (
            "queue_frames_most",
            "Frames that wait for the slowest connection; at 4096 it is let go.",
            Some(figures.frames_most),
        ),
        ("accounts", "Accounts that are registered.", figures.accounts),
        ("mailboxes", "Mailboxes, empty ones too.", figures.mailboxes),
        ("envelopes_waiting", "Envelopes that wait in mailboxes.", figures.waiting),
        (
            "mailbox_bytes",
            "Bytes that wait in mailboxes, a shared body counted once.",
            Some(figures.mailbox_bytes),
        ),
        ("mailbox_bodies", "Bodies of envelopes that wait in mailboxes.", Some(figures.bodies)),
        ("files", "Sealed files that lie here, those that are not complete too.", Some(figures.files)),
        ("files_bytes", "Bytes that sealed files take or were promised.", Some(figures.file_bytes)),
        ("disk_free_bytes", "Bytes that are free on the disk of the data folder.", health.free()),
        ("resident_bytes", "Bytes of memory that the relay's process holds.", figures.resident),
        (
            "ready",
            "1 while the relay takes what comes, 0 while it starts, ends or has no room on its disk.",
            Some(u64::from(health.ready(store.is_some_and(|store| store.is_full(now))).is_ok())),
        ),
        ("uptime_seconds", "Seconds since the relay started.", Some(figures.uptime)),
        (
            "draining",
            "1 while the relay takes nothing new because it ends, else 0.",
            Some(u64::from(health.stage() == Stage::Draining)),
        ),
    ];
    for (name, sentence, value) in gauges {
        if let Some(value) = value {
            page.family(name, Kind::Gauge, sentence);
            page.sample(name, "", value);
        }
    }
    if let Some(store) = store {
        page.histogram(
            "commit_seconds",
            "How long it took to put a group of changes on the disk.",
            store.took(),
        );
    }
    page.0
}

/// What the process holds in memory, where the system says so.
pub(crate) fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Before every name.
pub const PREFIX: &str = "subrosa_relay_";

#[derive(Default)]
struct Page(String);

enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Page {
    /// The head of what follows under this name.
    fn family(&mut self, name: &str, kind: Kind, sentence: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {PREFIX}{name} {sentence}"));
        self.line(format_args!("# TYPE {PREFIX}{name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        self.line(format_args!("{PREFIX}{name}{labels} {value}"));
    }

    fn by_reason(&mut self, name: &str, sentence: &str, counts: impl Iterator<Item = (&'static str, u64)>) {
        self.family(name, Kind::Counter, sentence);
        for (reason, count) in counts {
            self.sample(name, &format!("{{reason=\"{reason}\"}}"), count);
        }
    }

    fn histogram(&mut self, name: &str, sentence: &str, histogram: &Histogram) {
        self.family(name, Kind::Histogram, sentence);
        let (up_to, micros) = histogram.read();
        for (step, count) in Histogram::STEPS.iter().zip(up_to) {
            let step = seconds(*step);
            self.sample(&format!("{name}_bucket"), &format!("{{le=\"{step}\"}}"), count);
        }
        let all = up_to[Histogram::STEPS.len()];
        self.sample(&format!("{name}_bucket"), "{le=\"+Inf\"}", all);
        self.line(format_args!("{PREFIX}{name}_sum {}", seconds(micros)));
        self.sample(&format!("{name}_count"), "", all);
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string takes what is written");
    }
}

/// Microseconds as seconds, exactly.
fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Count;
    use std::collections::BTreeMap;
    use subrosa_shared::protocol::frame::Refusal;
    use subrosa_shared::store::memory::Memory;
    use subrosa_shared::store::{Table, Write};

    /// Name, labels, value.
    type Sample = (String, Vec<(String, String)>, f64);

    /// One family as a strict reader takes it.
    #[derive(Default)]
    struct Family {
        sentence: String,
        kind: String,
        samples: Vec<Sample>,
    }

    fn is_name(text: &str) -> bool {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
        text.starts_with(first) && text.chars().all(|c| first(c) || c.is_ascii_digit())
    }

    fn labels(text: &str) -> Vec<(String, String)> {
        let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
            assert!(text.is_empty(), "{text}");
            return Vec::new();
        };
        let pair = |pair: &str| {
            let (label, value) = pair.split_once('=').expect("label=value");
            let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).expect("quoted");
            assert!(is_name(label) && !value.contains(['"', '\\', '\n']), "{pair}");
            (label.to_string(), value.to_string())
        };
        inner.split(',').map(pair).collect()
    }

    /// Every line of the page, each under the head that stands above it.
    fn read(page: &str) -> BTreeMap<String, Family> {
        assert!(page.ends_with('\n'), "the last line is ended too");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current = String::new();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, sentence) = rest.split_once(' ').expect("a name and a sentence");
                let family = Family { sentence: sentence.into(), ..Family::default() };
                assert!(families.insert(name.into(), family).is_none(), "{name} has two heads");
                current = name.into();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                assert_eq!(name, current, "its help stands above it");
                let family = families.get_mut(name).expect("above");
                assert!(family.samples.is_empty() && family.kind.is_empty());
                family.kind = kind.into();
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let value = value.parse().expect("a number");
                let at = series.find('{').unwrap_or(series.len());
                let (name, rest) = series.split_at(at);
                assert!(is_name(name), "{name}");
                let family = families.get_mut(&current).expect("a head above");
                let suffix = name.strip_prefix(current.as_str()).expect("of this family");
                let known: &[&str] =
                    if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(known.contains(&suffix), "{name}");
                family.samples.push((name.into(), labels(rest), value));
            }
        }
        families
    }

    fn page() -> String {
        let metrics = Metrics::default();
        metrics.add(Count::Accepted, 7);
        metrics.refuse(Refusal::MailboxFull);
        let store = Tapped::new(Memory::default());
        for _ in 0..3 {
            store.commit(&[Write::Delete(Table { byte: 1, name: "test" }, vec![1])]).expect("memory");
        }
        let dir = tempfile::tempdir().expect("a folder");
        let health = Health::new(Some(dir.path().into()));
        let figures = Figures { online: 2, mailboxes: Some(5), ..Figures::default() };
        text(&figures, &metrics, &health, Some(&store), Instant::now())
    }

    #[test]
    fn a_strict_reader_takes_every_line_and_each_family_has_its_sentence_and_type() {
        let page = page();
        let families = read(&page);
        assert!(families.len() > 60, "{}", families.len());
        for (name, family) in &families {
            assert!(name.starts_with(PREFIX), "{name}");
            assert!(["counter", "gauge", "histogram"].contains(&family.kind.as_str()), "{name}");
            assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name}");
            assert!(!family.samples.is_empty(), "{name}");
            assert!(
                family.sentence.len() > 10 && family.sentence.ends_with('.'),
                "{name}: {}",
                family.sentence
            );
        }
        let value = |name: &str| families[name].samples[0].2;
        assert_eq!(value("subrosa_relay_accepted_total"), 7.0);
        assert_eq!(value("subrosa_relay_devices_online"), 2.0);
        assert_eq!(value("subrosa_relay_mailboxes"), 5.0);
        assert!(value("subrosa_relay_disk_free_bytes") > 0.0);
        assert_eq!(value("subrosa_relay_ready"), 0.0, "it has not started");
        assert!(!cfg!(target_os = "linux") || resident().is_some_and(|bytes| bytes > 1 << 20));
        assert!(!families.contains_key("subrosa_relay_accounts"), "not known, so not said");
    }

    #[test]
    fn labels_are_reasons_and_steps_and_nothing_that_names_anybody() {
        for (name, family) in read(&page()) {
            for (_, labels, _) in family.samples {
                for (label, value) in labels {
                    match label.as_str() {
                        "reason" => assert!(crate::connection::REASONS.contains(&value.as_str()), "{value}"),
                        "version" => assert_eq!(name, "subrosa_relay_build_info"),
                        "le" => assert!(value == "+Inf" || value.parse::<f64>().is_ok(), "{value}"),
                        other => panic!("{name} has a label {other}"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_histogram_rises_to_its_count() {
        let families = read(&page());
        let family = &families["subrosa_relay_commit_seconds"];
        let of = |suffix: &str| -> Vec<f64> {
            let name = format!("subrosa_relay_commit_seconds_{suffix}");
            family.samples.iter().filter(|(n, ..)| *n == name).map(|(.., value)| *value).collect()
        };
        let buckets = of("bucket");
        assert!(buckets.is_sorted() && buckets.len() == Histogram::STEPS.len() + 1);
        assert_eq!((buckets.last(), of("count").as_slice()), (Some(&3.0), [3.0].as_slice()));
        let steps: Vec<f64> =
            family.samples.iter().filter_map(|(_, l, _)| l.first()?.1.parse().ok()).collect();
        assert!(steps.is_sorted() && steps[0] == 0.0005);
        assert_eq!(of("sum").len(), 1);
    }
}
