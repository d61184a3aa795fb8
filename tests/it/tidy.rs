//! What the compiler cannot see and people forget: who may know whom, and whether the documents still tell
//! the truth.

use checkout_backend::config::VARIABLES;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Whom each part of `src/` may name. Between the crates Cargo holds the arrows; within the service these do.
/// `main`, `lib` and `cli` may name anybody.
const ARROWS: &[(&str, &[&str])] = &[
    ("config", &["domain", "store"]),
    ("telemetry", &["domain", "clock", "config", "http_client"]),
    ("metrics", &["domain", "clock", "telemetry"]),
    ("stripe", &["domain", "clock", "http_client"]),
    ("failpoint", &[]),
    ("flow", &["domain", "app", "clock", "config", "failpoint", "http_client", "metrics", "store", "stripe"]),
    ("app", &["domain", "clock", "config", "http_client", "metrics", "store", "stripe", "flow"]),
    ("http", &["domain", "app", "clock", "config", "flow", "metrics", "store", "stripe", "telemetry"]),
];

/// What each crate may depend on of this workspace.
const CRATES: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("http-client", &[]),
    ("domain", &["clock"]),
    ("store", &["clock", "domain"]),
    ("stripe-sim", &["clock", "http-client"]),
];

/// Words and the only places where they may stand, by their paths in the tree.
const HOMES: &[(&str, &[&str])] = &[
    ("env::var", &["src/config.rs", "src/config/", "src/failpoint.rs"]),
    ("env = \"", &["src/cli/trigger.rs"]),
    ("Timestamp::now", &["crates/clock/"]),
    ("SystemTime::now", &["crates/clock/"]),
    ("now_v7", &["crates/clock/"]),
    ("axum::", &["src/http/", "crates/stripe-sim/", "src/cli/", "src/app.rs"]),
    ("opentelemetry", &["src/telemetry.rs", "src/telemetry/"]),
    ("println!", &["src/cli/", "src/main.rs", "src/failpoint.rs", "crates/stripe-sim/src/cli/"]),
    ("process::exit", &["src/main.rs"]),
];

#[test]
fn every_part_knows_only_whom_it_may() {
    let parts: Vec<String> = walk(&root().join("src"))
        .into_iter()
        .filter_map(|path| {
            let name = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_owned();
            Some(name.split(['/', '.']).next()?.to_owned())
        })
        .chain(CRATES.iter().map(|(name, _)| name.replace('-', "_")))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let mut faults = Vec::new();
    for (name, text) in sources() {
        let Some(name) = name.strip_prefix("src/") else { continue };
        let part = name.split(['/', '.']).next().unwrap();
        let Some((_, allowed)) = ARROWS.iter().find(|(folder, _)| *folder == part) else { continue };
        for (line, code) in code_lines(&text) {
            for named in parts.iter().filter(|named| names(code, named)) {
                if named != part && !allowed.contains(&named.as_str()) {
                    faults.push(format!("src/{name}:{line}: {part} must not know {named}"));
                }
            }
        }
    }
    none(&faults);
}

/// Whether a line of code names a part: `crate::flow::…` of the service, `store::…` of the workspace.
fn names(code: &str, part: &str) -> bool {
    let crate_of_its_own = CRATES.iter().any(|(name, _)| name.replace('-', "_") == part);
    let wanted = if crate_of_its_own { format!("{part}::") } else { format!("crate::{part}") };
    code.match_indices(&wanted).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + wanted.len()..].chars().next();
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !word(before) && before != Some(':') && (crate_of_its_own || !word(after))
    })
}

#[test]
fn every_crate_depends_only_on_whom_it_may() {
    let mut faults = Vec::new();
    for (name, allowed) in CRATES {
        let manifest = read(&format!("crates/{name}/Cargo.toml"));
        for (other, _) in CRATES {
            let depends = manifest.lines().any(|line| line.starts_with(&format!("{other}.")));
            if depends && !allowed.contains(other) {
                faults.push(format!("crates/{name} must not depend on {other}"));
            }
        }
    }
    let folders: BTreeSet<_> = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(folders, CRATES.iter().map(|(name, _)| (*name).to_owned()).collect());
    none(&faults);
}

#[test]
fn each_library_and_each_clock_has_one_home() {
    let mut faults = Vec::new();
    for (name, text) in sources() {
        for (line, code) in code_lines(&text) {
            for (word, homes) in HOMES {
                if code.contains(word) && !homes.iter().any(|home| name.starts_with(home)) {
                    faults.push(format!("{name}:{line}: {word} belongs to {}", homes.join(", ")));
                }
            }
        }
    }
    none(&faults);
}

/// Cargo keeps libraries out of `crates/domain`; this keeps out what the standard library and the clock offer.
#[test]
fn the_domain_is_pure() {
    let mut faults = Vec::new();
    for (name, text) in sources().into_iter().filter(|(name, _)| name.starts_with("crates/domain/")) {
        for (line, code) in code_lines(&text) {
            for word in ["async ", "std::fs", "std::net", "std::env", "clock::Clock", "Clock::", "new_id"] {
                if code.contains(word) {
                    faults.push(format!("{name}:{line}: {word}"));
                }
            }
        }
    }
    none(&faults);
}

/// What is public in a library is used by somebody in the compiler's eyes. Here a name that stands only where it is
/// defined (tests do not count) is dead. `stripe-sim` is left out: its users are other projects.
#[test]
fn nothing_public_is_used_by_nobody() {
    /// Made for tests and for nothing else, on purpose.
    const FOR_TESTS: &[&str] = &["from_vars", "WORST_CASE"];
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let sources = sources();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let templates: Vec<_> = walk(&root().join("templates"))
        .into_iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let lines = sources.iter().flat_map(|(_, text)| code_lines(text).map(|(_, line)| line));
    for text in lines.chain(templates.iter().map(String::as_str)) {
        for name in text.split(|c| !word(c)).filter(|name| !name.is_empty()) {
            *counts.entry(name).or_default() += 1;
        }
    }
    let mut faults = Vec::new();
    for (name, text) in sources.iter().filter(|(name, _)| !name.contains("stripe-sim")) {
        for (line, code) in code_lines(text) {
            let words: Vec<_> = code.split_whitespace().collect();
            let Some(at) = words.iter().position(|word| word.starts_with("pub")) else { continue };
            let mut rest =
                words[at + 1..].iter().skip_while(|word| ["async", "const"].contains(*word)).peekable();
            let constant = words.get(at + 1) == Some(&"const") && words.get(at + 2) != Some(&"fn");
            let kinds = ["fn", "struct", "enum", "static", "type", "trait"];
            if !constant && rest.next_if(|word| kinds.contains(*word)).is_none() {
                continue;
            }
            let defined = rest.next().and_then(|word_| word_.split(|c| !word(c)).next()).unwrap_or_default();
            if counts.get(defined) == Some(&1) && !FOR_TESTS.contains(&defined) {
                faults.push(format!("{name}:{line}: nobody uses {defined}"));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_module_says_what_it_is() {
    // Three lines speak for themselves.
    let silent =
        sources().into_iter().filter(|(_, text)| text.lines().count() > 3 && !text.starts_with("//!"));
    none(&silent.map(|(name, _)| format!("{name} does not begin with //!")).collect::<Vec<_>>());
}

#[test]
fn every_test_file_is_part_of_the_run() {
    let main = read("tests/it/main.rs");
    let mut faults = Vec::new();
    for entry in std::fs::read_dir(root().join("tests/it")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        let code = name.ends_with(".rs") || root().join(format!("tests/it/{name}/mod.rs")).exists();
        if code && name != "main.rs" && !main.contains(&format!("mod {module};")) {
            faults.push(format!("tests/it/{name} is in no run: add it to main.rs"));
        }
    }
    none(&faults);
}

#[test]
fn the_image_is_built_with_the_compiler_of_the_toolchain_file() {
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.split('"').nth(1).unwrap();
    assert!(read("Dockerfile").contains(&format!("FROM rust:{version}-slim")), "{version}");
}

#[test]
fn dashboards_and_alerts_ask_for_metrics_that_there_are() {
    let program: String = sources().into_iter().map(|(_, text)| text).collect();
    let mut faults = Vec::new();
    for file in ["deploy/prometheus/alerts.yml", "deploy/grafana/checkout-backend.json"] {
        let text = read(file);
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let metric = word.trim_end_matches("_bucket");
            if metric.starts_with("checkout_") && !program.contains(&format!("\"{metric}\"")) {
                faults.push(format!("{file} asks for {word}, which the program does not tell"));
            }
        }
    }
    none(&faults);
}

#[test]
fn the_runbook_says_what_to_do_for_each_alert() {
    let runbook = read("docs/OPERATIONS.md");
    let rules = read("deploy/prometheus/alerts.yml");
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 6, "{alerts:?}");
    let row = |alert: &&str| !runbook.contains(&format!("\n| `{alert}` |"));
    let missing = alerts.into_iter().filter(row);
    none(&missing.map(|alert| format!("docs/OPERATIONS.md has no row for {alert}")).collect::<Vec<_>>());
}

/// The image's build sees only what `.dockerignore` lets through.
#[test]
fn what_the_image_is_built_from_exists() {
    let ignored = read(".dockerignore");
    let let_through: Vec<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert_eq!(ignored.lines().find(|line| !line.starts_with('#')), Some("*"));
    let missing = let_through.iter().filter(|name| !root().join(name).exists());
    none(
        &missing
            .map(|name| format!(".dockerignore lets {name} through, which is not there"))
            .collect::<Vec<_>>(),
    );
    for name in ["Cargo.toml", "Cargo.lock", "src", "crates", "templates", "assets", "benches"] {
        assert!(let_through.contains(&name), "the image cannot be built without {name}");
    }
}

#[test]
fn migrations_are_numbered_without_a_gap() {
    let mut names: Vec<_> = std::fs::read_dir(root().join("crates/store/migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for (n, name) in names.iter().enumerate() {
        assert!(name.starts_with(&format!("{:04}_", n + 1)) && name.ends_with(".sql"), "{name}");
    }
}

#[test]
fn the_example_settings_name_every_variable_and_no_other() {
    let example = read(".env.example");
    let named: BTreeSet<_> = example
        .lines()
        .filter_map(|line| {
            let (name, _) = line.trim_start_matches(['#', ' ']).split_once('=')?;
            let variable = !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
            variable.then(|| name.to_owned())
        })
        .collect();
    // What docker-compose.yml itself reads.
    let expected: BTreeSet<_> =
        VARIABLES.iter().map(|v| v.name).chain(["POSTGRES_PASSWORD"]).map(str::to_owned).collect();
    assert_eq!(named, expected);
}

#[test]
fn the_readme_explains_every_variable_as_the_program_does() {
    let readme = read("README.md");
    let mut rows = BTreeMap::new();
    for line in readme.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if let [names, default, meaning] = cells[..] {
            for name in names.split(',') {
                rows.insert(
                    name.trim().trim_matches('`').to_owned(),
                    (default.to_owned(), meaning.to_owned()),
                );
            }
        }
    }
    let mut faults = Vec::new();
    for variable in VARIABLES {
        let expected = (variable.default.to_owned(), variable.meaning.to_owned());
        if rows.get(variable.name) != Some(&expected) {
            faults.push(format!(
                "README.md should say\n| `{}` | {} | {} |",
                variable.name, variable.default, variable.meaning
            ));
        }
    }
    none(&faults);
}

/// `docs/FAILURES.md` promises a test for each failure, as `file::test`: it must stand in that file.
#[test]
fn every_test_that_the_failures_table_names_exists() {
    let files: Vec<(PathBuf, String)> = tracked()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rs" || end == "py" || end == "mjs"))
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    let text = read("docs/FAILURES.md");
    let mut named = 0;
    let mut faults = Vec::new();
    for code in
        text.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('`').skip(1).step_by(2))
    {
        let Some((module, test)) = code.rsplit_once("::") else { continue };
        named += 1;
        let file = module.rsplit("::").next().unwrap();
        let there = files.iter().any(|(path, text)| {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
            // `payment/tests.rs` and `payment/mod.rs` are the module `payment`.
            (stem == file || folder == file) && text.contains(&format!("fn {test}("))
        });
        if !there {
            faults.push(format!("docs/FAILURES.md names {code}, which is not in a file of that name"));
        }
    }
    assert!(named >= 15, "only {named} tests are named");
    none(&faults);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut faults = Vec::new();
    for path in documents() {
        let text = std::fs::read_to_string(&path).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            let outside = target.contains("://") || target.starts_with("mailto:") || file.is_empty();
            if !outside && !path.parent().unwrap().join(file).exists() {
                faults.push(format!("{} links to {target}", path.display()));
            }
        }
    }
    none(&faults);
}

#[test]
fn nothing_unfinished_and_nothing_of_one_machine_is_in_the_tree() {
    // Put together here, so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX:"),
        concat!("../", "shared"),
        concat!("/work", "/"),
        concat!("/root", "/w"),
        concat!("dbg", "!("),
    ];
    let mut faults = Vec::new();
    for path in tracked() {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (n, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                faults.push(format!("{}:{}: {word}", path.display(), n + 1));
            }
        }
    }
    none(&faults);
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// The lines that are neither comment nor unit test, numbered as an editor does.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    code.lines()
        .enumerate()
        .map(|(n, line)| (n + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Every source file of the program, by its path in the tree.
fn sources() -> Vec<(String, String)> {
    let crates = walk(&root().join("crates"));
    let files = walk(&root().join("src")).into_iter().chain(crates).filter_map(|path| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let source = name.ends_with(".rs") && !name.contains("/tests/") && !name.ends_with("/tests.rs");
        source.then(|| (name, std::fs::read_to_string(&path).unwrap()))
    });
    files.collect()
}

fn documents() -> Vec<PathBuf> {
    tracked().into_iter().filter(|path| path.extension().is_some_and(|end| end == "md")).collect()
}

/// Every file that belongs to the project, as far as its folders tell.
fn tracked() -> Vec<PathBuf> {
    walk(root())
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            let foreign = ["target", ".git", "data", "node_modules", "libraries", "__pycache__", ".venv"]
                .contains(&name);
            if !foreign {
                files.extend(walk(&path));
            }
        } else if name != ".env" {
            files.push(path);
        }
    }
    files
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
