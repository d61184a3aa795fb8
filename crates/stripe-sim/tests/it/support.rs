//! A client for the simulator and an endpoint that receives what it delivers.

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use clock::Clock;
use clock::Timestamp;
use http_client::{Answer, HttpClient, HttpError, Method};
use serde_json::Value;
use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stripe_sim::{Sim, SimConfig, WebhookTarget};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Where the clocks of these tests stand: 2026-11-23T12:00:00Z.
pub(crate) const NOON: i64 = 1_795_435_200;
pub(crate) const SECRET: &str = "whsec_test_endpoint";
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn frozen() -> Clock {
    Clock::frozen_at(Timestamp::from_unix_seconds(NOON))
}

/// An answer, read as JSON.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) json: Value,
    answer: Answer,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.answer.header(name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.answer.body).into_owned()
    }

    /// The object, which must have been answered with 200.
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{:#}", self.json);
        self.json
    }

    /// `(status, type, code, param)` of a refusal.
    pub(crate) fn refusal(&self) -> (u16, &str, &str, &str) {
        let member = |name: &str| self.json["error"][name].as_str().unwrap_or("");
        (self.status, member("type"), member("code"), member("param"))
    }

    pub(crate) fn message(&self) -> &str {
        self.json["error"]["message"].as_str().unwrap_or("")
    }
}

/// A client with a test key.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) base: String,
    http: HttpClient,
}

impl Api {
    pub(crate) fn of(sim: &Sim) -> Self {
        Self::at(&sim.base_url())
    }

    pub(crate) fn at(base: &str) -> Self {
        Self { base: base.to_owned(), http: HttpClient::new(Duration::from_secs(30)).unwrap() }
    }

    pub(crate) async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Got, HttpError> {
        let url = format!("{}{path}", self.base);
        let answer = self.http.send(method, &url, headers, body.to_vec()).await?;
        let json = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        Ok(Got { status: answer.status, json, answer })
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Got {
        self.try_send(method, path, headers, body).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.send(Method::Get, path, &[("authorization", "Bearer sk_test_x")], b"").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Got {
        self.send(Method::Delete, path, &[("authorization", "Bearer sk_test_x")], b"").await
    }

    pub(crate) async fn post(&self, path: &str, form: &str) -> Got {
        self.post_with(path, &[], form).await
    }

    pub(crate) async fn post_with(&self, path: &str, more: &[(&str, &str)], form: &str) -> Got {
        let mut headers = vec![
            ("authorization", "Bearer sk_test_x"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        headers.extend_from_slice(more);
        self.send(Method::Post, path, &headers, form.as_bytes()).await
    }

    /// The control API.
    pub(crate) async fn control(&self, path: &str, body: &Value) -> Got {
        let headers = [("content-type", "application/json")];
        self.send(Method::Post, &format!("/_sim/{path}"), &headers, body.to_string().as_bytes()).await
    }

    /// Sends the payment page's form.
    pub(crate) async fn page(&self, path: &str, form: &str) -> Got {
        let headers =
            [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
        self.send(Method::Post, path, &headers, form.as_bytes()).await
    }

    /// A new session for 20.00 EUR with these further parameters.
    pub(crate) async fn session(&self, more: &str) -> Value {
        self.post("/v1/checkout/sessions", &format!("{SESSION}{more}")).await.ok()
    }
}

/// Our program, with nothing from the environment.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stripe-sim"));
    command.stderr(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// Starts `simulate` with these flags; returns it with the port it listens on.
pub(crate) async fn simulate(flags: &[&str]) -> (Child, String) {
    let mut child = program().args(["--port", "0"]).args(flags).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut port = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(base) = line.strip_prefix("STRIPE_API_BASE=http://127.0.0.1:") {
            base.clone_into(&mut port);
        }
        if line.starts_with("SIMULATOR_SEED=") {
            break;
        }
    }
    (child, port)
}

/// The least that a session needs.
pub(crate) const SESSION: &str = "mode=payment&success_url=https%3A%2F%2Fshop.example%2Fok%3Fs%3D%7BCHECKOUT_SESSION_ID%7D\
&line_items[0][price_data][currency]=eur&line_items[0][price_data][unit_amount]=2000\
&line_items[0][price_data][product_data][name]=Room&line_items[0][quantity]=1";

/// A simulator whose clock stands still, and a client of it.
pub(crate) async fn start() -> (Sim, Api) {
    start_with(SimConfig { clock: frozen(), seed: Some(1), ..SimConfig::default() }).await
}

pub(crate) async fn start_with(config: SimConfig) -> (Sim, Api) {
    let sim = Sim::start(config).await.unwrap();
    let api = Api::of(&sim);
    (sim, api)
}

/// The kinds of all events so far.
pub(crate) fn kinds(sim: &Sim) -> Vec<String> {
    sim.events().iter().map(|e| e["type"].as_str().unwrap().to_owned()).collect()
}

pub(crate) fn id(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}

/// One delivery as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) signature: String,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        self.event()["type"].as_str().unwrap().to_owned()
    }

    /// Whether `secret` verifies it at `now`.
    pub(crate) fn verifies(&self, secret: &str, now: i64) -> bool {
        let t = self.signature.trim_start_matches("t=").split(',').next().unwrap_or_default();
        let Ok(at) = t.parse::<i64>() else { return false };
        let expected = stripe_sim::sign(&[secret.to_owned().into()], at, &self.body);
        let v1 = expected.split_once("v1=").unwrap().1;
        (now - at) <= 300 && self.signature.split(',').any(|part| part.strip_prefix("v1=") == Some(v1))
    }
}

/// An endpoint that answers what it is told to, 200 when nothing is left.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inbox {
    received: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
    pub(crate) url: String,
}

impl Inbox {
    pub(crate) async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inbox =
            Self { url: format!("http://{}/webhook", listener.local_addr().unwrap()), ..Self::default() };
        let (received, answers) = (Arc::clone(&inbox.received), Arc::clone(&inbox.answers));
        let take = move |headers: HeaderMap, body: Bytes| {
            let signature = headers.get("stripe-signature").and_then(|v| v.to_str().ok()).unwrap_or_default();
            received.lock().unwrap().push(Received { signature: signature.to_owned(), body: body.to_vec() });
            let status = answers.lock().unwrap().pop_front().unwrap_or(200);
            async move { (StatusCode::from_u16(status).unwrap(), [("location", "/elsewhere")]) }
        };
        let app = axum::Router::new().route("/webhook", post(take));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        inbox
    }

    pub(crate) fn target(&self) -> WebhookTarget {
        WebhookTarget {
            url: self.url.clone(),
            secrets: vec![SECRET.to_owned().into()],
            enabled_events: vec![],
        }
    }

    /// What to answer next, in this order.
    pub(crate) fn answers(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(crate) fn kinds(&self) -> Vec<String> {
        self.received().iter().map(Received::kind).collect()
    }
}

/// Polls until `wanted` holds, or fails after [`LIMIT`].
pub(crate) async fn eventually(what: &str, wanted: impl Fn() -> bool) {
    let waited = tokio::time::timeout(LIMIT, async {
        while !wanted() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "not in time: {what}");
}
