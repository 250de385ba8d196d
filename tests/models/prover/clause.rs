//! Facts and clauses: what follows from what.

use super::term::{Binding, Symbol, Term, instances, unify};
use std::collections::BTreeSet;

/// What a fact says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Predicate {
    /// The attacker has it, in this phase.
    Attacker(u8),
    /// It stands in a table, in this phase.
    Table(Symbol, u8),
    /// An event that has happened, as something to assume.
    Before(Symbol),
    /// An event that can happen, as something to reach.
    Reached(Symbol),
    /// What a query asks about can happen.
    Asked(usize),
}

impl Predicate {
    /// Whether one is as good as the other: what the attacker has, it keeps in later phases.
    fn serves(self, wanted: Self) -> bool {
        match (self, wanted) {
            (Self::Attacker(has), Self::Attacker(wanted)) => has <= wanted,
            _ => self == wanted,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) predicate: Predicate,
    pub(super) terms: Vec<Term>,
}

impl Fact {
    pub(super) fn attacker(phase: u8, term: Term) -> Self {
        Self { predicate: Predicate::Attacker(phase), terms: vec![term] }
    }

    pub(super) fn map(&self, with: &mut impl FnMut(u32) -> Term) -> Self {
        Self { predicate: self.predicate, terms: self.terms.iter().map(|term| term.map(with)).collect() }
    }

    pub(super) fn under(&self, binding: &Binding) -> Self {
        Self { predicate: self.predicate, terms: self.terms.iter().map(|term| term.under(binding)).collect() }
    }

    /// Whether it says all that the other does.
    pub(super) fn serves(&self, other: &Self) -> bool {
        self.predicate.serves(other.predicate) && self.terms.iter().zip(&other.terms).all(|(a, b)| a.same(b))
    }

    fn is_anything(&self) -> bool {
        matches!(self.predicate, Predicate::Attacker(_)) && self.terms[0].is_variable()
    }

    fn is_given(&self, given: &BTreeSet<Symbol>) -> bool {
        matches!((&self.predicate, &self.terms[..]), (Predicate::Attacker(_), [Term::Of(symbol, _)])
            if given.contains(symbol))
    }

    fn head(&self) -> Option<Symbol> {
        match self.terms.first() {
            Some(Term::Of(symbol, _)) => Some(*symbol),
            _ => None,
        }
    }
}

/// What is known of functions while clauses are made simpler.
#[derive(Clone, Debug, Default)]
pub(super) struct Functions {
    /// Whoever has one has its parts, and the other way round.
    pub(super) tuples: BTreeSet<Symbol>,
    /// Constants that everybody has.
    pub(super) given: BTreeSet<Symbol>,
}

/// If all of `when`, then `then`. Its variables are its own, numbered from 0.
#[derive(Clone, Debug)]
pub(super) struct Clause {
    pub(super) when: Vec<Fact>,
    pub(super) then: Fact,
    pub(super) variables: u32,
    /// How much is written in it, and a bit for each function: what covers another has no more of either.
    pub(super) size: usize,
    functions: u64,
}

impl Clause {
    pub(super) fn new(when: Vec<Fact>, then: Fact) -> Self {
        Self { when, then, variables: 0, size: 0, functions: 0 }.numbered()
    }

    /// The premise to resolve upon next. None when those that are left say only that the attacker has
    /// something or other, or that something happened before.
    pub(super) fn selected(&self) -> Option<usize> {
        let open = |fact: &Fact| !fact.is_anything() && !matches!(fact.predicate, Predicate::Before(_));
        let size = |fact: &Fact| fact.terms.iter().map(Term::size).sum::<usize>();
        (0..self.when.len()).filter(|i| open(&self.when[*i])).max_by_key(|i| size(&self.when[*i]))
    }

    /// Everything that follows when `self`'s conclusion serves as that premise of `other`.
    pub(super) fn resolve(&self, other: &Self, premise: usize) -> Vec<Self> {
        let wanted = &other.when[premise];
        let apart = !self.then.predicate.serves(wanted.predicate)
            || matches!((self.then.head(), wanted.head()), (Some(a), Some(b)) if a != b);
        if apart {
            return Vec::new();
        }
        let offset = other.variables;
        let shifted = |fact: &Fact| fact.map(&mut |variable| Term::Variable(variable + offset));
        let pairs = shifted(&self.then).terms.into_iter().zip(wanted.terms.iter().cloned()).collect();
        let mut found = Vec::new();
        unify(pairs, vec![None; (offset + self.variables) as usize], &mut found);
        let made = found.into_iter().map(|binding| {
            let mine = self.when.iter().map(|fact| shifted(fact).under(&binding));
            let rest = other.when.iter().enumerate().filter(|(i, _)| *i != premise);
            let when = mine.chain(rest.map(|(_, fact)| fact.under(&binding))).collect();
            Self::new(when, other.then.under(&binding))
        });
        made.collect()
    }

    /// Whether the other says no more than this one does.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let more = self.size > other.size || self.functions & !other.functions != 0;
        if more || !self.then.predicate.serves(other.then.predicate) || self.when.len() > other.when.len() {
            return false;
        }
        let pairs = self.then.terms.iter().zip(&other.then.terms).collect();
        let mut found = Vec::new();
        instances(pairs, vec![None; self.variables as usize], &mut found);
        found.into_iter().any(|binding| among(&self.when, &other.when, binding))
    }

    /// Simpler clauses that say the same; none when it says nothing.
    pub(super) fn simplified(self, functions: &Functions) -> Vec<Self> {
        if self.when.iter().chain([&self.then]).any(|fact| fact.terms.iter().any(Term::is_miswritten)) {
            return Vec::new();
        }
        let mut when = Vec::new();
        for fact in self.when {
            take_apart(fact, &functions.tuples, &mut when);
        }
        when.retain(|fact| !fact.is_given(&functions.given));
        let mut then = Vec::new();
        take_apart(self.then, &functions.tuples, &mut then);
        let made = then.into_iter().map(|then| {
            let mut kept: Vec<Fact> = Vec::new();
            for fact in &when {
                if !kept.iter().any(|other| other.serves(fact)) {
                    kept.push(fact.clone());
                }
            }
            Self { when: kept, then, variables: 0, size: 0, functions: 0 }
        });
        made.filter(|clause| !clause.when.iter().any(|fact| fact.serves(&clause.then)))
            .map(|clause| clause.without_unrelated().without_idle().numbered())
            .collect()
    }

    /// Without events before that speak of nothing else in it: no query can ask about those.
    fn without_unrelated(mut self) -> Self {
        let is_before = |fact: &Fact| matches!(fact.predicate, Predicate::Before(_));
        let mut kept: Vec<Fact> = Vec::new();
        for (i, fact) in self.when.iter().enumerate() {
            let others = self.when.iter().enumerate().filter(|(j, other)| *j != i && !other.is_anything());
            let others = others.map(|(_, other)| other).chain([&self.then]);
            let mut related = false;
            for term in &fact.terms {
                term.each_variable(&mut |variable| {
                    related |= others.clone().any(|f| f.terms.iter().any(|term| term.mentions(variable)));
                });
            }
            if !is_before(fact) || related {
                kept.push(fact.clone());
            }
        }
        self.when = kept;
        self
    }

    /// Without premises that are always true: the attacker has something, whatever it is.
    fn without_idle(mut self) -> Self {
        let mut i = 0;
        while i < self.when.len() {
            let Fact { predicate: Predicate::Attacker(phase), terms } = &self.when[i] else {
                i += 1;
                continue;
            };
            let Term::Variable(variable) = terms[0] else {
                i += 1;
                continue;
            };
            let earlier = |fact: &Fact| {
                matches!(fact.predicate, Predicate::Attacker(other) if other <= *phase)
                    && fact.terms[0].same(&terms[0])
            };
            let rest = || self.when.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, fact)| fact);
            let idle = !rest().chain([&self.then]).any(|f| f.terms.iter().any(|t| t.mentions(variable)));
            if idle || rest().any(earlier) {
                self.when.remove(i);
                i = 0;
            } else {
                i += 1;
            }
        }
        self
    }

    /// The same with variables numbered from 0.
    fn numbered(self) -> Self {
        let mut numbers: Vec<u32> = Vec::new();
        let mut number = |variable: u32| {
            let at = numbers.iter().position(|other| *other == variable).unwrap_or_else(|| {
                numbers.push(variable);
                numbers.len() - 1
            });
            Term::Variable(at as u32)
        };
        let then = self.then.map(&mut number);
        let when: Vec<Fact> = self.when.iter().map(|fact| fact.map(&mut number)).collect();
        let (mut size, mut functions) = (0, 0);
        for term in when.iter().chain([&then]).flat_map(|fact| &fact.terms) {
            term.each(&mut |symbol| {
                size += 1;
                functions |= 1 << (symbol % 64);
            });
        }
        Self { when, then, variables: numbers.len() as u32, size, functions }
    }
}

/// Whether each pattern has its like among the facts.
fn among(patterns: &[Fact], facts: &[Fact], binding: Binding) -> bool {
    let Some((first, rest)) = patterns.split_first() else { return true };
    facts.iter().filter(|fact| fact.predicate.serves(first.predicate)).any(|fact| {
        let mut found = Vec::new();
        instances(first.terms.iter().zip(&fact.terms).collect(), binding.clone(), &mut found);
        found.into_iter().any(|binding| among(rest, facts, binding))
    })
}

/// Whoever has a tuple has its parts, and the other way round.
fn take_apart(fact: Fact, tuples: &BTreeSet<Symbol>, into: &mut Vec<Fact>) {
    match (&fact.predicate, &fact.terms[..]) {
        (Predicate::Attacker(phase), [Term::Of(symbol, parts)]) if tuples.contains(symbol) => {
            for part in parts.iter() {
                take_apart(Fact::attacker(*phase, part.clone()), tuples, into);
            }
        }
        _ => into.push(fact),
    }
}
