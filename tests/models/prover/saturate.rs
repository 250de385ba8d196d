//! Adds what follows to a set of clauses until nothing new does.

use super::clause::{Clause, Functions, Predicate};
use std::collections::BTreeMap;

/// Clauses from which everything else follows without choice.
pub(super) struct Saturated {
    /// Nothing is left to resolve upon.
    done: Vec<Clause>,
    /// A premise waits for conclusions.
    open: Vec<(Clause, usize)>,
    looked_at: usize,
}

/// What was looked at and did not end.
#[derive(Debug)]
pub(super) struct Endless;

/// Clauses that are looked at before it counts as endless.
const MANY: usize = 60_000;

impl Saturated {
    pub(super) fn new() -> Self {
        Self { done: Vec::new(), open: Vec::new(), looked_at: 0 }
    }

    /// Adds clauses and all that follows.
    pub(super) fn add(&mut self, clauses: Vec<Clause>, functions: &Functions) -> Result<(), Endless> {
        // The shortest first: they cover most of what is longer.
        let mut waiting = BTreeMap::new();
        let mut count = 0_u64;
        let mut wait = |waiting: &mut BTreeMap<_, _>, clause: Clause| {
            for clause in clause.simplified(functions) {
                count += 1;
                waiting.insert((clause.size, count), clause);
            }
        };
        clauses.into_iter().for_each(|clause| wait(&mut waiting, clause));
        while let Some((_, clause)) = waiting.pop_first() {
            if self.all().any(|other| other.covers(&clause)) {
                continue;
            }
            self.looked_at += 1;
            if self.looked_at > MANY {
                return Err(Endless);
            }
            self.done.retain(|other| !clause.covers(other));
            self.open.retain(|(other, _)| !clause.covers(other));
            let mut made = Vec::new();
            match clause.selected() {
                None => {
                    for (other, premise) in &self.open {
                        made.extend(clause.resolve(other, *premise));
                    }
                    self.done.push(clause);
                }
                Some(premise) => {
                    for other in &self.done {
                        made.extend(other.resolve(&clause, premise));
                    }
                    self.open.push((clause, premise));
                }
            }
            made.into_iter().for_each(|clause| wait(&mut waiting, clause));
        }
        Ok(())
    }

    /// Every way in which what a query asks about comes to happen.
    pub(super) fn asked(&self, query: usize) -> impl Iterator<Item = &Clause> {
        self.done.iter().filter(move |clause| clause.then.predicate == Predicate::Asked(query))
    }

    fn all(&self) -> impl Iterator<Item = &Clause> {
        self.done.iter().chain(self.open.iter().map(|(clause, _)| clause))
    }
}
