//! A model's clauses in TPTP's language (<https://tptp.org>, CNF), for provers of first-order logic that know
//! nothing of protocols, nor of how terms and clauses are kept here.

use super::clause::{Clause, Fact, Predicate};
use super::term::{GENERATOR, POWER, PUBLIC, SHARED, Symbol, Term};
use super::translate::Translation;
use std::fmt::Write as _;

/// Powers of `g` are exported as they are written.
const POWERS: &str = "cnf(powers, axiom, exp(exp(g, X), Y) = exp(exp(g, Y), X)).\n";

/// The clauses, and that what a query asks about cannot happen: together they contradict each other when it can.
/// Nobody does any of `never`; of other events it does not matter when they happen.
pub(super) fn problem(translated: &Translation<'_>, asked: &Clause, never: &[Symbol]) -> String {
    let mut text = String::from(POWERS);
    let phases = translated.phases();
    for phase in 0..phases {
        let _ = writeln!(text, "cnf(later{phase}, axiom, ~has{phase}(X) | has{}(X)).", phase + 1);
    }
    // Whoever has a tuple has its parts, and the other way round.
    for (tuple, arity) in translated.tuples() {
        let parts: Vec<String> = (0..arity).map(|part| format!("X{part}")).collect();
        let whole = call(&format!("f{tuple}"), &parts);
        for phase in 0..=phases {
            let needed: String = parts.iter().map(|part| format!("~has{phase}({part}) | ")).collect();
            let _ = writeln!(text, "cnf(make{tuple}_{phase}, axiom, {needed}has{phase}({whole})).");
            for part in &parts {
                let _ = writeln!(
                    text,
                    "cnf(take{tuple}_{phase}, axiom, ~has{phase}({whole}) | has{phase}({part}))."
                );
            }
        }
    }
    for (number, clause) in translated.clauses.iter().enumerate() {
        let is_never =
            |fact: &Fact| matches!(fact.predicate, Predicate::Before(event) if never.contains(&event));
        if !clause.when.iter().any(is_never) {
            let _ = writeln!(text, "cnf(c{number}, axiom, {}).", literals(&clause.when, Some(&clause.then)));
        }
    }
    let _ = writeln!(text, "cnf(asked, negated_conjecture, {}).", literals(&asked.when, None));
    text
}

fn literals(when: &[Fact], then: Option<&Fact>) -> String {
    let needed = when.iter().filter(|fact| !matches!(fact.predicate, Predicate::Before(_)));
    let all: Vec<String> = needed.map(|fact| format!("~{}", atom(fact))).chain(then.map(atom)).collect();
    all.join(" | ")
}

fn atom(fact: &Fact) -> String {
    let terms: Vec<String> = fact.terms.iter().map(term).collect();
    let name = match fact.predicate {
        Predicate::Attacker(phase) => format!("has{phase}"),
        Predicate::Table(symbol, phase) => format!("row{symbol}_{phase}"),
        Predicate::Before(symbol) | Predicate::Reached(symbol) => format!("happens{symbol}"),
        Predicate::Asked(query) => format!("asked{query}"),
    };
    call(&name, &terms)
}

fn term(of: &Term) -> String {
    let (symbol, parts) = match of {
        Term::Variable(variable) => return format!("X{variable}"),
        Term::Of(symbol, parts) => (*symbol, parts.iter().map(term).collect::<Vec<_>>()),
    };
    match (symbol, parts.as_slice()) {
        (GENERATOR, _) => "g".into(),
        (PUBLIC, [x]) => format!("exp(g, {x})"),
        (SHARED, [x, y]) => format!("exp(exp(g, {x}), {y})"),
        (POWER, [base, x]) => format!("exp({base}, {x})"),
        _ => call(&format!("f{symbol}"), &parts),
    }
}

fn call(name: &str, parts: &[String]) -> String {
    if parts.is_empty() { name.into() } else { format!("{name}({})", parts.join(", ")) }
}
