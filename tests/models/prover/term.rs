//! Terms, and when two of them are, or can be made, the same.
//!
//! Powers of `g` are kept in a form of their own, so that `exp(exp(g, x), y) = exp(exp(g, y), x)` is
//! one function whose two arguments may change places.

use std::rc::Rc;

/// A function, a constant or a name, by its number.
pub(super) type Symbol = u32;

/// `exp(g, x)`.
pub(super) const PUBLIC: Symbol = 0;
/// `exp(exp(g, x), y)`, in either order.
pub(super) const SHARED: Symbol = 1;
/// `exp` of something that is no power of `g`.
pub(super) const POWER: Symbol = 2;
/// `g`.
pub(super) const GENERATOR: Symbol = 3;
/// The first that is free.
pub(super) const FREE: Symbol = 4;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Term {
    Variable(u32),
    Of(Symbol, Rc<[Term]>),
}

/// What each variable stands for, by its number.
pub(super) type Binding = Vec<Option<Term>>;

impl Term {
    pub(super) fn of(symbol: Symbol, arguments: impl IntoIterator<Item = Term>) -> Self {
        Self::Of(symbol, arguments.into_iter().collect())
    }

    pub(super) fn is_variable(&self) -> bool {
        matches!(self, Self::Variable(_))
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Self::Variable(_) => 0,
            Self::Of(_, arguments) => 1 + arguments.iter().map(Self::size).sum::<usize>(),
        }
    }

    /// Tells of every function in it.
    pub(super) fn each(&self, tell: &mut impl FnMut(Symbol)) {
        if let Self::Of(symbol, arguments) = self {
            tell(*symbol);
            arguments.iter().for_each(|term| term.each(tell));
        }
    }

    /// Tells of every variable in it.
    pub(super) fn each_variable(&self, tell: &mut impl FnMut(u32)) {
        match self {
            Self::Variable(variable) => tell(*variable),
            Self::Of(_, arguments) => arguments.iter().for_each(|term| term.each_variable(tell)),
        }
    }

    pub(super) fn mentions(&self, variable: u32) -> bool {
        match self {
            Self::Variable(own) => *own == variable,
            Self::Of(_, arguments) => arguments.iter().any(|term| term.mentions(variable)),
        }
    }

    /// Whether a power of `g` is in it that is not written as one. There is another clause that has it right.
    pub(super) fn is_miswritten(&self) -> bool {
        let Self::Of(symbol, arguments) = self else { return false };
        let base = if *symbol == POWER { arguments.first() } else { None };
        matches!(base, Some(Self::Of(PUBLIC | GENERATOR, _))) || arguments.iter().any(Self::is_miswritten)
    }

    /// With another term for each variable.
    pub(super) fn map(&self, with: &mut impl FnMut(u32) -> Term) -> Self {
        match self {
            Self::Variable(variable) => with(*variable),
            Self::Of(_, arguments) if arguments.is_empty() => self.clone(),
            Self::Of(symbol, arguments) => Self::of(*symbol, arguments.iter().map(|term| term.map(with))),
        }
    }

    /// What it is under a binding.
    pub(super) fn under(&self, binding: &Binding) -> Self {
        self.map(&mut |variable| match binding.get(variable as usize) {
            Some(Some(term)) => term.under(binding),
            _ => Self::Variable(variable),
        })
    }

    /// The same with what a match has bound: that speaks of other variables, and is left as it is.
    pub(super) fn under_once(&self, binding: &Binding) -> Self {
        self.map(&mut |variable| match binding.get(variable as usize) {
            Some(Some(term)) => term.clone(),
            _ => Self::Variable(variable),
        })
    }

    /// The same, where powers may have their exponents in another order.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Variable(a), Self::Variable(b)) => a == b,
            (Self::Of(f, a), Self::Of(g, b)) if f == g && a.len() == b.len() => {
                Rc::ptr_eq(a, b)
                    || a.iter().zip(b.iter()).all(|(a, b)| a.same(b))
                    || *f == SHARED && a[0].same(&b[1]) && a[1].same(&b[0])
            }
            _ => false,
        }
    }
}

/// Every most general way to make each pair equal.
pub(super) fn unify(mut pairs: Vec<(Term, Term)>, mut binding: Binding, found: &mut Vec<Binding>) {
    while let Some((a, b)) = pairs.pop() {
        let (a, b) = (walk(a, &binding), walk(b, &binding));
        match (&a, &b) {
            (Term::Variable(one), Term::Variable(other)) if one == other => {}
            (Term::Variable(variable), term) | (term, Term::Variable(variable)) => {
                if occurs(*variable, term, &binding) {
                    return;
                }
                binding[*variable as usize] = Some(term.clone());
            }
            (Term::Of(f, left), Term::Of(g, right)) => {
                if f != g || left.len() != right.len() {
                    return;
                }
                if Rc::ptr_eq(left, right) {
                    continue;
                }
                if *f == SHARED {
                    let mut crossed = pairs.clone();
                    crossed.push((left[0].clone(), right[1].clone()));
                    crossed.push((left[1].clone(), right[0].clone()));
                    unify(crossed, binding.clone(), found);
                }
                pairs.extend(left.iter().cloned().zip(right.iter().cloned()));
            }
        }
    }
    found.push(binding);
}

fn walk(mut term: Term, binding: &Binding) -> Term {
    while let Term::Variable(variable) = term {
        match &binding[variable as usize] {
            Some(bound) => term = bound.clone(),
            None => return Term::Variable(variable),
        }
    }
    term
}

fn occurs(variable: u32, term: &Term, binding: &Binding) -> bool {
    match term {
        Term::Variable(other) => {
            *other == variable
                || binding[*other as usize].as_ref().is_some_and(|bound| occurs(variable, bound, binding))
        }
        Term::Of(_, arguments) => arguments.iter().any(|term| occurs(variable, term, binding)),
    }
}

/// Every way to make the pattern the term, by binding the pattern's variables alone.
pub(super) fn instances(mut pairs: Vec<(&Term, &Term)>, mut binding: Binding, found: &mut Vec<Binding>) {
    while let Some((pattern, term)) = pairs.pop() {
        match (pattern, term) {
            (Term::Variable(variable), term) => match &binding[*variable as usize] {
                Some(bound) if bound.same(term) => {}
                Some(_) => return,
                None => binding[*variable as usize] = Some(term.clone()),
            },
            (Term::Of(f, left), Term::Of(g, right)) if f == g && left.len() == right.len() => {
                if *f == SHARED {
                    let mut crossed = pairs.clone();
                    crossed.push((&left[0], &right[1]));
                    crossed.push((&left[1], &right[0]));
                    instances(crossed, binding.clone(), found);
                }
                pairs.extend(left.iter().zip(right.iter()));
            }
            _ => return,
        }
    }
    found.push(binding);
}
