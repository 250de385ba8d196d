//! One table of figures, and the quantiles in it.

use std::fmt;
use std::time::{Duration, Instant};

/// What is printed at the end, as a Markdown table.
#[derive(Default)]
pub struct Table {
    rows: Vec<[String; 5]>,
}

impl Table {
    /// A figure: what, median, p99, what it is compared with, the ratio of the two.
    pub fn row(&mut self, what: &str, median: &str, p99: &str, beside: &str, ratio: &str) {
        self.rows.push([what, median, p99, beside, ratio].map(String::from));
    }

    /// Times beside the times of something simpler.
    pub fn times(&mut self, what: &str, times: &Times, beside: &str, reference: &Times) {
        let ratio = |q| times.at(q).as_secs_f64() / reference.at(q).as_secs_f64().max(1e-9);
        self.row(
            what,
            &shown(times.at(MEDIAN)),
            &shown(times.at(P99)),
            &format!("{beside}: {} / {}", shown(reference.at(MEDIAN)), shown(reference.at(P99))),
            &format!("{:.1}× / {:.1}×", ratio(MEDIAN), ratio(P99)),
        );
    }

    /// Times with nothing to compare them with.
    pub fn alone(&mut self, what: &str, times: &Times) {
        self.row(what, &shown(times.at(MEDIAN)), &shown(times.at(P99)), "", "");
    }

    /// A figure that is one value.
    pub fn value(&mut self, what: &str, value: &str, beside: &str, ratio: &str) {
        self.row(what, value, "", beside, ratio);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["figure", "median", "p99", "beside (median / p99)", "ratio"].map(String::from);
        let width = |column: usize| {
            self.rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        let widths = [0, 1, 2, 3, 4].map(width);
        let line = |f: &mut fmt::Formatter<'_>, row: &[String; 5]| {
            for (cell, width) in row.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")
        };
        line(f, &head)?;
        line(f, &widths.map(|width| "-".repeat(width)))?;
        self.rows.iter().try_for_each(|row| line(f, row))
    }
}

/// The middle of a distribution.
pub const MEDIAN: f64 = 0.5;
/// All but one in a hundred.
pub const P99: f64 = 0.99;

/// How long something took, many times.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// One more.
    pub fn add(&mut self, time: Duration) {
        let place = self.0.partition_point(|earlier| *earlier <= time);
        self.0.insert(place, time);
    }

    /// Runs something and takes its time.
    pub fn of<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.add(begun.elapsed());
        done
    }

    /// The quantile `q` between 0 and 1, by nearest rank; zero when nothing was measured.
    pub fn at(&self, q: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((q * last as f64).round() as usize).copied().unwrap_or_default()
    }
}

/// A time in the unit that suits it.
pub fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        s => format!("{:.2} µs", s * 1e6),
    }
}

/// Bytes in MiB.
pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
