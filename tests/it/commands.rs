//! The commands as they are typed: what they print, how they end, and what they leave behind.

use crate::harness::postgres::{Cluster, Durability};
use crate::harness::process::free_port;
use crate::harness::{Engine, TestDatabase, TestProcess, on_each_engine};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

on_each_engine! {
    the_doctor_says_where_the_data_is_and_that_a_test_key_takes_no_money,
    production_with_a_test_key_says_so_at_the_start,
    what_cannot_be_healed_is_named_with_the_next_step,
    a_later_start_says_where_to_sign_in_and_how_to_set_a_lost_password,
}

/// How long a first start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// A booking's id that nobody has.
const NOBODY: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
/// Of the program without a Stripe key: the simulated one.
const SIMULATED: [(&str, &str); 3] =
    [("STRIPE_SECRET_KEY", ""), ("STRIPE_WEBHOOK_SECRET", ""), ("LOG_LEVEL", "info")];

async fn run(folder: &Path, words: &[&str], variables: &[(&str, &str)], typed: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_checkout-backend"));
    command.args(words).current_dir(folder).env_clear().envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    // A command that asks for nothing may have ended before.
    let _ = child.stdin.take().unwrap().write_all(typed.as_bytes()).await;
    child.wait_with_output().await.unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn talk(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn left_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The commands that a help page lists.
fn listed(help: &str) -> Vec<String> {
    let list = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .filter(|name| name != "help")
        .collect()
}

async fn help(words: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let words = [&["help"], words].concat();
    let output = run(folder.path(), &words, &[], "").await;
    assert!(output.status.success() && talk(&output).is_empty(), "{words:?}: {output:?}");
    assert!(left_in(folder.path()).is_empty());
    out(&output)
}

#[tokio::test]
async fn help_has_an_example_of_each_command_and_of_each_below_it() {
    let whole = help(&[]).await;
    let commands = listed(&whole);
    assert!(commands.len() >= 13, "{whole}");
    for command in &commands {
        assert!(whole.contains(&format!("checkout-backend {command}")), "help shows no example of {command}");
        let own = help(&[command]).await;
        assert!(own.contains("Example"), "help {command} shows no example");
        for below in listed(&own) {
            let own = help(&[command, &below]).await;
            let example = format!("Example:\n  checkout-backend {command} {below}");
            assert!(own.contains(&example), "help {command} {below} shows no example");
        }
    }
}

/// The table may leave options out, but not a command.
#[tokio::test]
async fn the_readme_names_every_command_and_no_other() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let table = readme.split("## Commands").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut told = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let mut command = String::new();
        // `users create · list` is two commands, `openapi` · `completions SHELL` are two as well.
        for cell in row.split(" | ").next().unwrap().split('`').skip(1).step_by(2) {
            for (n, part) in cell.split(" · ").enumerate() {
                let words: Vec<_> = part.split(['[', ' ']).filter(|word| !word.is_empty()).collect();
                let names = words.iter().take_while(|word| {
                    word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !word.starts_with("--")
                });
                let names: Vec<_> = names.copied().collect();
                if n == 0 {
                    command = names[0].to_owned();
                }
                let name = if n == 0 { names.join(" ") } else { format!("{command} {}", names.join(" ")) };
                let own = help(&name.split(' ').collect::<Vec<_>>()).await;
                for option in part.split(['[', ']', ' ']).filter(|word| word.starts_with("--")) {
                    assert!(own.contains(option), "README.md gives {name} the option {option}");
                }
                told.insert(name);
            }
        }
    }
    let mut there = BTreeSet::new();
    for command in listed(&help(&[]).await) {
        let below = listed(&help(&[&command]).await);
        if below.is_empty() {
            there.insert(command);
        } else {
            there.extend(below.iter().map(|below| format!("{command} {below}")));
        }
    }
    assert_eq!(told, there, "README.md's table of commands, and the program's own");
}

#[tokio::test]
async fn a_command_in_a_folder_without_a_database_says_so_and_makes_nothing() {
    let commands: &[&[&str]] = &[
        &["doctor"],
        &["users", "list"],
        &["users", "disable", "ada@pay.test"],
        &["users", "enable", "ada@pay.test"],
        &["users", "set-role", "ada@pay.test", "OPS"],
        &["users", "set-password", "ada@pay.test"],
        &["events", "list"],
        &["events", "redeliver"],
        &["explain", NOBODY],
        &["reconcile", "--dry-run"],
        &["gdpr", "export", "--email", "ada@pay.test"],
        &["gdpr", "erase", "--email", "ada@pay.test"],
        &["migrate", "status"],
    ];
    let folder = tempfile::tempdir().unwrap();
    for words in commands {
        let output = run(folder.path(), words, &[], "a long enough password\n").await;
        let said = format!("{}{}", out(&output), talk(&output));
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        let sentence = "there is no database at data/checkout.db: is this the right folder?";
        assert!(said.contains(sentence), "{words:?}: {said}");
        assert_eq!(left_in(folder.path()), [""; 0], "{words:?}");
    }
}

#[tokio::test]
async fn the_commands_that_begin_a_database_make_one() {
    let seed = [("ADMIN_EMAIL", "ada@pay.test"), ("ADMIN_PASSWORD", "a long enough password")];
    let beginnings: &[(&[&str], &[(&str, &str)])] = &[
        (&["migrate", "deploy"], &[]),
        (&["seed"], &seed),
        (&["users", "create", "ada@pay.test", "--role", "ADMIN"], &[]),
    ];
    for (words, variables) in beginnings {
        let folder = tempfile::tempdir().unwrap();
        let output = run(folder.path(), words, variables, "a long enough password\n").await;
        assert!(output.status.success(), "{words:?}: {}", talk(&output));
        let output = run(folder.path(), &["users", "list"], &[], "").await;
        assert!(output.status.success(), "{}", talk(&output));
        let one = words[0] != "migrate";
        assert_eq!(out(&output).contains("ada@pay.test  ADMIN"), one, "{words:?}: {}", out(&output));
    }
}

#[tokio::test]
async fn a_command_with_a_wrong_configuration_names_what_is_wrong_before_it_looks_for_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["users", "list"], &[("APP_ENV", "production")], "").await;
    assert_eq!(output.status.code(), Some(2), "{}", talk(&output));
    for name in ["DATABASE_URL", "SESSION_SECRET", "APP_URL"] {
        assert!(talk(&output).contains(name), "{name}: {}", talk(&output));
    }
}

/// It would stand in what other people sent.
#[tokio::test]
async fn a_part_of_an_address_is_nobody_to_export_or_forget() {
    let folder = tempfile::tempdir().unwrap();
    for action in ["export", "erase"] {
        let output = run(folder.path(), &["gdpr", action, "--email", "ada"], &[], "").await;
        assert_eq!(output.status.code(), Some(2), "{}", talk(&output));
        assert!(talk(&output).contains("must be an e-mail address"), "{}", talk(&output));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_talk_to_the_simulated_stripe_of_their_own_folder() {
    let (first, second) =
        (TestDatabase::fresh(Engine::Sqlite).await, TestDatabase::fresh(Engine::Sqlite).await);
    let ports = [free_port(), free_port()];
    let _first = TestProcess::start(&first, ports[0], "http://127.0.0.1:1", &SIMULATED).await;
    let other = TestProcess::start(&second, ports[1], "http://127.0.0.1:1", &SIMULATED).await;
    for (db, port) in [(&first, ports[0]), (&second, ports[1])] {
        let variables = [("DATABASE_URL", db.url.as_str())];
        let triggered =
            run(db.folder.path(), &["trigger", "checkout.session.completed"], &variables, "").await;
        assert!(triggered.status.success(), "{}", talk(&triggered));
        let here = format!(" 200 http://127.0.0.1:{port}/webhook");
        assert!(out(&triggered).lines().count() > 1, "{}", out(&triggered));
        assert!(out(&triggered).lines().all(|line| line.contains(&here)), "{}", out(&triggered));
        let events =
            db.number("select count(*) from payment_events where type = 'checkout.session.completed'");
        assert_eq!(events.await, 1);
        let examined = run(db.folder.path(), &["doctor"], &variables, "").await;
        assert!(out(&examined).contains("Stripe answers and accepts the key"), "{}", out(&examined));
    }
    // What has ended is not looked for at the port of another.
    other.kill().await;
    let variables = [("DATABASE_URL", second.url.as_str())];
    for words in [&["trigger", "checkout.session.completed"][..], &["reconcile"]] {
        let output = run(second.folder.path(), words, &variables, "").await;
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(
            talk(&output).contains("the simulated Stripe of this folder does not run"),
            "{}",
            talk(&output)
        );
    }
    let examined = run(second.folder.path(), &["doctor"], &variables, "").await;
    assert_eq!(examined.status.code(), Some(1));
    assert!(out(&examined).contains("-> checkout-backend serve"), "{}", out(&examined));
    for db in [first, second] {
        db.remove().await;
    }
}

async fn the_doctor_says_where_the_data_is_and_that_a_test_key_takes_no_money(db: TestDatabase) {
    let variables = [
        ("DATABASE_URL", db.url.as_str()),
        ("APP_ENV", "production"),
        ("APP_URL", "https://pay.test"),
        ("SESSION_SECRET", "5f0c7a19e2b84d63a1c9f7e05d3b8264"),
        ("STRIPE_SECRET_KEY", "sk_test_4eC39HqLyjWDarjtT1zdp7dc"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_3d2c1b0a99887766554433221100ffee"),
        ("STRIPE_API_BASE", "http://127.0.0.1:1"),
    ];
    let output = run(db.folder.path(), &["doctor"], &variables, "").await;
    let said = out(&output);
    let place = match db.engine {
        Engine::Sqlite => format!("SQLite in {}", db.folder.path().join("checkout.db").display()),
        Engine::Postgres => format!(":{}/{}", db.port(), db.url.rsplit('/').next().unwrap()),
    };
    let line = said.lines().find(|line| line.starts_with("ok    database")).unwrap();
    assert!(line.contains(&place), "{place}: {said}");
    assert!(said.contains("warn  configuration  production with a test key"), "{said}");
}

async fn production_with_a_test_key_says_so_at_the_start(db: TestDatabase) {
    // The server that the tests share may lose what it acknowledged, and production refuses that one.
    let durable = match db.engine {
        Engine::Sqlite => None,
        Engine::Postgres => {
            Some(tokio::task::spawn_blocking(|| Cluster::start(Durability::Full)).await.unwrap())
        }
    };
    let db = match &durable {
        Some(cluster) => TestDatabase::on(cluster).await,
        None => db,
    };
    let production = [("APP_ENV", "production"), ("APP_URL", "https://pay.test")];
    let mut process = TestProcess::start(&db, free_port(), "http://127.0.0.1:1", &production).await;
    process.says("TEST MODE: no payment is real").await;
    process.kill().await;
}

async fn a_later_start_says_where_to_sign_in_and_how_to_set_a_lost_password(db: TestDatabase) {
    let port = free_port();
    let mut first = TestProcess::start(&db, port, "http://127.0.0.1:1", &SIMULATED).await;
    first.says("password  ").await;
    first.kill().await;
    let mut second = TestProcess::start(&db, port, "http://127.0.0.1:1", &SIMULATED).await;
    second.says(&format!("Sign in      http://localhost:{port}/login")).await;
    second.says("users set-password").await;
    second.kill().await;
}

async fn what_cannot_be_healed_is_named_with_the_next_step(db: TestDatabase) {
    let process = TestProcess::start(&db, free_port(), "http://127.0.0.1:1", &SIMULATED).await;
    let variables = [("DATABASE_URL", db.url.as_str())];
    let reference = format!("checkout_session:client_reference_id={NOBODY}");
    let words = ["trigger", "checkout.session.completed", "--override", &reference];
    let triggered = run(db.folder.path(), &words, &variables, "").await;
    assert!(triggered.status.success(), "{}", talk(&triggered));
    // The session itself may have been seen as well, and waits under a key of its own.
    let parked = db
        .texts("select event_key from payment_events where outcome = 'parked' and source = 'webhook'")
        .await;
    let [event] = &parked[..] else { panic!("one event is parked: {parked:?}") };
    let output = run(db.folder.path(), &["reconcile"], &variables, "").await;
    let said = out(&output);
    let named = said.lines().any(|line| line.contains("parked: ") && line.contains(event.as_str()));
    assert!(named, "{event}: {said}");
    assert!(talk(&output).contains("Next: checkout-backend events show "), "{}", talk(&output));
    let looked = run(db.folder.path(), &["reconcile", "--dry-run"], &variables, "").await;
    assert!(out(&looked).contains(event.as_str()), "{}", out(&looked));
    assert!(talk(&looked).ends_with("Next: checkout-backend reconcile\n"), "{}", talk(&looked));
    process.kill().await;
}

/// On a terminal the log and the talk are one.
#[tokio::test]
async fn no_log_line_falls_between_the_lines_of_the_greeting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("terminal");
    let terminal = std::fs::File::create(&path).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_checkout-backend"));
    command.current_dir(folder.path()).env_clear().env("PORT", "0").stdin(Stdio::null()).kill_on_drop(true);
    // Both ends of one file, so that each line comes where it was written.
    command.stdout(terminal.try_clone().unwrap()).stderr(terminal);
    let mut child = command.spawn().unwrap();
    let greeted = async {
        while !std::fs::read_to_string(&path).unwrap().contains("Keep it: it is shown this once") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, greeted).await.expect("it does not greet");
    child.kill().await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let greeting = text.split("is ready.\n").nth(1).unwrap().split("Keep it").next().unwrap();
    assert!(greeting.lines().count() >= 7, "{greeting}");
    assert!(greeting.lines().all(|line| line.starts_with("  ")), "{greeting}");
    assert!(text.contains("\"action\":\"sys_startup\""), "it logs: {text}");
}
