//! Every model here is answered, and the answers are those that its first lines expect. What each covers
//! is said in `README.md`.

#[path = "../harness/skip.rs"]
mod skip;

use skip::skipped;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Scenario {
    name: String,
    /// The files that it needs, then itself.
    files: Vec<(String, String)>,
    expected: Vec<bool>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn said(text: &str, what: &str) -> Vec<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("(* {what}: "))?.strip_suffix(" *)"));
    line.unwrap_or_default().split_whitespace().map(String::from).collect()
}

fn scenarios() -> Vec<Scenario> {
    let entries = std::fs::read_dir(folder()).expect("there");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("readable").file_name().into_string().expect("plain"))
        .filter(|name| name.ends_with(".pv"))
        .collect();
    names.sort();
    let made = names.into_iter().map(|name| {
        let text = read(&name);
        let mut files: Vec<(String, String)> =
            said(&text, "with").into_iter().map(|other| (other.clone(), read(&other))).collect();
        let expected = said(&text, "expect").iter().map(|answer| answer == "true").collect();
        files.push((name.clone(), text));
        Scenario { name, files, expected }
    });
    made.collect()
}

/// Those whose name begins so.
fn holds(prefix: &str) {
    let mut count = 0;
    for scenario in scenarios().into_iter().filter(|scenario| scenario.name.starts_with(prefix)) {
        let files: Vec<(&str, String)> =
            scenario.files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
        let answers = subrosa_models::answers(&files);
        assert_eq!(answers, Ok(scenario.expected), "{}", scenario.name);
        count += 1;
    }
    assert!(count > 3, "{count} scenarios {prefix}*");
}

#[test]
fn one_session_keeps_what_it_promises() {
    holds("pairwise-");
}

#[test]
fn a_turned_conversation_locks_a_listener_out() {
    holds("turn-");
}

#[test]
fn a_door_opens_for_link_and_password() {
    holds("door-");
}

/// The first lines of a protocol that is known to be broken, and of the same mended.
const MIDDLE: &str = "
    free c: channel.
    const g: bitstring.
    fun exp(bitstring, bitstring): bitstring.
    equation forall x: bitstring, y: bitstring; exp(exp(g, x), y) = exp(exp(g, y), x).
    fun seal(bitstring, bitstring): bitstring.
    reduc forall k: bitstring, m: bitstring; open(k, seal(k, m)) = m.
    fun vk(bitstring): bitstring.
    fun sign(bitstring, bitstring): bitstring.
    reduc forall k: bitstring, m: bitstring; verified(vk(k), sign(k, m)) = m.
    free s, ka, kb: bitstring [private].
    event Sent(bitstring).
    event Got(bitstring).
    query attacker(s) ==> false.
    query k: bitstring; event(Got(k)) ==> event(Sent(k)).
    query k: bitstring; event(Got(k)) ==> false.";

#[test]
fn the_prover_finds_the_man_in_the_middle_and_no_one_where_there_is_none() {
    let plain = "process (!new x: bitstring; out(c, exp(g, x)); in(c, y: bitstring);
          event Sent(exp(y, x)); out(c, seal(exp(y, x), s)))
        | (!new x: bitstring; out(c, exp(g, x)); in(c, y: bitstring); in(c, z: bitstring);
          let m = open(exp(y, x), z) in event Got(exp(y, x)))";
    let signed = "process out(c, (vk(ka), vk(kb)))
        | (!new x: bitstring; out(c, sign(ka, exp(g, x))); in(c, t: bitstring); let y = verified(vk(kb), t) in
          event Sent(exp(y, x)); out(c, seal(exp(y, x), s)))
        | (!new x: bitstring; out(c, sign(kb, exp(g, x))); in(c, t: bitstring); let y = verified(vk(ka), t) in
          in(c, z: bitstring); let =s = open(exp(y, x), z) in event Got(exp(y, x)))";
    let answers = |process: &str| subrosa_models::answers(&[("text", format!("{MIDDLE}\n{process}"))]);
    assert_eq!(answers(plain), Ok(vec![false, false, false]));
    assert_eq!(answers(signed), Ok(vec![true, true, false]));
}

#[test]
fn what_cannot_be_read_is_said_with_its_line() {
    for (text, says) in [
        ("free c: channel.\nprocess out(c, nobody)", "nobody is not known"),
        ("free c: channel.\nequation forall x: bitstring; f(x) = x.", "text:2"),
        ("free c: channel.\nfun h(bitstring): bitstring.\nprocess out(c, h(c, c))", "h takes 1, not 2"),
        ("free c: channel.\n\nsurely", "text:3"),
        ("free c: channel.", "a model needs a process"),
    ] {
        let error = subrosa_models::answers(&[("text", text.to_string())]).expect_err("not readable");
        assert!(error.contains(says), "{error}");
    }
}

/// Where ProVerif is installed it answers too.
#[test]
fn proverif_says_the_same_where_it_is_installed() {
    if Command::new("proverif").arg("-help").output().is_err() {
        return skipped("proverif is not installed");
    }
    for scenario in scenarios() {
        let mut command = Command::new("proverif");
        for (name, _) in &scenario.files[..scenario.files.len() - 1] {
            command.arg("-lib").arg(folder().join(name));
        }
        let out = command.arg(folder().join(&scenario.name)).output().expect("starts");
        let text = String::from_utf8_lossy(&out.stdout);
        let results = text.lines().filter(|line| line.starts_with("RESULT"));
        let answers: Vec<bool> = results.map(|line| line.trim_end().ends_with(" is true.")).collect();
        assert_eq!(answers, scenario.expected, "{}: {text}", scenario.name);
    }
}

/// Problems that E does not come to an end with.
const ENDLESS: [(&str, usize); 1] = [("turn-listening.pv", 0)];

/// Problems for which E may run out of time, on a slow machine or in another version.
const LATE: usize = 3;

/// What E (<https://eprover.org>), a prover of first-order logic that knows nothing of protocols, says of a problem:
/// whether it holds together.
fn holds_together(problem: &Path) -> Option<bool> {
    let mut command = Command::new("eprover");
    command.args([
        "-s",
        "--cpu-limit=120",
        "--term-ordering=KBO6",
        "-WSelectMaxLComplexAvoidPosPred",
        "-xWeight",
    ]);
    let out = command.args(["--tstp-format"]).arg(problem).output().expect("starts");
    let text = String::from_utf8_lossy(&out.stdout);
    match text.lines().find_map(|line| line.strip_prefix("# SZS status "))?.split_whitespace().next()? {
        "Satisfiable" | "CounterSatisfiable" => Some(true),
        "Unsatisfiable" | "Theorem" => Some(false),
        _ => None,
    }
}

#[test]
fn e_finds_the_same_attacks_and_no_others_where_it_is_installed() {
    if Command::new("eprover").arg("--version").output().is_err() {
        return skipped("eprover is not installed");
    }
    let (mut asked, mut late) = (0, Vec::new());
    for Scenario { name, files, expected } in scenarios() {
        let files: Vec<(&str, String)> =
            files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
        let problems = subrosa_models::problems(&files).expect("readable");
        for (query, (problem, expected)) in problems.into_iter().zip(expected).enumerate() {
            // That it can come about though nothing like what should come before happens is one way only in
            // which a query may be false.
            let Some(problem) = problem.filter(|problem| problem.whole || expected) else { continue };
            if ENDLESS.contains(&(name.as_str(), query)) {
                skipped(&format!("{name}, query {query}: E comes to no end"));
                continue;
            }
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{query}.p"));
            std::fs::write(&path, problem.text).expect("written");
            match holds_together(&path) {
                Some(holds) => assert_eq!(holds, expected, "{name}, query {query}"),
                None => late.push((name.clone(), query)),
            }
            asked += 1;
        }
    }
    println!("E was asked {asked} times; it ran out of time with {late:?}");
    assert!(asked > 30 && late.len() <= LATE, "{late:?} of {asked}");
}
