//! What the programs are built from: where it comes from, under which licence, and that each crate we
//! name is on the list that says why (`.ci/dependencies.md`). What may be is said in `.ci/deny.toml`.

use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the workspace").to_path_buf()
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let out = Command::new(cargo).args(arguments).current_dir(root()).output().expect("cargo starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}

/// The part of `.ci/deny.toml` that is held to here.
#[derive(Deserialize)]
struct Rules {
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    deny_multiple_versions: bool,
}

fn rules() -> Rules {
    let text = std::fs::read_to_string(root().join(".ci/deny.toml")).expect("there");
    toml::from_str(&text).expect("valid")
}

/// Whether a licence expression (SPDX, or older ones with a slash) leaves a choice that is allowed.
fn allowed(expression: &str, allow: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    either(&words, &mut at, allow) && at == words.len()
}

fn either(words: &[&str], at: &mut usize, allow: &BTreeSet<String>) -> bool {
    let mut good = both(words, at, allow);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        good |= both(words, at, allow);
    }
    good
}

fn both(words: &[&str], at: &mut usize, allow: &BTreeSet<String>) -> bool {
    let mut good = one(words, at, allow);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        good &= one(words, at, allow);
    }
    good
}

fn one(words: &[&str], at: &mut usize, allow: &BTreeSet<String>) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let good = either(words, at, allow);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return good && closed;
    }
    if words.get(*at) == Some(&"WITH") {
        let exception = words.get(*at + 1).copied().unwrap_or_default();
        *at += 2;
        return allow.contains(&format!("{word} WITH {exception}"));
    }
    allow.contains(*word)
}

#[test]
fn licences_are_read_as_they_are_meant() {
    let allow: BTreeSet<String> = ["MIT", "ISC"].map(String::from).into();
    for good in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "MIT AND ISC", "(GPL-3.0 OR ISC) AND MIT"] {
        assert!(allowed(good, &allow), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT ISC", "MIT WITH some-exception"] {
        assert!(!allowed(bad, &allow), "{bad}");
    }
}

#[test]
fn everything_built_has_a_licence_that_fits_and_comes_from_the_registry() {
    let rules = rules();
    let tree = cargo(&["tree", "--workspace", "--locked", "--prefix", "none", "--format", "{p}\t{l}"]);
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (package, licence) = line.split_once('\t').expect("as it was asked for");
        let licence = licence.trim_end_matches(" (*)");
        let (name, rest) = package.split_once(' ').expect("a name and a version");
        let version = rest.split_whitespace().next().expect("a version");
        versions.entry(name).or_default().insert(version);
        assert!(allowed(licence, &rules.licenses.allow), "{name} is under {licence:?}");
        // cargo names the place of what does not come from the registry. Only what is ours has one.
        let elsewhere = rest.contains('/') || rest.contains("git+");
        assert_eq!(elsewhere, name.starts_with("subrosa"), "{package}");
    }
    assert!(versions.len() > 100, "the tree was read");
    for ban in &rules.bans.deny {
        let many = versions.get(ban.name.as_str()).map_or(0, BTreeSet::len);
        let bound = usize::from(ban.deny_multiple_versions);
        assert!(many <= bound, "{} is there {many} times", ban.name);
    }
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("there");
    let places: BTreeSet<&str> = lock.lines().filter(|line| line.starts_with("source = ")).collect();
    assert_eq!(places.len(), 1, "{places:?}");
    assert!(places.iter().all(|place| place.starts_with("source = \"registry+")), "{places:?}");
    let sums = lock.lines().filter(|line| line.starts_with("checksum = ")).count();
    assert_eq!(sums, lock.lines().filter(|line| line.starts_with("source = ")).count());
}

/// Crates that a manifest and those of its workspace name, except our own.
fn named(manifest: &str) -> BTreeSet<String> {
    let text = cargo(&["metadata", "--no-deps", "--format-version", "1", "--manifest-path", manifest]);
    let metadata: Value = serde_json::from_str(&text).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let all = packages.iter().flat_map(|package| package["dependencies"].as_array().expect("dependencies"));
    let names = all.map(|dependency| dependency["name"].as_str().expect("a name").to_string());
    names.filter(|name| !name.starts_with("subrosa")).collect()
}

#[test]
fn each_crate_that_is_named_stands_on_the_list_with_its_reason() {
    let text = std::fs::read_to_string(root().join(".ci/dependencies.md")).expect("there");
    let mut listed = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if cells[0] == "crate" || cells[0] == "---" {
            continue;
        }
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()), "{line}");
        assert!(listed.insert(cells[0].to_string()), "{} stands there twice", cells[0]);
    }
    let mut used = named("Cargo.toml");
    used.extend(named("tests/fuzz/Cargo.toml"));
    let missing: Vec<_> = used.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&used).collect();
    assert!(missing.is_empty(), "not in .ci/dependencies.md: {missing:?}");
    assert!(gone.is_empty(), "in .ci/dependencies.md, but used nowhere: {gone:?}");
}

#[test]
fn no_package_of_ours_may_hold_unsafe_code() {
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).expect("there");
    assert!(workspace.contains("unsafe_code = \"forbid\""));
    for package in ["client", "client/media", "relay", "shared", "tests", "tests/models"] {
        let manifest = std::fs::read_to_string(root().join(package).join("Cargo.toml")).expect("there");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{package} takes the workspace's lints");
    }
}
