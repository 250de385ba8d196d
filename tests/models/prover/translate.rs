//! From what everybody does to clauses: what the attacker can have once it has what they wait for.

use super::clause::{Clause, Fact, Functions, Predicate};
use super::read::{Claim, Expr, Model, Pattern, Process, Query, Reduction};
use super::term::{Binding, FREE, GENERATOR, POWER, PUBLIC, SHARED, Symbol, Term, instances, unify};
use std::collections::{BTreeMap, BTreeSet};

type Wrong = String;

/// The clauses of a model, and the numbers of its functions.
pub(super) struct Translation<'a> {
    model: &'a Model,
    pub(super) clauses: Vec<Clause>,
    symbols: BTreeMap<String, Symbol>,
    pub(super) functions: Functions,
    /// Names by the place that makes them, and by the runs around it.
    fresh: BTreeMap<(Vec<usize>, usize), Symbol>,
    next_symbol: Symbol,
    next_variable: u32,
    phases: u8,
    /// Events that a query wants to reach, and that it asks to have happened before.
    reached: BTreeSet<&'a str>,
    before: BTreeSet<&'a str>,
}

/// Somebody at a point of what they do.
#[derive(Clone)]
struct State {
    names: Vec<(String, Term)>,
    /// What had to happen to come here.
    when: Vec<Fact>,
    /// What came in and which run it is: on this, whatever is drawn from now on depends.
    seen: Vec<Term>,
    /// Terms of an expression that is half computed.
    stack: Vec<Term>,
    phase: u8,
    runs: Vec<usize>,
}

impl<'a> Translation<'a> {
    pub(super) fn of(model: &'a Model) -> Result<Self, Wrong> {
        let mut all = Self {
            model,
            clauses: Vec::new(),
            symbols: BTreeMap::from([("g".to_string(), GENERATOR)]),
            functions: Functions::default(),
            fresh: BTreeMap::new(),
            next_symbol: FREE,
            next_variable: 0,
            phases: 0,
            reached: BTreeSet::new(),
            before: BTreeSet::new(),
        };
        for query in &model.queries {
            all.reached.extend(query.when.iter().filter_map(event));
            all.before.extend(query.then.iter().filter_map(event));
        }
        let main = model.main.as_ref().ok_or("a model needs a process")?;
        let start = State::start();
        all.walk(main, start)?;
        all.attacker()?;
        Ok(all)
    }

    /// The last phase of the model.
    pub(super) fn phases(&self) -> u8 {
        self.phases
    }

    /// The functions that make tuples, and of how many parts.
    pub(super) fn tuples(&self) -> Vec<(Symbol, usize)> {
        let arity = |name: &str| name.strip_prefix('(')?.strip_suffix(')')?.parse().ok();
        self.symbols.iter().filter_map(|(name, symbol)| Some((*symbol, arity(name)?))).collect()
    }

    /// The event that a claim is about, if it is about one.
    pub(super) fn event(&mut self, claim: &Claim) -> Option<Symbol> {
        event(claim).map(|name| self.symbol(&format!("event {name}")))
    }

    fn symbol(&mut self, name: &str) -> Symbol {
        if let Some(symbol) = self.symbols.get(name) {
            return *symbol;
        }
        let symbol = self.new_symbol();
        self.symbols.insert(name.to_string(), symbol);
        symbol
    }

    fn new_symbol(&mut self) -> Symbol {
        self.next_symbol += 1;
        self.next_symbol
    }

    fn variable(&mut self) -> Term {
        self.next_variable += 1;
        Term::Variable(self.next_variable - 1)
    }

    fn tuple(&mut self, parts: Vec<Term>) -> Term {
        let symbol = self.symbol(&format!("({})", parts.len()));
        self.functions.tuples.insert(symbol);
        Term::of(symbol, parts)
    }

    /// What the attacker can do with what it has, in each phase.
    fn attacker(&mut self) -> Result<(), Wrong> {
        let model = self.model;
        for phase in 0..=self.phases {
            let has = |term: &Term| Fact::attacker(phase, term.clone());
            let own = self.symbol("a name of the attacker's");
            self.clauses.push(Clause::new(vec![], has(&Term::of(own, []))));
            for (name, (arity, public)) in &model.functions {
                if name == "c" || !public || name == "exp" {
                    continue;
                }
                let symbol = self.symbol(name);
                if *arity == 0 {
                    self.functions.given.insert(symbol);
                }
                let parts: Vec<Term> = (0..*arity).map(|_| self.variable()).collect();
                let when = parts.iter().map(has).collect();
                self.clauses.push(Clause::new(when, has(&Term::of(symbol, parts))));
            }
            if model.functions.contains_key("exp") {
                let (x, y) = (self.variable(), self.variable());
                let public = Term::of(PUBLIC, [x.clone()]);
                let shared = Term::of(SHARED, [x.clone(), y.clone()]);
                let power = Term::of(POWER, [x.clone(), y.clone()]);
                self.clauses.push(Clause::new(vec![has(&x)], has(&public)));
                self.clauses.push(Clause::new(vec![has(&public), has(&y)], has(&shared)));
                self.clauses.push(Clause::new(vec![has(&x), has(&y)], has(&power)));
            }
            for (reduction, public) in model.reductions.values() {
                if !public {
                    continue;
                }
                for (arguments, result) in self.reduction(reduction)? {
                    self.clauses.push(Clause::new(arguments.iter().map(has).collect(), has(&result)));
                }
            }
        }
        Ok(())
    }

    /// A reduction with variables of its own.
    fn reduction(&mut self, reduction: &Reduction) -> Result<Vec<(Vec<Term>, Term)>, Wrong> {
        let mut state = State::start();
        for name in &reduction.variables {
            let variable = self.variable();
            state.names.push((name.clone(), variable));
        }
        let mut all = reduction.arguments.clone();
        all.push(reduction.result.clone());
        let mut found = Vec::new();
        for state in self.all(&all, state)? {
            let mut terms = state.stack;
            let result = terms.pop().ok_or("a reduction needs a result")?;
            found.push((terms, result));
        }
        Ok(found)
    }

    /// Puts the value of each on the stack; one state for each way to compute them.
    fn all(&mut self, exprs: &[Expr], state: State) -> Result<Vec<State>, Wrong> {
        let mut states = vec![state];
        for expr in exprs {
            let mut next = Vec::new();
            for state in states {
                next.extend(self.value(expr, state)?);
            }
            states = next;
        }
        Ok(states)
    }

    fn value(&mut self, expr: &Expr, mut state: State) -> Result<Vec<State>, Wrong> {
        let (name, arguments) = match expr {
            Expr::Tuple(parts) => {
                let states = self.all(parts, state)?;
                let made = states.into_iter().map(|mut state| {
                    let parts = state.pop(parts.len());
                    let tuple = self.tuple(parts);
                    state.stack.push(tuple);
                    state
                });
                return Ok(made.collect());
            }
            Expr::Name(name) => {
                if let Some((_, term)) = state.names.iter().rev().find(|(known, _)| known == name) {
                    state.stack.push(term.clone());
                    return Ok(vec![state]);
                }
                (name, &[][..])
            }
            Expr::Call(name, arguments) => (name, arguments.as_slice()),
        };
        let model = self.model;
        let mut done = Vec::new();
        for mut state in self.all(arguments, state)? {
            let values = state.pop(arguments.len());
            if let Some((parameters, body)) = model.shorthands.get(name) {
                let outer = std::mem::take(&mut state.names);
                // What is around must follow when something in it becomes known.
                let kept: Vec<String> = outer.iter().map(|(name, _)| name.clone()).collect();
                let below = state.stack.len();
                state.stack.extend(outer.into_iter().map(|(_, term)| term));
                state.names = parameters.iter().cloned().zip(values).collect();
                for mut state in self.value(body, state)? {
                    let result = state.pop(1).remove(0);
                    let terms = state.stack.split_off(below);
                    state.names = kept.iter().cloned().zip(terms).collect();
                    state.stack.push(result);
                    done.push(state);
                }
            } else if name == "exp" {
                let [base, exponent] = &values[..] else { return Err("exp takes two".into()) };
                done.extend(self.power(base, exponent, &state));
            } else if let Some((reduction, _)) = model.reductions.get(name) {
                for (wanted, result) in self.reduction(reduction)? {
                    let pairs = wanted.into_iter().zip(values.clone()).collect();
                    done.extend(self.bound(pairs, &state, result));
                }
            } else if let Some((arity, _)) = model.functions.get(name) {
                if *arity != values.len() {
                    return Err(format!("{name} takes {arity}, not {}", values.len()));
                }
                let symbol = self.symbol(name);
                state.stack.push(Term::of(symbol, values));
                done.push(state);
            } else {
                return Err(format!("{name} is not known"));
            }
        }
        Ok(done)
    }

    /// `exp`, in every form that it may take.
    fn power(&mut self, base: &Term, exponent: &Term, state: &State) -> Vec<State> {
        let mut state = state.clone();
        match base {
            Term::Of(GENERATOR, _) => {
                state.stack.push(Term::of(PUBLIC, [exponent.clone()]));
                vec![state]
            }
            Term::Of(PUBLIC, x) => {
                state.stack.push(Term::of(SHARED, [x[0].clone(), exponent.clone()]));
                vec![state]
            }
            Term::Of(..) => {
                state.stack.push(Term::of(POWER, [base.clone(), exponent.clone()]));
                vec![state]
            }
            Term::Variable(_) => {
                let x = self.variable();
                let shared = Term::of(SHARED, [x.clone(), exponent.clone()]);
                let pairs = vec![(base.clone(), Term::of(PUBLIC, [x]))];
                let mut found = self.bound(pairs, &state, shared);
                state.stack.push(Term::of(POWER, [base.clone(), exponent.clone()]));
                found.push(state);
                found
            }
        }
    }

    /// The state for each way to make these equal, with the result on its stack.
    fn bound(&mut self, pairs: Vec<(Term, Term)>, state: &State, result: Term) -> Vec<State> {
        let mut found = Vec::new();
        unify(pairs, vec![None; self.next_variable as usize], &mut found);
        let with = |binding: Binding| {
            let mut state = state.clone();
            state.stack.push(result.clone());
            state.under(&binding)
        };
        found.into_iter().map(with).collect()
    }

    /// Takes the top of the stack apart.
    fn matched(&mut self, pattern: &Pattern, mut state: State) -> Result<Vec<State>, Wrong> {
        let value = state.pop(1).remove(0);
        match pattern {
            Pattern::Anything(name) => {
                state.names.push((name.clone(), value));
                Ok(vec![state])
            }
            Pattern::Exactly(expr) => {
                state.stack.push(value);
                let mut done = Vec::new();
                for mut state in self.value(expr, state)? {
                    let both = state.pop(2);
                    let pairs = vec![(both[0].clone(), both[1].clone())];
                    let unit = both[0].clone();
                    done.extend(self.bound(pairs, &state, unit).into_iter().map(|mut state| {
                        state.pop(1);
                        state
                    }));
                }
                Ok(done)
            }
            Pattern::Tuple(patterns) => {
                let parts: Vec<Term> = patterns.iter().map(|_| self.variable()).collect();
                let tuple = self.tuple(parts.clone());
                // The parts wait on the stack, the first on top.
                state.stack.extend(parts.into_iter().rev());
                let mut states = self.bound(vec![(value, tuple)], &state, Term::of(PUBLIC, []));
                for state in &mut states {
                    state.pop(1);
                }
                for pattern in patterns {
                    let mut next = Vec::new();
                    for state in states {
                        next.extend(self.matched(pattern, state)?);
                    }
                    states = next;
                }
                Ok(states)
            }
        }
    }

    fn walk(&mut self, process: &'a Process, mut state: State) -> Result<(), Wrong> {
        match process {
            Process::Nothing => Ok(()),
            Process::Beside(all) => all.iter().try_for_each(|one| self.walk(one, state.clone())),
            Process::Again(inside) => {
                let run = self.variable();
                state.seen.push(run);
                self.walk(inside, state)
            }
            Process::New(name, then) => {
                let place = (state.runs.clone(), std::ptr::from_ref(process) as usize);
                let known = self.fresh.get(&place).copied();
                let symbol = known.unwrap_or_else(|| self.new_symbol());
                self.fresh.insert(place, symbol);
                let term = Term::of(symbol, state.seen.clone());
                state.names.push((name.clone(), term));
                self.walk(then, state)
            }
            Process::In(pattern, then) => {
                let came = self.variable();
                state.when.push(Fact::attacker(state.phase, came.clone()));
                state.seen.push(came.clone());
                state.stack.push(came);
                self.go_on(pattern, state, then)
            }
            Process::Out(expr, then) => {
                for mut state in self.value(expr, state)? {
                    let value = state.pop(1).remove(0);
                    let said = Fact::attacker(state.phase, value);
                    self.clauses.push(Clause::new(state.when.clone(), said));
                    self.walk(then, state)?;
                }
                Ok(())
            }
            Process::Let(pattern, expr, then) => {
                for state in self.value(expr, state)? {
                    self.go_on(pattern, state, then)?;
                }
                Ok(())
            }
            Process::Event(name, arguments, then) => {
                let symbol = self.symbol(&format!("event {name}"));
                for mut state in self.all(arguments, state)? {
                    let terms = state.pop(arguments.len());
                    let fact = |predicate| Fact { predicate, terms: terms.clone() };
                    if self.before.contains(name.as_str()) {
                        state.when.push(fact(Predicate::Before(symbol)));
                    }
                    if self.reached.contains(name.as_str()) {
                        let reached = fact(Predicate::Reached(symbol));
                        self.clauses.push(Clause::new(state.when.clone(), reached));
                    }
                    self.walk(then, state)?;
                }
                Ok(())
            }
            Process::Insert(name, columns, then) => {
                let symbol = self.symbol(&format!("table {name}"));
                for mut state in self.all(columns, state)? {
                    let terms = state.pop(columns.len());
                    // What stands in a table stays there.
                    for phase in state.phase..=LAST_PHASE {
                        let row = Fact { predicate: Predicate::Table(symbol, phase), terms: terms.clone() };
                        self.clauses.push(Clause::new(state.when.clone(), row));
                    }
                    self.walk(then, state)?;
                }
                Ok(())
            }
            Process::Get(name, columns, then) => {
                let symbol = self.symbol(&format!("table {name}"));
                let terms: Vec<Term> = columns.iter().map(|_| self.variable()).collect();
                state
                    .when
                    .push(Fact { predicate: Predicate::Table(symbol, state.phase), terms: terms.clone() });
                state.seen.extend(terms.clone());
                let row = self.tuple(terms);
                state.stack.push(row);
                for state in self.matched(&Pattern::Tuple(columns.clone()), state)? {
                    self.walk(then, state)?;
                }
                Ok(())
            }
            Process::Phase(number, then) => {
                if *number > LAST_PHASE {
                    return Err(format!("there are no more than {LAST_PHASE} phases here"));
                }
                self.phases = self.phases.max(*number);
                state.phase = *number;
                self.walk(then, state)
            }
            Process::Run(name, arguments) => {
                let model = self.model;
                let (parameters, body) =
                    model.processes.get(name).ok_or_else(|| format!("nobody does {name}"))?;
                if parameters.len() != arguments.len() {
                    return Err(format!("{name} takes {}, not {}", parameters.len(), arguments.len()));
                }
                for mut state in self.all(arguments, state)? {
                    let values = state.pop(arguments.len());
                    state.names = parameters.iter().cloned().zip(values).collect();
                    state.runs.push(std::ptr::from_ref(process) as usize);
                    self.walk(body, state)?;
                }
                Ok(())
            }
        }
    }

    fn go_on(&mut self, pattern: &Pattern, state: State, then: &'a Process) -> Result<(), Wrong> {
        for state in self.matched(pattern, state)? {
            self.walk(then, state)?;
        }
        Ok(())
    }

    /// What a query asks about, as a clause.
    pub(super) fn query(&mut self, number: usize, query: &Query) -> Result<Clause, Wrong> {
        let (names, variables) = self.names(query);
        let mut when = Vec::new();
        for claim in &query.when {
            when.push(match claim {
                Claim::Event(name, arguments) => {
                    let symbol = self.symbol(&format!("event {name}"));
                    Fact { predicate: Predicate::Reached(symbol), terms: self.values(arguments, &names)? }
                }
                Claim::Attacker(what) => {
                    let mut value = self.values(std::slice::from_ref(what), &names)?;
                    Fact::attacker(self.phases, value.remove(0))
                }
                Claim::Equal(..) => return Err("only events and attacker come before ==>".into()),
            });
        }
        Ok(Clause::new(when, Fact { predicate: Predicate::Asked(number), terms: variables }))
    }

    fn names(&mut self, query: &Query) -> (Vec<(String, Term)>, Vec<Term>) {
        let variables: Vec<Term> = query.variables.iter().map(|_| self.variable()).collect();
        (query.variables.iter().cloned().zip(variables.clone()).collect(), variables)
    }

    fn values(&mut self, exprs: &[Expr], names: &[(String, Term)]) -> Result<Vec<Term>, Wrong> {
        let state = State { names: names.to_vec(), ..State::start() };
        let mut states = self.all(exprs, state)?;
        if states.len() != 1 {
            return Err("a query names things as they are".into());
        }
        Ok(states.remove(0).stack)
    }

    /// Whether one of the claims holds where this is how it comes about.
    pub(super) fn grants(&mut self, how: &Clause, query: &Query, claims: &[Claim]) -> Result<bool, Wrong> {
        let (names, variables) = self.names(query);
        // What the query speaks of before `==>` is as in `how`; the rest may be anything.
        let speaks = |name: &String| query.when.iter().any(|claim| claim.mentions(name));
        let binding: Binding = vec![None; self.next_variable as usize];
        for claim in claims {
            let good = match claim {
                Claim::Event(name, arguments) => {
                    let symbol = self.symbol(&format!("event {name}"));
                    let wanted = self.values(arguments, &names)?;
                    let before = how.when.iter().filter(|f| f.predicate == Predicate::Before(symbol));
                    before.into_iter().any(|fact| {
                        let spoken = variables.iter().zip(&how.then.terms).zip(&query.variables);
                        let spoken = spoken.filter(|(_, name)| speaks(name)).map(|(pair, _)| pair);
                        let pairs = wanted.iter().zip(&fact.terms).chain(spoken).collect();
                        let mut found = Vec::new();
                        instances(pairs, binding.clone(), &mut found);
                        !found.is_empty()
                    })
                }
                Claim::Equal(one, other) => {
                    let both = self.values(&[one.clone(), other.clone()], &names)?;
                    let mut found = Vec::new();
                    let spoken = variables.iter().zip(&how.then.terms).collect();
                    instances(spoken, binding.clone(), &mut found);
                    found.iter().any(|binding| both[0].under_once(binding).same(&both[1].under_once(binding)))
                }
                Claim::Attacker(_) => return Err("attacker comes before ==> only".into()),
            };
            if good {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// More than a model here has.
const LAST_PHASE: u8 = 2;

fn event(claim: &Claim) -> Option<&str> {
    match claim {
        Claim::Event(name, _) => Some(name),
        _ => None,
    }
}

impl State {
    fn start() -> Self {
        Self { names: vec![], when: vec![], seen: vec![], stack: vec![], phase: 0, runs: vec![] }
    }

    fn pop(&mut self, count: usize) -> Vec<Term> {
        self.stack.split_off(self.stack.len() - count)
    }

    fn under(self, binding: &Binding) -> Self {
        let terms = |all: Vec<Term>| all.iter().map(|term| term.under(binding)).collect();
        Self {
            names: self.names.into_iter().map(|(name, term)| (name, term.under(binding))).collect(),
            when: self.when.iter().map(|fact| fact.under(binding)).collect(),
            seen: terms(self.seen),
            stack: terms(self.stack),
            ..self
        }
    }
}
