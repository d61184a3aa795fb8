//! The real program as a process of its own, to be killed.

use super::TestDatabase;
use super::app::{Answer, WEBHOOK_SECRET, client, delivery, try_send};
use clock::Clock;
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

const PATIENCE: Duration = Duration::from_secs(30);

/// A running `checkout-backend serve`. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct TestProcess {
    child: Child,
    pub url: String,
    pub http: reqwest::Client,
    talk: Lines<BufReader<ChildStderr>>,
}

impl TestProcess {
    /// The program on this database and port, with Stripe's API at `stripe_base`. Returns when it is ready.
    pub(crate) async fn start(
        db: &TestDatabase,
        port: u16,
        stripe_base: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let log = std::fs::File::create(db.folder.path().join("log")).unwrap();
        let mut process = Self::spawn(db, port, stripe_base, variables, log.into());
        process.says("is ready").await;
        process
    }

    /// The same with standard output elsewhere, and whether it gets ready or not.
    pub(crate) fn spawn(
        db: &TestDatabase,
        port: u16,
        stripe_base: &str,
        variables: &[(&str, &str)],
        log: Stdio,
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_checkout-backend"));
        command
            .arg("serve")
            .current_dir(db.folder.path())
            .env_clear()
            .env("DATABASE_URL", &db.url)
            .env("PORT", port.to_string())
            .env("STRIPE_SECRET_KEY", "sk_test_4eC39HqLyjWDarjtT1zdp7dc")
            .env("STRIPE_API_BASE", stripe_base)
            .env("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET)
            .env("SESSION_SECRET", "5f0c7a19e2b84d63a1c9f7e05d3b8264")
            .env("POLL_EVENTS", "off")
            .env("LOG_LEVEL", "error")
            .env("HOLDS_PER_ADDRESS", "100000")
            .env("HOLDS_PER_BROWSER", "100000")
            .env("HOLDS_PER_EMAIL", "100000")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let talk = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, url: format!("http://127.0.0.1:{port}"), http: client(), talk }
    }

    /// Closes the reading end of a piped standard output.
    pub(crate) fn stop_reading_its_log(&mut self) {
        drop(self.child.stdout.take().expect("standard output is no pipe"));
    }

    /// Waits until it says something with these words on standard error, and returns that line.
    ///
    /// # Panics
    /// If it ends or says nothing of the kind.
    pub(crate) async fn says(&mut self, words: &str) -> String {
        let mut said = Vec::new();
        let listening = async {
            while let Some(line) = self.talk.next_line().await.unwrap() {
                if line.contains(words) {
                    return line;
                }
                said.push(line);
            }
            panic!("it ended without saying {words:?}: {said:?}");
        };
        tokio::time::timeout(PATIENCE, listening).await.unwrap_or_else(|_| panic!("never said {words:?}"))
    }

    /// Delivers an event as Stripe does. An error means that no whole answer came.
    pub(crate) async fn deliver(&self, event: &Value) -> Result<Answer, reqwest::Error> {
        try_send(delivery(&self.http, &self.url, &Clock::system(), event)).await
    }

    /// The most memory that it has had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> std::process::ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it does not end").unwrap()
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Runs a command of the program beside the service, to its end: its exit code and what it printed.
pub(crate) async fn command(db: &TestDatabase, arguments: &[&str]) -> (Option<i32>, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_checkout-backend"))
        .args(arguments)
        .current_dir(db.folder.path())
        .env_clear()
        .env("DATABASE_URL", &db.url)
        .env("SESSION_SECRET", "5f0c7a19e2b84d63a1c9f7e05d3b8264")
        .env("LOG_LEVEL", "error")
        // Nobody is there, whatever else runs on this machine.
        .env("SIMULATOR_PORT", "1")
        .stdin(Stdio::null())
        .output();
    let done = tokio::time::timeout(PATIENCE, done).await.expect("it does not end").unwrap();
    (done.status.code(), String::from_utf8(done.stdout).unwrap())
}

/// A port that nobody uses at this moment.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
