//! What happens, in one line each, as it happens: on standard error, and on the control page.

use super::LoggedRequest;
use super::deliveries::Attempt;
use super::error::clip;
use super::world::World;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Mutex;

/// Lines that the control page shows.
const KEPT: usize = 200;

/// The last lines, and whether they are also printed.
#[derive(Debug)]
pub(crate) struct Live {
    talk: bool,
    lines: Mutex<VecDeque<String>>,
}

impl Live {
    pub(crate) fn new(talk: bool) -> Self {
        Self { talk, lines: Mutex::new(VecDeque::new()) }
    }

    /// A request to the API, with its answer and why it was refused.
    pub(crate) fn request(&self, entry: &LoggedRequest, why: Option<&str>) {
        let answer = entry.status.map_or_else(|| "cut".to_owned(), |status| status.to_string());
        let mut line = format!("[{answer}] {} {} [{}]", entry.method, entry.path, entry.request_id);
        if let Some(why) = why {
            let _ = write!(line, " {}", clip(why));
        }
        self.say(line);
    }

    /// What a change told of.
    pub(crate) fn events(&self, world: &World, ids: &[String]) {
        for event in ids.iter().filter_map(|id| world.events.get(id)) {
            self.say(format!("--> {} [{}]", event.kind, event.id));
        }
    }

    /// What came of an attempt to deliver; its copies are attempts of their own.
    pub(crate) fn delivery(&self, kind: &str, event: &str, url: &str, attempts: &[Attempt]) {
        for attempt in attempts {
            let answer = attempt.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
            let mut line = format!("<-- [{answer}] POST {} [{event}] {kind}", clip(url));
            if let Some(why) = attempt.error.as_deref().filter(|_| attempt.status.is_none()) {
                let _ = write!(line, ": {}", clip(why));
            }
            self.say(line);
        }
    }

    /// The last lines, newest first.
    pub(crate) fn last(&self, count: usize) -> Vec<String> {
        super::lock(&self.lines).iter().rev().take(count).cloned().collect()
    }

    fn say(&self, line: String) {
        // One line is one line, whatever a caller put into a path.
        let line: String = line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        if self.talk {
            // Whoever listens no longer is no failure of ours.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
        let mut lines = super::lock(&self.lines);
        if lines.len() >= KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}
