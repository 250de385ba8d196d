//! The test picture: a drawn face that breathes, looks about, blinks and talks.

use std::time::Duration;
use subrosa_shared::video::picture::Picture;

/// The face with this seed at this moment; `None` when the size is out of bounds.
pub(super) fn picture(width: u16, height: u16, at: Duration, seed: u64) -> Option<Picture> {
    let face = Face::new(seed, at);
    let (w, h) = (f32::from(width), f32::from(height));
    // One unit is the picture's height; the middle is 0.
    Picture::paint(width, height, |x, y| {
        let (x, y) = ((f32::from(x) + 0.5 - w / 2.0) / h, (f32::from(y) + 0.5) / h - 0.5);
        face.colour(x, y, 1.0 / h).map(|v| (v.clamp(0.0, 1.0) * 255.0) as u8)
    })
}

type Colour = [f32; 3];

/// Everything that depends on the seed and the moment.
struct Face {
    /// Where the head is, and how far it leans.
    head: (f32, f32),
    lean: f32,
    /// Where it looks, −1 to 1.
    look: (f32, f32),
    /// How open eyes and mouth are, 0 to 1.
    eyes: f32,
    mouth: f32,
    time: f32,
    skin: Colour,
    hair: Colour,
    shirt: Colour,
    wall: Colour,
    long: bool,
}

impl Face {
    fn new(seed: u64, at: Duration) -> Self {
        let traits = scatter(seed);
        let part = |at: u32| (traits >> (at * 8) & 0xFF) as f32 / 255.0;
        // An hour is enough before it begins anew; more would blur the phases of an f32.
        let time = (at.as_millis() % 3_600_000) as f32 / 1000.0 + part(0) * 60.0;
        let talk = ((time * 0.45 + part(1) * 6.0).sin() * 3.0).clamp(0.0, 1.0);
        let blink = ((time * 0.31 + part(2)).fract() - 0.5).abs() * 2.0;
        Self {
            head: ((time * 0.9).sin() * 0.05 + (time * 0.37).sin() * 0.06, (time * 1.3).sin() * 0.015 - 0.04),
            lean: (time * 0.6).sin() * 0.10,
            look: ((time * 0.53).sin(), (time * 0.41).cos() * 0.6),
            eyes: ((0.985 - blink) * 60.0).clamp(0.0, 1.0),
            mouth: talk * ((time * 11.0).sin() * 0.5 + 0.5) * ((time * 4.3).sin() * 0.3 + 0.7),
            time,
            skin: mix([0.98, 0.80, 0.66], [0.48, 0.30, 0.20], part(3)),
            // From black over brown and red to blond.
            hair: hue(0.01 + part(4) * 0.11, 0.65, 0.16 + part(5) * 0.62),
            shirt: hue(part(6), 0.65, 0.70),
            wall: hue(part(6) + 0.45, 0.40, 0.55),
            long: traits >> 60 & 1 == 1,
        }
    }

    /// The colour at a place; `soft` is how wide edges are.
    fn colour(&self, x: f32, y: f32, soft: f32) -> Colour {
        // The wall: a slow wave of light.
        let wave = (x * 3.0 + self.time * 0.5).sin() * 0.5 + (y * 4.0 - self.time * 0.3).cos() * 0.5;
        let mut colour = shade(self.wall, 0.75 - y * 0.35 + wave * 0.10);
        let over = |below: Colour, colour: Colour, outside: f32| {
            mix(below, colour, (0.5 - outside / soft).clamp(0.0, 1.0))
        };
        // Face coordinates: moved and leaned with the head.
        let (hx, hy) = (x - self.head.0, y - self.head.1);
        let (fx, fy) = (hx - hy * self.lean, hy + hx * self.lean);
        let light = 1.08 - (fx + 0.12) * 0.75;
        if self.long {
            colour = over(colour, shade(self.hair, 0.8), ellipse(fx, fy - 0.10, 0.27, 0.40));
        }
        // Shoulders and neck follow the head a little.
        let body = x - self.head.0 * 0.4;
        colour = over(colour, shade(self.shirt, 1.0 - body * 0.6), ellipse(body, y - 0.62, 0.46, 0.28));
        colour = over(
            colour,
            shade(self.skin, light * 0.72),
            ellipse(body * 0.7 + hx * 0.3, y - 0.28, 0.09, 0.16),
        );
        // Head, hair, ears.
        for side in [-1.0, 1.0] {
            colour =
                over(colour, shade(self.skin, light * 0.85), ellipse(fx - side * 0.215, fy, 0.035, 0.06));
        }
        colour = over(colour, shade(self.hair, 0.9 + wave * 0.08), ellipse(fx, fy + 0.09, 0.235, 0.26));
        let cheek = (0.9 - fy * 0.25) * light;
        colour = over(
            colour,
            shade(self.skin, cheek),
            ellipse(fx, fy - 0.03, 0.20, 0.27).max(-0.17 - fy - fx * 0.2),
        );
        for side in [-1.0, 1.0] {
            let (ex, ey) = (fx - side * 0.085 - self.look.0 * 0.008, fy + 0.03);
            let lid = ellipse(ex, ey, 0.046, 0.004 + 0.026 * self.eyes).max(ellipse(ex, ey, 0.046, 0.046));
            let white = mix(shade(self.skin, 0.6), [0.97, 0.97, 0.95], self.eyes);
            colour = over(colour, white, lid);
            let (px, py) = (ex - self.look.0 * 0.018, ey - self.look.1 * 0.008);
            colour = over(colour, [0.16, 0.11, 0.09], lid.max(ellipse(px, py, 0.021, 0.023)));
            colour = over(colour, [1.0; 3], lid.max(ellipse(px + 0.007, py + 0.007, 0.006, 0.006)));
            // Brows rise with the voice.
            let brow = ellipse(ex, ey + 0.062 + self.mouth * 0.012 + ex * ex * 4.0, 0.055, 0.010);
            colour = over(colour, shade(self.hair, 0.7), brow);
        }
        colour = over(colour, shade(self.skin, light * 0.78), ellipse(fx - 0.012, fy - 0.065, 0.020, 0.028));
        // A mouth that smiles when it is still.
        let open = 0.010 + self.mouth * 0.040;
        let smile = fy - 0.145 + fx * fx * 2.2 * (1.0 - self.mouth);
        colour = over(colour, [0.66, 0.22, 0.24], ellipse(fx, smile, 0.082, open + 0.010));
        over(colour, [0.30, 0.06, 0.08], ellipse(fx, smile - 0.002, 0.066, open - 0.004))
    }
}

/// Roughly how far outside an ellipse a place lies, negative inside.
fn ellipse(x: f32, y: f32, rx: f32, ry: f32) -> f32 {
    ((x / rx).hypot(y / ry.max(0.001)) - 1.0) * rx.min(ry.max(0.001))
}

fn mix(a: Colour, b: Colour, part: f32) -> Colour {
    std::array::from_fn(|at| a[at] + (b[at] - a[at]) * part)
}

fn shade(colour: Colour, light: f32) -> Colour {
    colour.map(|value| value * light)
}

fn hue(hue: f32, saturation: f32, value: f32) -> Colour {
    [0.0, 2.0 / 3.0, 1.0 / 3.0].map(|offset| {
        let wave = (((hue + offset).fract() * 6.0 - 3.0).abs() - 1.0).clamp(0.0, 1.0);
        value * (1.0 - saturation + saturation * wave)
    })
}

/// Spreads a seed over 64 bits (the finaliser of SplitMix64).
fn scatter(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_and_each_seed_has_its_own() {
        let one = picture(96, 64, Duration::ZERO, 1).expect("in bounds");
        let later = picture(96, 64, Duration::from_millis(700), 1).expect("in bounds");
        let other = picture(96, 64, Duration::ZERO, 2).expect("in bounds");
        assert!(one.psnr(&later).expect("same size") < 40.0, "it moves");
        assert!(one.psnr(&other).expect("same size") < 25.0, "it is someone else");
        assert_eq!(picture(96, 64, Duration::ZERO, 1), Some(one));
        assert!(picture(4, 4, Duration::ZERO, 1).is_none());
    }
}
