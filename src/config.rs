//! The configuration: read once, from the environment and `.env`, with every mistake told at once.
//!
//! Only this module reads the environment. Secrets are [`SecretString`]s: `Debug` shows none.

mod business;
mod dotenv;
mod kept;
mod place;
mod reader;
pub mod supervisor;
mod variables;
pub mod zones;

pub use business::FirstBusiness;
pub use place::Place;
pub use reader::{ConfigError, Mistake};
pub use variables::{VARIABLES, Variable};

use domain::account::account_email;
use domain::holds::HoldLimits;
use domain::password::NewPassword;
use reader::Reader;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use url::Url;

/// The shortest `SESSION_SECRET`, in bytes.
pub const MIN_SESSION_SECRET: usize = 32;
/// The fewest different bytes of a `SESSION_SECRET`: 32 random hexadecimal digits practically never have less.
const MIN_DIFFERENT: usize = 8;
/// What a webhook secret begins with, and how many characters follow at least. Stripe's own have 32.
const WEBHOOK_PREFIX: &str = "whsec_";
const MIN_WEBHOOK_SECRET: usize = 24;
/// The most webhook secrets at once: a roll needs two, each costs one HMAC per delivery.
const MAX_WEBHOOK_SECRETS: usize = 8;
/// Where SQLite and the kept secrets are if nobody says.
const DEFAULT_SQLITE: &str = "sqlite://data/checkout.db";
/// What secrets are called in examples that nobody filled in.
const PLACEHOLDERS: [&str; 12] = [
    "changeme",
    "change-me",
    "change_me",
    "change me",
    "placeholder",
    "replace",
    "example",
    "your-",
    "your_",
    "your secret",
    "secret-here",
    "secret_here",
];

/// Where the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// On somebody's machine: everything has a default.
    Development,
    /// For customers: nothing that matters has a default.
    Production,
}

/// Where sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStore {
    /// They survive a restart and are shared between instances.
    Database,
    /// They end with the process, as in the original service.
    Memory,
}

/// Whether and how Stripe's events feed is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollEvents {
    /// At the start, and slowly after.
    Auto,
    /// Often: there is no public address for webhooks.
    Only,
    /// Never.
    Off,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For eyes.
    Text,
}

/// A cookie's `SameSite`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Sent when a link leads here, as from Stripe's payment page.
    Lax,
    /// Only sent from our own pages.
    Strict,
    /// Sent from everywhere, and then only over https.
    None,
}

/// How the session cookie is set. It is always `HttpOnly`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieSettings {
    /// `COOKIE_SECURE`
    pub secure: bool,
    /// `COOKIE_SAMESITE`
    pub same_site: SameSite,
    /// `COOKIE_DOMAIN`
    pub domain: Option<String>,
}

/// Where spans are exported to.
#[derive(Debug, Clone)]
pub struct TraceSettings {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, without a slash at its end
    pub endpoint: String,
    /// `OTEL_EXPORTER_OTLP_HEADERS`
    pub headers: Vec<(String, SecretString)>,
    /// `OTEL_SERVICE_NAME`
    pub service: String,
}

/// Where changes of bookings are posted.
#[derive(Debug, Clone)]
pub struct NotifySettings {
    /// `NOTIFY_URL`: an http or https address, secret because it may carry a token.
    pub url: SecretString,
    /// `NOTIFY_SECRET`
    pub secret: SecretString,
}

/// How mails leave.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// `SMTP_URL`
    pub smtp_url: SecretString,
    /// `MAIL_FROM`
    pub from: String,
}

/// The whole configuration. Each field names its variable.
#[derive(Debug, Clone)]
pub struct Config {
    /// `APP_ENV`, or `NODE_ENV`
    pub environment: Environment,
    /// `DATABASE_URL`
    pub database_url: SecretString,
    /// The folder for what this machine keeps: that of the SQLite file, else `data`.
    pub data_dir: PathBuf,
    /// `SESSION_SECRET`
    pub session_secret: SecretString,
    /// `STRIPE_SECRET_KEY`; none: the simulated Stripe
    pub stripe_secret_key: Option<SecretString>,
    /// `STRIPE_WEBHOOK_SECRET`, at least one, none of them empty
    pub webhook_secrets: Vec<SecretString>,
    /// `APP_URL`, an origin without a slash at its end
    pub app_url: String,
    /// Whether `APP_URL` was given, and does not follow the port.
    app_url_given: bool,
    /// `ADMIN_EMAIL`
    pub admin_email: Option<String>,
    /// `ADMIN_PASSWORD`
    pub admin_password: Option<SecretString>,
    /// `APP_VERSION`
    pub app_version: String,
    /// `HOST`
    pub host: IpAddr,
    /// `PORT`
    pub port: u16,
    /// `TRUST_PROXY`
    pub trust_proxy: usize,
    /// `ALLOWED_ORIGINS`, as browsers write them
    pub allowed_origins: Vec<String>,
    /// `APP_TIMEZONE`
    pub timezone: jiff::tz::TimeZone,
    /// `PAYLOAD_RETENTION_DAYS`
    pub payload_retention_days: u32,
    /// `UNPAID_RETENTION_DAYS`
    pub unpaid_retention_days: u32,
    /// `HOLDS_PER_…`
    pub hold_limits: HoldLimits,
    /// `COOKIE_…`
    pub cookie: CookieSettings,
    /// `SESSION_STORE`
    pub session_store: SessionStore,
    /// `STRIPE_API_BASE`, without a slash at its end; not used with the simulated Stripe
    pub stripe_api_base: String,
    /// `SIMULATOR_HOST`
    pub simulator_host: IpAddr,
    /// `SIMULATOR_PORT`; none: 12111, or a free one if that is taken
    pub simulator_port: Option<u16>,
    /// `LOG_FORMAT`; none: by whether stdout is a terminal
    pub log_format: Option<LogFormat>,
    /// `LOG_LEVEL`
    pub log_level: tracing::Level,
    /// `METRICS_TOKEN`
    pub metrics_token: Option<SecretString>,
    /// `OTEL_…`
    pub traces: Option<TraceSettings>,
    /// `POLL_EVENTS`
    pub poll_events: PollEvents,
    /// `NOTIFY_URL`, `NOTIFY_SECRET`
    pub notify: Option<NotifySettings>,
    /// `SMTP_URL`, `MAIL_FROM`
    pub mail: Option<MailSettings>,
    /// `BUSINESS_FILE`
    pub business: Option<FirstBusiness>,
    /// What is odd but no reason to stop: the log tells of it at the start.
    pub warnings: Vec<Mistake>,
}

impl Config {
    /// From this process's environment and, for what is not set there, `.env` in the working folder.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake.
    pub fn from_env() -> Result<Self, ConfigError> {
        let (vars, mistakes) = environment();
        Self::read(&vars, mistakes)
    }

    /// From a map of variables. In development this makes and keeps the secrets that are not given.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake.
    pub fn from_vars(vars: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        Self::read(vars, Vec::new())
    }

    fn read(vars: &BTreeMap<String, String>, mistakes: Vec<Mistake>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(vars, mistakes);
        let r = &mut reader;

        let environment = read_environment(r);
        let production = environment == Environment::Production;
        let database_url = read_database_url(r, production);
        let data_dir = data_dir(database_url.expose_secret());
        let stripe_secret_key = read_stripe_key(r, production);
        let port = r.parse("PORT", "a number from 0 to 65535", |text| text.parse().ok()).unwrap_or(4242);
        let app_url = read_app_url(r, production);
        let session_secret = read_session_secret(r, production);
        let webhook_secrets = read_webhook_secrets(r, production, stripe_secret_key.is_some());
        let live = stripe_secret_key.as_ref().is_some_and(|key| is_live(key.expose_secret()));
        let stripe_api_base = read_api_base(r, production || live);
        let cookie = read_cookie(r, production, app_url.as_deref());
        let simulator_port = r.parse("SIMULATOR_PORT", "a number from 0 to 65535", |text| text.parse().ok());
        let (notify, mail) = (read_notify(r, production), read_mail(r, production));
        let (admin_email, admin_password) = read_admin(r);
        let default_host = if production { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };

        let mut config = Self {
            environment,
            database_url,
            session_secret: SecretString::default(),
            stripe_secret_key,
            webhook_secrets: Vec::new(),
            app_url: app_url.clone().unwrap_or_else(|| local_url(port)),
            app_url_given: app_url.is_some(),
            admin_email,
            admin_password,
            app_version: r.text("APP_VERSION").unwrap_or(env!("CARGO_PKG_VERSION")).to_owned(),
            host: read_host(r, "HOST").unwrap_or(IpAddr::V4(default_host)),
            port,
            trust_proxy: r
                .parse("TRUST_PROXY", "the number of proxies in front, from 0 to 16", |text| {
                    text.parse().ok().filter(|n| *n <= 16)
                })
                .unwrap_or(0),
            allowed_origins: read_allowed_origins(r),
            timezone: r
                .parse("APP_TIMEZONE", "a name of the time zone database, as Europe/Paris", zones::named)
                .unwrap_or_else(|| zones::named("Europe/Paris").unwrap_or(jiff::tz::TimeZone::UTC)),
            payload_retention_days: r
                .parse("PAYLOAD_RETENTION_DAYS", "a number of days from 1 to 3650", |text| {
                    text.parse().ok().filter(|days| (1..=3650).contains(days))
                })
                .unwrap_or(90),
            unpaid_retention_days: r
                .parse("UNPAID_RETENTION_DAYS", "a number of days from 1 to 3650", |text| {
                    text.parse().ok().filter(|days| (1..=3650).contains(days))
                })
                .unwrap_or(30),
            hold_limits: HoldLimits {
                address: read_hold_limit(r, "HOLDS_PER_ADDRESS", 60),
                browser: read_hold_limit(r, "HOLDS_PER_BROWSER", 20),
                email: read_hold_limit(r, "HOLDS_PER_EMAIL", 20),
            },
            cookie,
            session_store: r
                .parse("SESSION_STORE", "database or memory", |text| match text {
                    "database" => Some(SessionStore::Database),
                    "memory" => Some(SessionStore::Memory),
                    _ => None,
                })
                .unwrap_or(SessionStore::Database),
            stripe_api_base,
            simulator_host: read_host(r, "SIMULATOR_HOST").unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            simulator_port,
            log_format: r.parse("LOG_FORMAT", "json or text", |text| match text {
                "json" => Some(LogFormat::Json),
                "text" => Some(LogFormat::Text),
                _ => None,
            }),
            log_level: r
                .parse("LOG_LEVEL", "error, warn, info, debug or trace", |text| {
                    let named = ["error", "warn", "info", "debug", "trace"].contains(&text);
                    text.parse().ok().filter(|_| named)
                })
                .unwrap_or(tracing::Level::INFO),
            metrics_token: read_metrics_token(r, production),
            traces: read_traces(r, production),
            poll_events: r
                .parse("POLL_EVENTS", "auto, only or off", |text| match text {
                    "auto" => Some(PollEvents::Auto),
                    "only" => Some(PollEvents::Only),
                    "off" => Some(PollEvents::Off),
                    _ => None,
                })
                .unwrap_or(PollEvents::Auto),
            notify,
            mail,
            business: business::read(r),
            warnings: Vec::new(),
            data_dir,
        };

        // Last, so that a configuration with mistakes leaves no files behind.
        if reader.mistakes.is_empty() {
            let folder = config.data_dir.clone();
            let mut keep = |given: Option<SecretString>, name: &str, file: &str, prefix: &str| match given {
                Some(secret) => secret,
                None => kept::load_or_make(&folder, file, prefix).unwrap_or_else(|error| {
                    let path = folder.join(file);
                    reader.mistake(name, format!("set it, or make {} usable: {error}", path.display()));
                    SecretString::default()
                }),
            };
            config.session_secret = keep(session_secret, "SESSION_SECRET", "session.secret", "");
            config.webhook_secrets = match webhook_secrets {
                Some(secrets) => secrets,
                None => vec![keep(None, "STRIPE_WEBHOOK_SECRET", "webhook.secret", "whsec_")],
            };
        }
        config.warnings = reader.warnings;
        if reader.mistakes.is_empty() { Ok(config) } else { Err(ConfigError(reader.mistakes)) }
    }

    /// Whether this is production.
    #[must_use]
    pub fn is_production(&self) -> bool {
        self.environment == Environment::Production
    }

    /// Whether Stripe is simulated.
    #[must_use]
    pub fn simulated(&self) -> bool {
        self.stripe_secret_key.is_none()
    }

    /// Whether money is real: the `livemode` that our objects at Stripe have, by the key's prefix.
    #[must_use]
    pub fn livemode(&self) -> bool {
        self.stripe_secret_key.as_ref().is_some_and(|key| is_live(key.expose_secret()))
    }

    /// Whether browsers reach us over https.
    #[must_use]
    pub fn https(&self) -> bool {
        self.app_url.starts_with("https://")
    }

    /// What the command line says of where to listen, over the variables.
    pub fn listen_at(&mut self, host: Option<IpAddr>, port: Option<u16>) {
        self.host = host.unwrap_or(self.host);
        if let Some(port) = port {
            self.listening_on(port);
        }
    }

    /// Tells which port `PORT=0` became; an `APP_URL` that was not given follows it.
    pub fn listening_on(&mut self, port: u16) {
        self.port = port;
        if !self.app_url_given {
            self.app_url = local_url(port);
        }
    }
}

/// The process's variables over those of `.env`, and what of them cannot be read.
#[expect(clippy::disallowed_methods, reason = "this is the environment's home")]
fn environment() -> (BTreeMap<String, String>, Vec<Mistake>) {
    let (mut vars, mut mistakes) = dotenv::read(Path::new(".env"));
    let mut mistake = |name: &str, message: String| mistakes.push(Mistake { name: name.to_owned(), message });
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        match value.to_str() {
            Some(value) => drop(vars.insert(name.to_owned(), value.to_owned())),
            None if VARIABLES.iter().any(|v| v.name == name) => mistake(name, "is not UTF-8".to_owned()),
            None => {}
        }
    }
    (vars, mistakes)
}

fn read_hold_limit(r: &mut Reader<'_>, name: &str, default: u32) -> u32 {
    let read = |text: &str| text.parse().ok().filter(|limit| (1..=100_000).contains(limit));
    r.parse(name, "a number from 1 to 100000", read).unwrap_or(default)
}

fn read_environment(r: &mut Reader<'_>) -> Environment {
    let name = if r.text("APP_ENV").is_some() { "APP_ENV" } else { "NODE_ENV" };
    r.parse(name, "development or production", |text| match text {
        "development" | "test" => Some(Environment::Development),
        "production" => Some(Environment::Production),
        _ => None,
    })
    // Whoever wrote something that we do not know did not ask for lenient defaults.
    .unwrap_or(if r.text(name).is_some() { Environment::Production } else { Environment::Development })
}

fn read_database_url(r: &mut Reader<'_>, production: bool) -> SecretString {
    let url = r.secret("DATABASE_URL");
    match &url {
        Some(url) if !["postgres://", "postgresql://", "sqlite:"].iter().any(|s| url.starts_with(s)) => {
            r.mistake(
                "DATABASE_URL",
                "give postgres://user:password@host/database or sqlite://path/to/file.db",
            );
        }
        None if production => {
            r.mistake("DATABASE_URL", "is required in production: postgres://… or sqlite://…")
        }
        Some(url) if url.starts_with("postgres") && store::address::servers(url).is_err() => {
            // Without the address: it holds a password.
            let why = store::address::servers(url).err().unwrap_or_default();
            r.mistake("DATABASE_URL", why);
        }
        Some(url) if production && password_of(url).is_some_and(|password| is_placeholder(&password)) => {
            r.mistake(
                "DATABASE_URL",
                "has a placeholder for its password; make one with `openssl rand -hex 24`",
            );
        }
        Some(_) | None => {}
    }
    SecretString::from(url.unwrap_or_else(|| DEFAULT_SQLITE.to_owned()))
}

fn password_of(url: &str) -> Option<String> {
    Url::parse(url).ok()?.password().map(str::to_owned)
}

/// The folder of the SQLite file; `data` for PostgreSQL.
fn data_dir(database_url: &str) -> PathBuf {
    let path = database_url.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
    let path = path.map(|path| Path::new(path.split('?').next().unwrap_or(path)));
    match path.map(Path::parent) {
        Some(Some(folder)) if !folder.as_os_str().is_empty() => folder.to_owned(),
        Some(_) => PathBuf::from("."),
        None => PathBuf::from("data"),
    }
}

fn read_session_secret(r: &mut Reader<'_>, production: bool) -> Option<SecretString> {
    const MAKE_ONE: &str = "make one with `openssl rand -hex 32`";
    let secret = r.secret("SESSION_SECRET");
    match &secret {
        None if production => r.mistake("SESSION_SECRET", format!("is required in production; {MAKE_ONE}")),
        None => {}
        Some(secret) if secret.len() < MIN_SESSION_SECRET => r.mistake(
            "SESSION_SECRET",
            format!("has {} bytes, at least {MIN_SESSION_SECRET} are needed; {MAKE_ONE}", secret.len()),
        ),
        Some(secret) if production && is_placeholder(secret) => {
            r.mistake("SESSION_SECRET", format!("is a placeholder; {MAKE_ONE}"));
        }
        Some(secret) => judge_variety(r, production, "SESSION_SECRET", secret),
    }
    secret.map(SecretString::from)
}

/// Whether a secret has as many different characters as a random one.
fn is_varied(secret: &str) -> bool {
    secret.bytes().collect::<std::collections::BTreeSet<_>>().len() >= MIN_DIFFERENT
}

/// What anybody could guess is refused in production, and told elsewhere.
fn judge_variety(r: &mut Reader<'_>, production: bool, name: &str, secret: &str) {
    if is_varied(secret) {
        return;
    }
    let message = "has too few different characters to be random; make one with `openssl rand -hex 32`";
    if production {
        r.mistake(name, message);
    } else {
        r.warn(name, message);
    }
}

/// What a text that is no endpoint's signing secret seems to be; none if it has the form of one. By such a
/// secret money is believed, so a guess at what was pasted here helps, and nothing of it is shown.
fn webhook_secret_fault(secret: &str) -> Option<&'static str> {
    let kinds = ["sk_", "rk_", "pk_"];
    if secret.contains(['"', '\'', '`']) {
        return Some("still has its quotes");
    }
    if kinds.iter().any(|kind| secret.starts_with(kind)) {
        return Some("is an API key");
    }
    if secret.starts_with("we_") {
        return Some("is the endpoint's id");
    }
    let Some(rest) = secret.strip_prefix(WEBHOOK_PREFIX) else {
        return Some("does not begin with whsec_");
    };
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some("has a blank or another character that no secret has");
    }
    if rest.len() < MIN_WEBHOOK_SECRET {
        return Some("is too short: at least 24 characters follow whsec_");
    }
    if !is_varied(rest) {
        return Some("has too few different characters to be random");
    }
    None
}

fn read_metrics_token(r: &mut Reader<'_>, production: bool) -> Option<SecretString> {
    let token = r.secret("METRICS_TOKEN")?;
    judge_variety(r, production, "METRICS_TOKEN", &token);
    Some(SecretString::from(token))
}

fn is_placeholder(secret: &str) -> bool {
    let lower = secret.to_ascii_lowercase();
    PLACEHOLDERS.iter().any(|word| lower.contains(word))
}

fn read_stripe_key(r: &mut Reader<'_>, production: bool) -> Option<SecretString> {
    const KINDS: [&str; 4] = ["sk_test_", "sk_live_", "rk_test_", "rk_live_"];
    let key = r.secret("STRIPE_SECRET_KEY");
    match &key {
        None if production => r.mistake(
            "STRIPE_SECRET_KEY",
            "is required in production, where Stripe is never simulated; copy it from \
             https://dashboard.stripe.com/apikeys",
        ),
        None => {}
        Some(key) if key.starts_with("pk_") => r.mistake(
            "STRIPE_SECRET_KEY",
            "is a publishable key (pk_…); give the secret key (sk_…) or a restricted one (rk_…)",
        ),
        Some(key) => {
            let rest = KINDS.iter().find_map(|kind| key.strip_prefix(kind)).unwrap_or_default();
            let clean = rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if rest.is_empty() || !clean {
                r.mistake("STRIPE_SECRET_KEY", "give a whole key that starts with sk_test_, sk_live_ or rk_");
            } else if production && is_placeholder(key) {
                r.mistake(
                    "STRIPE_SECRET_KEY",
                    "is a placeholder; copy the key from https://dashboard.stripe.com/apikeys",
                );
            } else if is_live(key) && !production {
                r.warn("STRIPE_SECRET_KEY", "is a live key outside production: payments are real");
            }
        }
    }
    key.map(SecretString::from)
}

fn is_live(key: &str) -> bool {
    key.starts_with("sk_live_") || key.starts_with("rk_live_")
}

/// None: the simulator's own, in development.
fn read_webhook_secrets(
    r: &mut Reader<'_>,
    production: bool,
    real_stripe: bool,
) -> Option<Vec<SecretString>> {
    const NAME: &str = "STRIPE_WEBHOOK_SECRET";
    let Some(list) = r.secret(NAME) else {
        if production {
            r.mistake(NAME, "is required in production; copy the endpoint's signing secret (whsec_…)");
        } else if real_stripe {
            r.warn(
                NAME,
                "is not set: no webhook of Stripe will be accepted; see `stripe listen --print-secret`",
            );
        }
        return None;
    };
    let secrets: Vec<&str> = list.split(',').map(str::trim).collect();
    if secrets.iter().any(|secret| secret.is_empty()) {
        r.mistake(
            NAME,
            "one of the secrets is empty, which would accept anybody's signature; remove the comma",
        );
    }
    if production && secrets.iter().any(|secret| is_placeholder(secret)) {
        r.mistake(
            NAME,
            "is a placeholder, by which anybody could sign; copy the endpoint's secret (whsec_…)",
        );
    }
    let faults = secrets.iter().enumerate().filter(|(_, secret)| !secret.is_empty());
    let faults = faults.filter_map(|(n, secret)| {
        let fault = webhook_secret_fault(secret)?;
        Some(if secrets.len() == 1 { fault.to_owned() } else { format!("secret {} {fault}", n + 1) })
    });
    let faults: Vec<String> = faults.collect();
    if !faults.is_empty() {
        let faults = faults.join(", ");
        let message = format!(
            "{faults}; copy the endpoint's signing secret (whsec_… and at least {MIN_WEBHOOK_SECRET} characters) \
             from Stripe's dashboard or `stripe listen --print-secret`"
        );
        if production {
            r.mistake(NAME, message);
        } else {
            r.warn(NAME, format!("{message}; production refuses this"));
        }
    }
    if secrets.len() > MAX_WEBHOOK_SECRETS {
        r.mistake(
            NAME,
            format!("holds more than {MAX_WEBHOOK_SECRETS} secrets; remove the ones no longer used"),
        );
    }
    Some(secrets.into_iter().map(SecretString::from).collect())
}

/// An origin: scheme, host and port, as browsers write it.
fn read_origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let bare = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    bare.then(|| url.origin().ascii_serialization())
}

fn local_url(port: u16) -> String {
    format!("http://localhost:{port}")
}

fn read_app_url(r: &mut Reader<'_>, production: bool) -> Option<String> {
    let url = r.parse("APP_URL", "an address without a path, as https://pay.my-company.com", read_origin);
    match &url {
        Some(url) if production && !url.starts_with("https://") => {
            r.mistake(
                "APP_URL",
                "must begin with https:// in production: customers type personal data there",
            );
        }
        None if production && r.text("APP_URL").is_none() => {
            r.mistake("APP_URL", "is required in production: the public https address of this service");
        }
        Some(_) | None => {}
    }
    url
}

fn read_allowed_origins(r: &mut Reader<'_>) -> Vec<String> {
    let expected = "origins without a path, separated by commas, as https://shop.my-company.com";
    r.parse("ALLOWED_ORIGINS", expected, |text| {
        text.split(',').map(|part| read_origin(part.trim())).collect()
    })
    .unwrap_or_default()
}

fn read_host(r: &mut Reader<'_>, name: &str) -> Option<IpAddr> {
    r.parse(name, "an IP address, as 127.0.0.1 or 0.0.0.0", |text| parse_host(text).ok())
}

/// An address to listen on, as `HOST` and `--host` take it.
///
/// # Errors
/// What it must be.
pub fn parse_host(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => text.parse().map_err(|_| "give an IP address, as 127.0.0.1 or 0.0.0.0".to_owned()),
    }
}

/// Whether nobody between us and `url` can read along.
fn is_private(url: &Url) -> bool {
    match url.host() {
        _ if url.scheme() == "https" => true,
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn read_api_base(r: &mut Reader<'_>, must_be_private: bool) -> String {
    let url = r.parse("STRIPE_API_BASE", "an http or https address", |text| {
        Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
    });
    match url {
        None => "https://api.stripe.com".to_owned(),
        Some(url) => {
            if must_be_private && !is_private(&url) {
                r.mistake(
                    "STRIPE_API_BASE",
                    "must be https, or on this machine: the secret key travels there",
                );
            }
            url.as_str().trim_end_matches('/').to_owned()
        }
    }
}

fn read_cookie(r: &mut Reader<'_>, production: bool, app_url: Option<&str>) -> CookieSettings {
    let https = production || app_url.is_some_and(|url| url.starts_with("https://"));
    let secure = r.parse("COOKIE_SECURE", "true or false", |text| match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    });
    if secure == Some(false) && production {
        r.mistake("COOKIE_SECURE", "must not be false in production: session cookies would travel over http");
    }
    let secure = secure.unwrap_or(https);
    let same_site = r
        .parse("COOKIE_SAMESITE", "lax, strict or none", |text| match text.to_ascii_lowercase().as_str() {
            "lax" => Some(SameSite::Lax),
            "strict" => Some(SameSite::Strict),
            "none" => Some(SameSite::None),
            _ => None,
        })
        .unwrap_or(SameSite::Lax);
    if same_site == SameSite::None && !secure {
        r.mistake(
            "COOKIE_SAMESITE",
            "none needs COOKIE_SECURE=true: browsers refuse such a cookie otherwise",
        );
    }
    let domain = r.parse("COOKIE_DOMAIN", "a host name, as my-company.com", |text| {
        let name = text.trim_start_matches('.');
        let usable = !name.is_empty()
            && name.len() <= 253
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        usable.then(|| name.to_ascii_lowercase())
    });
    CookieSettings { secure, same_site, domain }
}

/// What an account could not be made with is told now, not when the first start makes it. An address alone is
/// the owner's for mails.
fn read_admin(r: &mut Reader<'_>) -> (Option<String>, Option<SecretString>) {
    let email =
        r.parse("ADMIN_EMAIL", "an address such as you@your-company.com", |text| account_email(text).ok());
    let password = r.password("ADMIN_PASSWORD");
    match (&password, r.text("ADMIN_EMAIL")) {
        (Some(_), None) => r.warn("ADMIN_PASSWORD", "has no ADMIN_EMAIL beside it, and makes no account"),
        (Some(password), Some(email)) => {
            if let Err(fault) = NewPassword::parse(password, email) {
                r.mistake("ADMIN_PASSWORD", fault.message);
            }
        }
        (None, _) => {}
    }
    (email, password.map(SecretString::from))
}

fn read_traces(r: &mut Reader<'_>, production: bool) -> Option<TraceSettings> {
    let headers = r.secret("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default();
    let service = r.text("OTEL_SERVICE_NAME").unwrap_or("checkout-backend").to_owned();
    let endpoint = r.parse("OTEL_EXPORTER_OTLP_ENDPOINT", "an http or https address", |text| {
        let url = Url::parse(text).ok()?;
        let usable =
            matches!(url.scheme(), "http" | "https") && url.host().is_some() && url.query().is_none();
        usable.then_some(url)
    });
    let pairs = headers.split(',').filter(|pair| !pair.trim().is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name = Some(name.trim()).filter(|name| !name.is_empty() && name.chars().all(is_name))?;
        // Percent-encoded; a plus is a plus.
        let value = format!("v={}", value.trim().replace('+', "%2B").replace('&', "%26"));
        let (_, value) = form_urlencoded::parse(value.as_bytes()).next()?;
        let is_plain = value.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        is_plain.then(|| (name.to_owned(), SecretString::from(value.into_owned())))
    });
    let Some(headers) = pairs.collect::<Option<Vec<_>>>() else {
        r.mistake("OTEL_EXPORTER_OTLP_HEADERS", "must be name=value, several separated by commas");
        return None;
    };
    let endpoint = endpoint?;
    if production && !headers.is_empty() && !is_private(&endpoint) {
        r.mistake("OTEL_EXPORTER_OTLP_ENDPOINT", "must be https in production if headers are sent there");
    }
    let endpoint = endpoint.as_str().trim_end_matches('/').to_owned();
    Some(TraceSettings { endpoint, headers, service })
}

fn read_notify(r: &mut Reader<'_>, production: bool) -> Option<NotifySettings> {
    let url = r.secret_string("NOTIFY_URL");
    let secret = r.secret_string("NOTIFY_SECRET");
    let url = url?;
    match Url::parse(url.expose_secret()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
            if production && !is_private(&url) {
                r.mistake("NOTIFY_URL", "must be https in production: bookings travel there");
            }
        }
        Ok(_) | Err(_) => r.mistake("NOTIFY_URL", "give an http or https address"),
    }
    match &secret {
        None => {
            r.mistake(
                "NOTIFY_SECRET",
                "is required with NOTIFY_URL, so that the receiver can tell our posts",
            );
        }
        Some(secret) => {
            let secret = secret.expose_secret();
            judge_variety(r, production, "NOTIFY_SECRET", secret.strip_prefix("whsec_").unwrap_or(secret));
        }
    }
    Some(NotifySettings { url, secret: secret? })
}

fn tls_required() -> (std::borrow::Cow<'static, str>, std::borrow::Cow<'static, str>) {
    ("tls".into(), "required".into())
}

/// As a scheme that browsers do not know writes it: the host is a text there, not an address.
fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn read_mail(r: &mut Reader<'_>, production: bool) -> Option<MailSettings> {
    let smtp_url = r.secret_string("SMTP_URL");
    let from = r.text("MAIL_FROM").map(str::to_owned);
    let smtp_url = smtp_url?;
    match Url::parse(smtp_url.expose_secret()) {
        Ok(url) if matches!(url.scheme(), "smtp" | "smtps") => {
            // Whoever is in between could leave the offer of TLS out, and read the password.
            let forced = url.scheme() == "smtps" || url.query_pairs().any(|pair| pair == tls_required());
            let local = url.host_str().is_some_and(is_this_machine);
            if production && url.password().is_some() && !forced && !local {
                r.mistake(
                    "SMTP_URL",
                    "would send the password unprotected to whoever asks for it on the way: give smtps://…, or \
                     smtp://…?tls=required",
                );
            }
        }
        Ok(_) | Err(_) => r.mistake("SMTP_URL", "give smtps://user:password@host, or smtp://host:port"),
    }
    let from = match from {
        Some(from) => from,
        None => {
            r.mistake("MAIL_FROM", "is required with SMTP_URL: the sender's address");
            return None;
        }
    };
    if from.parse::<lettre::message::Mailbox>().is_err() {
        r.mistake("MAIL_FROM", "give an address, as shop@my-company.com or 'My shop <shop@my-company.com>'");
    }
    Some(MailSettings { smtp_url, from })
}
