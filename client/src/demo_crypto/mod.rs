//! `subrosa demo crypto`: one message's whole way between two throw-away people, byte by byte.
//!
//! Nothing is staged: sessions, vault, store, relay, TLS and codec are those of the program, and every
//! refusal that is printed is what they said to bytes of which one bit was changed.

mod after;
mod before;
mod message;
mod page;
mod people;
mod post;
mod step;
mod wire;

pub use page::{Page, WIDEST};
pub use step::{Flip, Shown, Sight, Step, Who};

use people::{Person, said};
use post::Post;
use std::io::Write;

/// How the walk ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Steps that were walked.
    pub steps: usize,
    /// What was tried with changed or repeated bytes.
    pub tried: usize,
    /// How much of that was refused.
    pub refused: usize,
}

/// In which form the steps are printed.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// For people.
    Page(Page),
    /// One JSON object a step.
    Json,
}

/// Walks and prints.
///
/// # Errors
/// A sentence: what did not work, or that a changed bit was taken.
pub fn run(form: Form, out: &mut dyn Write) -> Result<(), String> {
    let mut print = |text: &str| out.write_all(text.as_bytes()).map_err(said);
    if let Form::Page(page) = form {
        print(&page.paragraph(INTRO))?;
    }
    let mut number = 0;
    let tally = walk(&mut |step| {
        number += 1;
        match form {
            Form::Page(page) => print(&format!("\n{}", page.step(number, &step))),
            Form::Json => print(&format!("{}\n", serde_json::to_string(&step).map_err(said)?)),
        }
    })?;
    if let Form::Page(page) = form {
        print("\n")?;
        print(&page.verdict(&tally.verdict(), tally.holds()))?;
    }
    if tally.holds() { Ok(()) } else { Err(tally.verdict()) }
}

/// Every step, told as it happens.
///
/// # Errors
/// A sentence: a step did not work, or `tell` said no.
pub fn walk(tell: &mut dyn FnMut(Step) -> Result<(), String>) -> Result<Tally, String> {
    let dir = tempfile::tempdir().map_err(|error| format!("no folder for the walk: {error}"))?;
    let mut tally = Tally::default();
    let mut told = |step: Step| {
        tally.add(&step);
        tell(step)
    };
    let (mut ada, mut ben) = (Person::draw("ada", dir.path())?, Person::draw("ben", dir.path())?);
    let mut post = Post::start(dir.path())?;
    told(before::keys(&ada, &ben)?)?;
    told(before::vault(&ada)?)?;
    let (step, mut wire) = before::link(&post)?;
    told(step)?;
    let (step, conn) = before::login(&mut post, &ada, &mut wire)?;
    told(step)?;
    let (step, bundle) = before::prekeys(&mut post, &mut ada, conn, &mut ben)?;
    told(step)?;
    let (step, content, wrapped) = message::body(&ada)?;
    told(step)?;
    let (kem, noise, letter) = message::handshake(&mut ada, &mut ben, &bundle, content, wrapped)?;
    told(kem)?;
    told(noise)?;
    told(message::envelope(&mut post, conn, &mut wire, &ben, &letter)?)?;
    told(message::mailbox(&mut post, &mut ben, &letter)?)?;
    told(message::delivery(&mut post, &ada, &mut ben, &bundle, &letter)?)?;
    told(message::stream(&mut ada, &mut ben, &letter)?)?;
    told(after::disk(&mut ben, &letter.session)?)?;
    told(after::picture()?)?;
    told(after::safety(&ada, &ben)?)?;
    Ok(tally)
}

impl Tally {
    /// Counts a step.
    pub fn add(&mut self, step: &Step) {
        self.steps += 1;
        self.tried += step.flips.len();
        self.refused += step.flips.iter().filter(|flip| flip.refused.is_some()).count();
    }

    /// Whether all that was tried was refused.
    pub fn holds(&self) -> bool {
        self.refused == self.tried && self.tried > 0
    }

    /// The same in words.
    pub fn verdict(&self) -> String {
        let Self { steps, tried, refused } = self;
        match tried - refused {
            0 => format!(
                "{steps} steps, {tried} changed or repeated things, all of them refused. The people, their \
                 keys and the relay are gone."
            ),
            taken => format!(
                "{taken} of {tried} changed or repeated things were NOT refused: that is a fault of this \
                 program. Please report it with the lines above."
            ),
        }
    }
}

const INTRO: &str = "One letter from ada to ben, through everything that subrosa does with it. All bytes are \
real, shortened in the middle, and belong to two people who are drawn now and gone at the end. At each step: \
what others see, and what happens when one bit, drawn at random, is changed.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_reaches_its_end_and_every_changed_bit_is_refused() {
        let mut steps = Vec::new();
        let tally = walk(&mut |step| {
            steps.push(step);
            Ok(())
        });
        let tally = tally.expect("the walk works");
        assert_eq!((tally.steps, tally.holds()), (15, true), "{steps:#?}");
        for step in &steps {
            assert!(step.holds() && !step.flips.is_empty() && !step.seen.is_empty(), "{step:#?}");
            assert!(!step.bytes.is_empty() || step.title.contains("really"), "{step:#?}");
        }
        for who in [Who::Network, Who::Relay, Who::RelayDisk, Who::DeviceDisk] {
            assert!(steps.iter().any(|step| step.seen.iter().any(|sight| sight.who == who)), "{who:?}");
        }
    }

    #[test]
    fn a_bit_that_is_taken_is_a_failure() {
        let mut tally = Tally::default();
        assert!(!tally.holds(), "nothing was tried");
        tally.add(&Step::new("good", "").tried("a", Some("no".into())));
        assert!(tally.holds());
        tally.add(&Step::new("bad", "").tried("b", None));
        assert!(!tally.holds() && tally.verdict().contains("1 of 2"));
    }
}
