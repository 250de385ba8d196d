//! Colours: what each kind of text looks like, in every depth of colour.

use crate::term::Depth;
use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

/// Kinds of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Messages.
    Text,
    /// What matters less: times, notes, hints.
    Dim,
    /// Rules and borders.
    Rule,
    /// Headings, keys, the prompt.
    Accent,
    /// The own name.
    Me,
    /// The other person's name.
    Them,
    /// Good: connected, encrypted, read.
    Good,
    /// Unread counts, the unread line.
    Unread,
    /// Wants attention.
    Warn,
    /// Must not be missed.
    Alarm,
    /// The chosen row.
    Chosen,
    /// The status line.
    Bar,
    /// Web addresses; the only underlined text.
    Link,
}

/// Colours in 24 bits or by name, and the depth that the terminal has.
#[derive(Clone, Debug, PartialEq)]
pub struct Theme {
    palette: Palette,
    depth: Depth,
}

/// A theme file: `base` and any of the colours, as `#rrggbb`, a number of 0 to 255 or a name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "dark")]
    base: String,
    #[serde(default)]
    colours: Colours,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Colours {
    text: Option<String>,
    background: Option<String>,
    dim: Option<String>,
    rule: Option<String>,
    accent: Option<String>,
    me: Option<String>,
    them: Option<String>,
    good: Option<String>,
    unread: Option<String>,
    warn: Option<String>,
    alarm: Option<String>,
    chosen: Option<String>,
    bar: Option<String>,
    link: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Palette {
    text: Color,
    background: Color,
    dim: Color,
    rule: Color,
    accent: Color,
    me: Color,
    them: Color,
    good: Color,
    unread: Color,
    warn: Color,
    alarm: Color,
    chosen: Color,
    bar: Color,
    link: Color,
}

impl Theme {
    /// `dark`, `light` or `native`.
    pub fn named(name: &str, depth: Depth) -> Option<Self> {
        let palette = match name {
            // With sixteen colours the terminal's own go together better than rounded ones.
            "dark" | "light" if depth <= Depth::Ansi16 => NATIVE,
            "dark" => DARK,
            "light" => LIGHT,
            "native" => NATIVE,
            _ => return None,
        };
        Some(Self { palette, depth })
    }

    /// The terminal's own text, for measuring.
    pub fn plain() -> Self {
        Self { palette: NATIVE, depth: Depth::None }
    }

    /// Reads a theme file.
    ///
    /// # Errors
    /// A sentence that names the line or the colour.
    pub fn read(text: &str, depth: Depth) -> Result<Self, String> {
        if text.len() > FILE_MAX {
            return Err("A theme file has at most 16 KiB.".into());
        }
        let file: File = toml::from_str(text).map_err(|why| format!("The theme file: {}", why.message()))?;
        let mut palette = match file.base.as_str() {
            "dark" => DARK,
            "light" => LIGHT,
            "native" => NATIVE,
            _ => return Err("The theme file: base is dark, light or native.".into()),
        };
        let c = file.colours;
        let fields = [
            (&mut palette.text, c.text),
            (&mut palette.background, c.background),
            (&mut palette.dim, c.dim),
            (&mut palette.rule, c.rule),
            (&mut palette.accent, c.accent),
            (&mut palette.me, c.me),
            (&mut palette.them, c.them),
            (&mut palette.good, c.good),
            (&mut palette.unread, c.unread),
            (&mut palette.warn, c.warn),
            (&mut palette.alarm, c.alarm),
            (&mut palette.chosen, c.chosen),
            (&mut palette.bar, c.bar),
            (&mut palette.link, c.link),
        ];
        for (field, value) in fields {
            if let Some(value) = value {
                *field = colour(&value).ok_or_else(|| {
                    format!(
                        "The theme file: «{}» is not a colour; write #rrggbb, 0 to 255 or a name.",
                        super::text::line(&value)
                    )
                })?;
            }
        }
        Ok(Self { palette, depth })
    }

    /// How that kind of text looks.
    pub fn style(&self, role: Role) -> Style {
        let p = &self.palette;
        let fg = |colour| Style::new().fg(self.down(colour)).bg(self.down(p.background));
        let style = match role {
            Role::Text => fg(p.text),
            Role::Dim => fg(p.dim),
            Role::Rule => fg(p.rule),
            Role::Accent => fg(p.accent),
            Role::Me => fg(p.me).bold(),
            Role::Them => fg(p.them).bold(),
            Role::Good => fg(p.good),
            Role::Unread => fg(p.unread).bold(),
            Role::Warn => fg(p.warn),
            Role::Alarm => fg(p.alarm).bold().reversed(),
            Role::Chosen if p.chosen == Color::Reset => fg(p.text).reversed(),
            Role::Chosen => fg(p.text).bg(self.down(p.chosen)),
            Role::Bar => fg(p.dim).bg(self.down(p.bar)),
            Role::Link => fg(p.link).underlined(),
        };
        if self.depth > Depth::None {
            return style;
        }
        // Without colour the attributes must tell things apart.
        let plain = Style::new();
        match role {
            Role::Text | Role::Bar | Role::Them => plain,
            Role::Dim | Role::Rule => plain.add_modifier(Modifier::DIM),
            Role::Accent | Role::Me | Role::Good | Role::Unread | Role::Warn => plain.bold(),
            Role::Alarm | Role::Chosen => plain.reversed(),
            Role::Link => plain.underlined(),
        }
    }

    /// How the name of a room's member looks: one of the theme's colours, the same for a name each time.
    pub fn member(&self, name: &str) -> Style {
        let p = &self.palette;
        let colours = [p.them, p.accent, p.good, p.link, p.warn, p.unread];
        let sum = name.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let style =
            Style::new().fg(self.down(colours[sum % colours.len()])).bg(self.down(p.background)).bold();
        if self.depth > Depth::None { style } else { self.style(Role::Them) }
    }

    /// Entries of the palette beyond the sixteen that text is drawn with, in order.
    pub fn entries(&self) -> Vec<u8> {
        let styles = ROLES.into_iter().map(|role| self.style(role));
        let colours = styles.flat_map(|style| [style.fg, style.bg]).flatten();
        let entries = colours.filter_map(|colour| match colour {
            Color::Indexed(entry @ 16..) => Some(entry),
            _ => None,
        });
        entries.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }

    /// The colours that the terminal has.
    pub fn depth(&self) -> Depth {
        self.depth
    }

    fn down(&self, colour: Color) -> Color {
        match (self.depth, colour) {
            (Depth::None, _) => Color::Reset,
            (Depth::Ansi256, Color::Rgb(r, g, b)) => Color::Indexed(cube(r, g, b)),
            (Depth::Ansi16, Color::Rgb(r, g, b)) => nearest16(r, g, b),
            (Depth::Ansi16, Color::Indexed(i)) => {
                let (r, g, b) = rgb(i);
                nearest16(r, g, b)
            }
            (_, colour) => colour,
        }
    }
}

fn dark() -> String {
    "dark".into()
}

fn colour(text: &str) -> Option<Color> {
    text.parse().ok()
}

/// The nearest of the 240 fixed colours.
fn cube(r: u8, g: u8, b: u8) -> u8 {
    (16..=255).min_by_key(|i| distance(rgb(*i), (r, g, b))).unwrap_or(15)
}

/// The nearest of the sixteen; their usual values, since nobody knows the real ones.
fn nearest16(r: u8, g: u8, b: u8) -> Color {
    let best = (0..16u8).min_by_key(|i| distance(rgb(*i), (r, g, b))).unwrap_or(7);
    Color::Indexed(best)
}

fn distance(a: (u8, u8, u8), b: (u8, u8, u8)) -> u32 {
    let square = |x: u8, y: u8| u32::from(x.abs_diff(y)).pow(2);
    // The eye sees green best and blue least.
    3 * square(a.0, b.0) + 4 * square(a.1, b.1) + 2 * square(a.2, b.2)
}

fn rgb(index: u8) -> (u8, u8, u8) {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    match index {
        0..16 => SIXTEEN[usize::from(index)],
        16..232 => {
            let i = usize::from(index - 16);
            (LEVELS[i / 36], LEVELS[i / 6 % 6], LEVELS[i % 6])
        }
        232.. => {
            let grey = 8 + 10 * (index - 232);
            (grey, grey, grey)
        }
    }
}

/// xterm's values of the sixteen colours.
const SIXTEEN: [(u8, u8, u8); 16] = [
    (0, 0, 0),
    (205, 0, 0),
    (0, 205, 0),
    (205, 205, 0),
    (0, 0, 238),
    (205, 0, 205),
    (0, 205, 205),
    (229, 229, 229),
    (127, 127, 127),
    (255, 0, 0),
    (0, 255, 0),
    (255, 255, 0),
    (92, 92, 255),
    (255, 0, 255),
    (0, 255, 255),
    (255, 255, 255),
];

const ROLES: [Role; 13] = [
    Role::Text,
    Role::Dim,
    Role::Rule,
    Role::Accent,
    Role::Me,
    Role::Them,
    Role::Good,
    Role::Unread,
    Role::Warn,
    Role::Alarm,
    Role::Chosen,
    Role::Bar,
    Role::Link,
];

/// The longest theme file, in bytes.
pub const FILE_MAX: usize = 16 * 1024;

/// The terminal's own background under soft foregrounds.
const DARK: Palette = Palette {
    text: Color::Rgb(0xd8, 0xd4, 0xcf),
    background: Color::Reset,
    dim: Color::Rgb(0x8a, 0x86, 0x82),
    rule: Color::Rgb(0x4a, 0x48, 0x46),
    accent: Color::Rgb(0xe0, 0x8e, 0x9b),
    me: Color::Rgb(0x8f, 0xb8, 0xde),
    them: Color::Rgb(0xd9, 0xb3, 0x8c),
    good: Color::Rgb(0x8f, 0xbf, 0x88),
    unread: Color::Rgb(0xe8, 0x9a, 0x5c),
    warn: Color::Rgb(0xe0, 0xc0, 0x6a),
    alarm: Color::Rgb(0xf0, 0x70, 0x70),
    chosen: Color::Rgb(0x3a, 0x34, 0x36),
    bar: Color::Rgb(0x28, 0x26, 0x26),
    link: Color::Rgb(0x82, 0xb7, 0xc9),
};

const LIGHT: Palette = Palette {
    text: Color::Rgb(0x2c, 0x2a, 0x28),
    background: Color::Reset,
    dim: Color::Rgb(0x75, 0x70, 0x6c),
    rule: Color::Rgb(0xb8, 0xb2, 0xac),
    accent: Color::Rgb(0xa8, 0x32, 0x4a),
    me: Color::Rgb(0x1f, 0x5f, 0x9c),
    them: Color::Rgb(0x8a, 0x55, 0x1a),
    good: Color::Rgb(0x2e, 0x75, 0x32),
    unread: Color::Rgb(0xb8, 0x4a, 0x00),
    warn: Color::Rgb(0x8a, 0x68, 0x00),
    alarm: Color::Rgb(0xb7, 0x1c, 0x1c),
    chosen: Color::Rgb(0xe6, 0xdd, 0xd8),
    bar: Color::Rgb(0xee, 0xea, 0xe6),
    link: Color::Rgb(0x00, 0x64, 0x80),
};

/// The terminal's own colours by their names.
const NATIVE: Palette = Palette {
    text: Color::Reset,
    background: Color::Reset,
    dim: Color::DarkGray,
    rule: Color::DarkGray,
    accent: Color::Magenta,
    me: Color::Blue,
    them: Color::Yellow,
    good: Color::Green,
    unread: Color::Red,
    warn: Color::Yellow,
    alarm: Color::Red,
    chosen: Color::Reset,
    bar: Color::Reset,
    link: Color::Cyan,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_style_is_deeper_than_the_terminal() {
        for name in ["dark", "light", "native"] {
            for depth in [Depth::None, Depth::Ansi16, Depth::Ansi256, Depth::True] {
                let theme = Theme::named(name, depth).expect("built in");
                for role in ROLES {
                    let style = theme.style(role);
                    for colour in [style.fg, style.bg].into_iter().flatten() {
                        let fits = match colour {
                            Color::Reset => true,
                            Color::Rgb(..) => depth == Depth::True,
                            Color::Indexed(16..) => depth >= Depth::Ansi256,
                            _ => depth >= Depth::Ansi16,
                        };
                        assert!(fits, "{name} {depth:?} {role:?} {colour:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn theme_files() {
        let theme =
            Theme::read("base = 'light'\n[colours]\naccent = '#ff0000'\nme = '4'\nbar = 'blue'", Depth::True)
                .expect("valid");
        assert_eq!(theme.style(Role::Accent).fg, Some(Color::Rgb(255, 0, 0)));
        assert_eq!(theme.style(Role::Me).fg, Some(Color::Indexed(4)));
        assert!(
            Theme::read("[colours]\naccent = 'nocolour'", Depth::True).expect_err("bad").contains("nocolour")
        );
        assert!(Theme::read("[colours]\nx = '1'", Depth::True).expect_err("bad").contains("unknown field"));
        let low = Theme::read("[colours]\naccent = '#ff0101'", Depth::Ansi16).expect("valid");
        assert_eq!(low.style(Role::Accent).fg, Some(Color::Indexed(9)));
        assert_eq!(cube(255, 0, 0), 196);
    }
}
