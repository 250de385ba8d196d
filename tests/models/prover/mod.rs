//! Looks for attacks on a model as ProVerif does: what everybody does becomes clauses about what the
//! attacker can come to have, and those are resolved with each other until nothing new follows.
//!
//! Like there, a `true` holds for any number of people, sessions and messages, and a `false` may in
//! principle be an attack that cannot be carried out. Unlike there, nothing is typed, everything is a
//! `bitstring`, injective events are not known, and `exp` is the only function with an equation. It is
//! our own and small; a model that must be believed is to be given to ProVerif too.

mod clause;
mod export;
mod read;
mod saturate;
mod term;
mod translate;

use read::{Claim, Model};

/// The answers to the queries of a model that is written in these files, in order.
///
/// # Errors
/// What could not be read, or that no end was found.
pub fn answers(files: &[(&str, String)]) -> Result<Vec<bool>, String> {
    let model = model(files)?;
    let mut translated = translate::Translation::of(&model)?;
    let mut known = saturate::Saturated::new();
    let endless = |_| "no end was found: say less, or in another way".to_string();
    let clauses = std::mem::take(&mut translated.clauses);
    known.add(clauses, &translated.functions).map_err(endless)?;
    let mut answers = Vec::new();
    for (number, query) in model.queries.iter().enumerate() {
        let asked = translated.query(number, query)?;
        known.add(vec![asked], &translated.functions).map_err(endless)?;
        let claims: &[Claim] = &query.then;
        let mut holds = true;
        for clause in known.asked(number) {
            holds &= translated.grants(clause, query, claims)?;
        }
        answers.push(holds);
    }
    Ok(answers)
}

fn model(files: &[(&str, String)]) -> Result<Model, String> {
    let mut model = Model::default();
    for (name, text) in files {
        model.read(name, text)?;
    }
    Ok(model)
}

/// A query as a problem of first-order logic, and what its answer means.
#[derive(Debug)]
pub struct Problem {
    /// In TPTP's language: unsatisfiable when what the query asks about can happen.
    pub text: String,
    /// Whether that is all the query says. Otherwise it says that something has happened before, and the problem
    /// is whether it can come about though nothing like that happens: less than the query says.
    pub whole: bool,
}

/// For each query, in order, the same question for a prover that knows nothing of protocols. None for a query
/// that says which things are equal.
///
/// # Errors
/// What could not be read.
pub fn problems(files: &[(&str, String)]) -> Result<Vec<Option<Problem>>, String> {
    let model = model(files)?;
    let mut translated = translate::Translation::of(&model)?;
    let mut problems = Vec::new();
    for (number, query) in model.queries.iter().enumerate() {
        let asked = translated.query(number, query)?;
        let never: Option<Vec<_>> = query.then.iter().map(|claim| translated.event(claim)).collect();
        let whole = query.then.is_empty();
        problems
            .push(never.map(|never| Problem { text: export::problem(&translated, &asked, &never), whole }));
    }
    Ok(problems)
}
