//! Steps as lines of text: wrapped, coloured on a terminal that wants it, plain elsewhere.

use super::step::Step;
use crate::ui::text;
use std::fmt::Write as _;

/// How the lines are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Columns, at most [`WIDEST`].
    pub width: usize,
    /// With colours.
    pub colour: bool,
    /// With signs beyond ASCII.
    pub unicode: bool,
}

/// The most columns that a page has.
pub const WIDEST: usize = 80;
/// The fewest.
const NARROWEST: usize = 30;
/// Columns of the names on the left, on a page of full width.
const NAMES: usize = 17;
const INDENT: usize = 4;

#[derive(Clone, Copy)]
enum Ink {
    Title,
    Plain,
    Name,
    Good,
    Bad,
}

impl Page {
    /// A paragraph from the left edge.
    pub fn paragraph(&self, said: &str) -> String {
        let mut out = String::new();
        self.block(&mut out, 0, "", said, Ink::Plain);
        out
    }

    /// The verdict at the end.
    pub fn verdict(&self, said: &str, good: bool) -> String {
        let mut out = String::new();
        self.block(&mut out, 0, "", said, if good { Ink::Good } else { Ink::Bad });
        out
    }

    /// One step.
    pub fn step(&self, number: usize, step: &Step) -> String {
        let mut out = String::new();
        self.block(&mut out, 0, &format!("{number:>2}  "), step.title, Ink::Title);
        self.block(&mut out, INDENT, "", &step.says, Ink::Plain);
        for shown in &step.bytes {
            let said = format!("{:>5} B  {}", shown.length, shown.hex);
            self.block(&mut out, INDENT, &shown.name, &said, Ink::Name);
        }
        for sight in &step.seen {
            self.block(&mut out, INDENT, sight.who.name(), &format!("sees {}", sight.what), Ink::Name);
        }
        for flip in &step.flips {
            let (said, ink) = match &flip.refused {
                Some(why) => (format!("{}: refused, “{why}”", flip.what), Ink::Good),
                None => (format!("{}: NOT REFUSED", flip.what), Ink::Bad),
            };
            self.block(&mut out, INDENT, "tried", &said, ink);
        }
        out
    }

    /// A name on the left, and text beside it that is wrapped. On a narrow page the text stands below.
    fn block(&self, out: &mut String, indent: usize, name: &str, said: &str, ink: Ink) {
        let width = self.width.clamp(NARROWEST, WIDEST);
        let (name, said) = (self.spelt(name), self.spelt(said));
        let hang = match (indent, name.is_empty()) {
            (_, true) => indent,
            (0, false) => text::width(&name),
            (_, false) if width < 3 * NAMES => indent + 2,
            (_, false) => indent + NAMES,
        };
        let mut lead = format!("{}{name}", " ".repeat(indent));
        if text::width(&lead) > hang {
            let _ = writeln!(out, "{}", self.inked(&lead, Ink::Name));
            lead.clear();
        }
        for (at, row) in text::wrap(&said, width - hang).into_iter().enumerate() {
            let lead = if at == 0 { lead.as_str() } else { "" };
            let gap = " ".repeat(hang - text::width(lead));
            let row = self.inked(said[row].trim_end(), ink);
            let lead = if lead.trim().is_empty() { lead.to_string() } else { self.inked(lead, Ink::Name) };
            let _ = writeln!(out, "{lead}{gap}{row}");
        }
    }

    fn spelt(&self, said: &str) -> String {
        if self.unicode {
            return said.to_string();
        }
        let plain = [("…", "..."), ("‖", "|"), ("→", "->"), ("“", "\""), ("”", "\""), ("’", "'")];
        plain.iter().fold(said.to_string(), |said, (sign, plain)| said.replace(sign, plain))
    }

    fn inked(&self, said: &str, ink: Ink) -> String {
        let code = match ink {
            Ink::Title => "1",
            Ink::Plain => return said.to_string(),
            Ink::Name => "36",
            Ink::Good => "32",
            Ink::Bad => "1;31",
        };
        if self.colour { format!("\x1b[{code}m{said}\x1b[0m") } else { said.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::step::Who;
    use super::*;

    fn step() -> Step {
        Step::new("A title that is a bit long", "Words ‖ words… ".repeat(12))
            .bytes("a name, not short", &[1; 40])
            .bytes("short", &[2; 4])
            .sees(Who::DeviceDisk, "nothing at all, ".repeat(9))
            .flip("a thing", &[0; 9], |_| Err::<(), _>("it says so at some length, and then goes on"))
    }

    #[test]
    fn no_line_is_wider_than_the_page() {
        for width in [20, 24, 40, 60, 80, 200] {
            for unicode in [true, false] {
                let page = Page { width, colour: false, unicode };
                let said = page.step(3, &step()) + &page.paragraph(&"word ".repeat(70));
                let widest = said.lines().map(text::width).max();
                assert!(widest <= Some(width.clamp(NARROWEST, WIDEST)), "{width}: {said}");
                assert!(unicode || said.is_ascii(), "{said}");
            }
        }
    }

    #[test]
    fn colours_are_only_there_when_asked_for() {
        let page = |colour| Page { width: 80, colour, unicode: true }.step(1, &step());
        assert!(!page(false).contains('\x1b'));
        assert!(page(true).contains("\x1b[32m"));
    }
}
