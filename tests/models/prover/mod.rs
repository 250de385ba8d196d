//! Looks for attacks on a model as ProVerif does: what everybody does becomes clauses about what the
//! attacker can come to have, and those are resolved with each other until nothing new follows.
//!
//! Like there, a `true` holds for any number of people, sessions and messages, and a `false` may in
//! principle be an attack that cannot be carried out. Unlike there, nothing is typed, everything is a
//! `bitstring`, injective events are not known, and `exp` is the only function with an equation. It is
//! our own and small; a model that must be believed is to be given to ProVerif too.

mod clause;
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
    let mut model = Model::default();
    for (name, text) in files {
        model.read(name, text)?;
    }
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
