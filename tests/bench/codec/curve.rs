//! What which quality costs.

use std::collections::BTreeMap;
use std::fmt;

/// Decibels of luma PSNR at which codecs are compared.
pub const WANTED: [f64; 3] = [30.0, 32.0, 34.0];

/// A film at one setting of a codec.
#[derive(Clone, Copy)]
pub struct Point {
    /// Kilobits a second.
    pub kbit: f64,
    /// Luma PSNR.
    pub decibels: f64,
}

/// A film at some settings of a codec, from coarse to fine.
pub struct Curve<S>(Vec<(S, Point)>);

impl<S: Copy> Curve<S> {
    /// Tries those of `settings`, which go from coarse to fine, that lie around the wanted qualities.
    pub fn around(
        wanted: &[f64],
        settings: impl Iterator<Item = S>,
        mut at: impl FnMut(S) -> anyhow::Result<Point>,
    ) -> anyhow::Result<Self> {
        let settings: Vec<S> = settings.collect();
        let mut tried = BTreeMap::new();
        for &wanted in wanted {
            let (mut low, mut high) = (0, settings.len());
            while low < high {
                let middle = (low + high) / 2;
                let point = match tried.get(&middle) {
                    Some((_, point)) => *point,
                    None => {
                        let point = at(settings[middle])?;
                        tried.insert(middle, (settings[middle], point));
                        point
                    }
                };
                if point.decibels >= wanted { high = middle } else { low = middle + 1 }
            }
        }
        Ok(Self(tried.into_values().collect()))
    }

    /// Kilobits a second at this quality, between two settings by the logarithm of the rate, or
    /// `None` when no settings lie around it.
    pub fn kbit(&self, decibels: f64) -> Option<f64> {
        let above = self.0.iter().position(|(_, point)| point.decibels >= decibels)?;
        let [low, high] = [self.0.get(above.checked_sub(1)?)?.1, self.0[above].1];
        let share = (decibels - low.decibels) / (high.decibels - low.decibels);
        Some((low.kbit.ln() + (high.kbit.ln() - low.kbit.ln()) * share).exp())
    }

    /// The same at all of the wanted qualities.
    pub fn wanted(&self) -> [Option<f64>; 3] {
        WANTED.map(|wanted| self.kbit(wanted))
    }

    /// The setting that comes closest to a quality.
    pub fn setting(&self, decibels: f64) -> Option<S> {
        let far = |point: &Point| (point.decibels - decibels).abs();
        self.0.iter().min_by(|a, b| far(&a.1).total_cmp(&far(&b.1))).map(|(setting, _)| *setting)
    }
}

/// Codecs beside each other on one film, as a Markdown table. The first row is ours.
pub struct Comparison {
    title: String,
    rows: Vec<Row>,
}

struct Row {
    codec: String,
    kbit: [Option<f64>; 3],
    note: String,
}

impl Comparison {
    pub fn new(title: String) -> Self {
        Self { title, rows: Vec::new() }
    }

    /// A codec, and what it takes at the wanted qualities.
    pub fn row(&mut self, codec: &str, kbit: [Option<f64>; 3], note: &str) {
        self.rows.push(Row { codec: codec.into(), kbit, note: note.into() });
    }

    /// A codec, or why it could not be measured.
    pub fn row_or_skipped(&mut self, codec: &str, kbit: anyhow::Result<[Option<f64>; 3]>, note: &str) {
        match kbit {
            Ok(kbit) => self.row(codec, kbit, note),
            Err(error) => self.row(codec, [None; 3], &format!("skipped: {error:#}")),
        }
    }

    /// Ours beside the cheapest of the others.
    fn ratios(&self) -> Option<Row> {
        let (ours, others) = self.rows.split_first()?;
        let ratio = |at: usize| {
            let best = others.iter().filter_map(|row| row.kbit[at]).min_by(f64::total_cmp)?;
            ours.kbit[at].map(|kbit| kbit / best)
        };
        let note = "below 1: fewer bits than any of the others".into();
        let codec = format!("{} / best of the others", ours.codec);
        Some(Row { codec, kbit: [0, 1, 2].map(ratio), note })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = WANTED.map(|wanted| format!("{wanted:.0} dB"));
        let cells = |row: &Row, digits: usize| -> [String; 5] {
            let [a, b, c] =
                row.kbit.map(|kbit| kbit.map_or_else(|| "–".into(), |kbit| format!("{kbit:.digits$}")));
            [row.codec.clone(), a, b, c, row.note.clone()]
        };
        let [a, b, c] = head;
        let mut lines = vec![["kbit/s".into(), a, b, c, String::new()]];
        lines.extend(self.rows.iter().map(|row| cells(row, 1)));
        lines.extend(self.ratios().map(|row| cells(&row, 2)));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let [name, a, b, c, note] = [0, 1, 2, 3, 4].map(width);
        lines.insert(1, [name, a, b, c, note].map(|width| "-".repeat(width)));
        writeln!(f, "{}\n", self.title)?;
        for [codec, first, second, third, said] in &lines {
            writeln!(f, "| {codec:name$} | {first:>a$} | {second:>b$} | {third:>c$} | {said:note$} |")?;
        }
        writeln!(f)
    }
}
