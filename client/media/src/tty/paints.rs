//! The few colours that one picture is painted with.

use super::glyph::DOTS;
use super::ink::{self, Ink, OWN, Ycc, far, usual, ycc};

/// At most so many: each pair of them is tried for each cell.
pub(super) const MOST: usize = 32;

/// The colours to choose from.
#[derive(Clone, Debug, Default)]
pub(super) struct Paints {
    /// For lit places.
    pub(super) fores: Side,
    /// For the others.
    pub(super) backs: Side,
    /// Both are the same colours.
    pub(super) same: bool,
    /// There are only the terminal's own two.
    pub(super) mono: bool,
}

/// Colours for one side, each with what it looks like and how many bytes select it.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    pub(super) inks: Vec<Ink>,
    pub(super) seen: Vec<Ycc>,
    pub(super) bytes: Vec<u32>,
}

impl Side {
    fn add(&mut self, ink: Ink, seen: Ycc, side: ink::Side) {
        let mut bytes = Vec::new();
        ink.select(side, &mut bytes);
        self.inks.push(ink);
        self.seen.push(seen);
        self.bytes.push(bytes.len() as u32);
    }

    pub(super) fn len(&self) -> usize {
        self.inks.len()
    }
}

impl Paints {
    /// These colours before; behind the same ones if `two`, else what the terminal has there.
    pub(super) fn new(colours: &[(Ink, Ycc)], two: bool) -> Self {
        let mut paints = Self { same: two, ..Self::default() };
        for (ink, seen) in colours {
            paints.fores.add(*ink, *seen, ink::Side::Fore);
            if two {
                paints.backs.add(*ink, *seen, ink::Side::Back);
            }
        }
        if !two {
            paints.backs.add(Ink::Default, ycc(OWN[1]), ink::Side::Back);
        }
        paints
    }

    /// What the terminal has.
    pub(super) fn own() -> Self {
        let mut paints = Self::new(&[(Ink::Default, ycc(OWN[0]))], false);
        paints.mono = true;
        paints
    }
}

/// The entry of xterm's palette, from 16 on, that looks most like it. In a palette so coarse a
/// wrong hue shows more than a wrong brightness, which the pattern of a cell can make up for.
pub(super) fn nearest(colour: Ycc) -> u8 {
    let error = |entry: u8| {
        let [y, cb, cr] = ycc(usual(entry));
        (y - colour[0]).powi(2) + (cb - colour[1]).powi(2) + (cr - colour[2]).powi(2)
    };
    (16..=255).min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap_or(16)
}

/// Every dot, with its cell's weight.
pub(super) fn samples(wanted: &[[Ycc; DOTS]], weights: &[f32]) -> Vec<(Ycc, f32)> {
    wanted.iter().zip(weights).flat_map(|(dots, weight)| dots.iter().map(|dot| (*dot, *weight))).collect()
}

/// Means of samples: `centres` moved to where the samples are (k-means, Lloyd's iteration).
/// Returns how many samples each has.
pub(super) fn settle(samples: &[(Ycc, f32)], centres: &mut [Ycc], rounds: usize) -> Vec<f32> {
    let mut counts = vec![0.0; centres.len()];
    for _ in 0..rounds {
        let mut sums = vec![[0.0f32; 3]; centres.len()];
        counts.fill(0.0);
        for (sample, weight) in samples {
            let at = closest(centres, *sample).0;
            counts[at] += weight;
            sums[at].iter_mut().zip(sample).for_each(|(sum, part)| *sum += part * weight);
        }
        for ((centre, sum), count) in centres.iter_mut().zip(&sums).zip(&counts) {
            if *count > 0.0 {
                *centre = sum.map(|sum| sum / count);
            }
        }
    }
    counts
}

/// Which centre is closest, and how far away.
pub(super) fn closest(centres: &[Ycc], sample: Ycc) -> (usize, f32) {
    let mut best = (0, f32::INFINITY);
    for (at, centre) in centres.iter().enumerate() {
        let error = far(*centre, sample);
        if error < best.1 {
            best = (at, error);
        }
    }
    best
}

/// These centres and, one after another, samples that are worst served by them, up to so many.
pub(super) fn add(samples: &[(Ycc, f32)], mut centres: Vec<Ycc>, count: usize) -> Vec<Ycc> {
    let mut errors: Vec<f32> = samples.iter().map(|(sample, _)| closest(&centres, *sample).1).collect();
    while centres.len() < count {
        let missed = errors.iter().zip(samples).map(|(error, (_, weight))| error.powf(0.75) * weight);
        let Some((worst, _)) =
            missed.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, missed)| *missed > 0.0)
        else {
            break;
        };
        let (newest, _) = samples[worst];
        centres.push(newest);
        errors
            .iter_mut()
            .zip(samples)
            .for_each(|(error, (sample, _))| *error = error.min(far(newest, *sample)));
    }
    centres
}

/// So many centres for the samples, begun with the mean and then, one after another, with the
/// sample that is worst served.
pub(super) fn choose(samples: &[(Ycc, f32)], count: usize) -> Vec<Ycc> {
    let mut centres: Vec<Ycc> = vec![[128.0; 3]];
    settle(samples, &mut centres, 1);
    let mut errors: Vec<f32> = samples.iter().map(|_| f32::INFINITY).collect();
    while centres.len() < count {
        let Some(newest) = centres.last().copied() else { break };
        let mut worst = (0.0, None);
        for (error, (sample, weight)) in errors.iter_mut().zip(samples) {
            *error = error.min(far(newest, *sample));
            // Not the single oddest sample, but one of those that weigh most.
            let missed = error.powf(0.75) * weight;
            if missed > worst.0 {
                worst = (missed, Some(*sample));
            }
        }
        let Some(sample) = worst.1 else { break };
        centres.push(sample);
        if centres.len().is_power_of_two() {
            settle(samples, &mut centres, 2);
            errors.fill(f32::INFINITY);
            for centre in &centres {
                errors
                    .iter_mut()
                    .zip(samples)
                    .for_each(|(error, (sample, _))| *error = error.min(far(*centre, *sample)));
            }
        }
    }
    settle(samples, &mut centres, 6);
    centres
}
