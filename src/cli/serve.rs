//! `serve`: the whole service in one process, with a simulated Stripe if no key is configured.

use super::{open, simulator};
use crate::app::App;
use crate::config::{Config, LogFormat, supervisor};
use crate::flow::accounts::FirstStart;
use crate::flow::{background, business, closed, effects, reconcile, whereabouts, zone};
use crate::http;
use crate::http::server::Ended;
use crate::telemetry;
use anyhow::Context;
use clock::Clock;
use secrecy::{ExposeSecret, SecretString};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;
use store::{MigrationStatus, Store, StoreError};
use stripe_sim::cli::USUAL_PORT;
use stripe_sim::{Sim, SimConfig, WebhookTarget};
use tokio::net::TcpListener;

/// The key by which we call the simulated Stripe: any test key will do.
const SIMULATED_KEY: &str = "sk_test_simulated";
/// How long a database that does not answer yet is waited for at the start.
const DATABASE_PATIENCE: Duration = Duration::from_secs(60);

/// How it is used.
pub const EXAMPLES: &str =
    "Examples:\n  checkout-backend serve\n  checkout-backend serve --host 0.0.0.0 --port 8080";

/// The arguments of `serve`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Address to listen on, over HOST
    #[arg(long, value_parser = crate::config::parse_host)]
    host: Option<IpAddr>,
    /// Port to listen on, over PORT; 0 takes a free one
    #[arg(long)]
    port: Option<u16>,
}

/// The database is not what it must be for the promises to hold.
#[derive(Debug, thiserror::Error)]
#[error("{place} is not fit for production:{faults}")]
pub(super) struct Unfit {
    place: String,
    faults: String,
}

/// Runs the service until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting.
pub async fn run(args: Args, mut config: Config) -> anyhow::Result<ExitCode> {
    config.listen_at(args.host, args.port);
    let clock = Clock::system();
    let on_terminal = std::io::stdout().is_terminal();
    let format = config.log_format.unwrap_or(if on_terminal { LogFormat::Text } else { LogFormat::Json });
    telemetry::init(format, config.log_level, clock.clone(), config.traces.as_ref());
    for warning in &config.warnings {
        tracing::warn!(module = "config", action = "config.warning", "{}: {}", warning.name, warning.message);
    }

    let store = Store::open(config.database_url.expose_secret())?;
    let _lock = open::only_one(&store)?;
    migrate(&store, &clock).await.with_context(|| format!("cannot use {}", store.place()))?;
    look_at(&store, &config, &clock).await?;

    let address = SocketAddr::new(config.host, config.port);
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: is another program using it? Set PORT to a free one")
    })?;
    config.listening_on(listener.local_addr()?.port());
    let simulator = if config.simulated() { Some(simulate(&config).await?) } else { None };
    let (base, key) = match (&simulator, &config.stripe_secret_key) {
        (None, Some(key)) => (config.stripe_api_base.clone(), key.clone()),
        (Some(simulator), _) => (simulator.base_url(), SecretString::from(SIMULATED_KEY)),
        (None, None) => anyhow::bail!("neither a Stripe key nor the simulated Stripe"),
    };
    let _noted = match &simulator {
        Some(simulator) => noted(&config, simulator).await,
        None => None,
    };
    // So that the commands of this folder name the right address; it serves all the same if they cannot.
    let _service = simulator::note_service(&config.data_dir, config.port)
        .await
        .inspect_err(|error| tracing::debug!(module = "process", action = "service.not_noted", "{error:#}"))
        .ok();
    let audience = effects::audience(&config);
    let app = App::start(config, store, &base, key, audience, clock).await?;
    let first = app.accounts.first_start(&app.config).await?;
    business::first_start(&app).await?;
    greet(&app, simulator.as_ref(), first);
    tell_where_it_is(&app).await?;
    zone::reckon(&app).await?;

    if let Err(error) = reconcile::catch_up(&app).await {
        tracing::warn!(module = "reconcile", action = "reconcile.catch_up_failed", "{error}");
    }
    let timed = app.clone();
    tokio::spawn(async move { timed.accounts.time_hashing().await });
    let background = background::start(&app);

    let signals = http::server::signals()?;
    tell_supervisor("READY=1");
    let ended = http::server::serve(&app, listener, signals).await;
    tell_supervisor("STOPPING=1");
    if ended == Ended::Forced {
        tracing::warn!(module = "process", action = "process.forced", "requests in flight were cut off");
    }

    background.stop().await;

    if let Some(simulator) = simulator {
        simulator.shutdown().await;
    }
    // A request that was cut off may still hold a connection.
    let _ = tokio::time::timeout(Duration::from_secs(1), app.store.close()).await;
    tracing::info!(module = "process", action = "sys_shutdown", "stopped");
    telemetry::end_traces(Duration::from_secs(2)).await;
    telemetry::flush(Duration::from_secs(2));
    Ok(ExitCode::SUCCESS)
}

/// Verifies what the database must be, and takes the recorder's connections before visitors can.
async fn look_at(store: &Store, config: &Config, clock: &Clock) -> anyhow::Result<()> {
    let faults = match store.environment(clock.now()).await {
        Ok(faults) => faults,
        // It was there a moment ago: it may be going through a failover, and `/readyz` will tell.
        Err(error) => {
            tracing::warn!(module = "store", action = "store.not_verified", "{error}");
            return Ok(());
        }
    };
    for fault in &faults {
        tracing::warn!(
            module = "store",
            action = "store.unfit",
            check = fault.check,
            "{}: {}",
            fault.message,
            fault.fix
        );
    }
    // A standby may be promoted while we wait; it is told as not ready meanwhile.
    let refused: Vec<_> =
        faults.iter().filter(|fault| fault.breaks_a_promise && fault.check != "read-only").collect();
    if config.is_production() && !refused.is_empty() {
        let line = |fault: &&store::environment::Fault| format!("\n  {}: {}", fault.message, fault.fix);
        return Err(Unfit { place: store.place(), faults: refused.iter().map(line).collect() }.into());
    }
    if store.is_pooled().await? {
        tracing::info!(module = "store", action = "store.pooled", "a pooler stands in front of the database");
    }
    if let Err(error) = store.reserve().await {
        tracing::warn!(module = "store", action = "store.not_reserved", "{error}");
    }
    Ok(())
}

/// Brings the schema up to date, waiting a while for a server that is still starting, and for whoever holds a table.
/// Each wait is short, so that nobody else has to stand behind it, and told.
///
/// # Errors
/// What the database says in the end.
pub(super) async fn migrate(store: &Store, clock: &Clock) -> anyhow::Result<Vec<MigrationStatus>> {
    let given_up = tokio::time::Instant::now() + DATABASE_PATIENCE;
    let mut told = false;
    loop {
        match store.migrate(clock.now()).await {
            Err(error)
                if (error.is_outage() || error.is_collision()) && tokio::time::Instant::now() < given_up =>
            {
                // The pool only knows that it waited in vain.
                let why = match error {
                    StoreError::Locked(_) => "somebody holds a table that a migration changes".to_owned(),
                    error => store.why_unreachable().await.unwrap_or(error).to_string(),
                };
                tracing::warn!(module = "store", action = "store.waiting", "{why}");
                if !told {
                    let patience = DATABASE_PATIENCE.as_secs();
                    eprintln!("checkout-backend: waiting up to {patience} s for {}: {why}", store.place());
                    told = true;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            result => {
                let applied = result?;
                for migration in &applied {
                    let (version, name) = (migration.version, migration.name.as_str());
                    tracing::info!(module = "store", action = "store.migrated", version, "{name}");
                }
                return Ok(applied);
            }
        }
    }
}

async fn simulate(config: &Config) -> anyhow::Result<Sim> {
    let start = async |port: u16| {
        Sim::start(SimConfig {
            listen: SocketAddr::new(config.simulator_host, port),
            data_file: Some(config.data_dir.join("simulator.json")),
            webhooks: vec![WebhookTarget {
                url: format!("http://{}/webhook", reachable(config.host, config.port)),
                // The others are for what a real Stripe may still sign while one is being rolled.
                secrets: config.webhook_secrets.iter().take(1).cloned().collect(),
                enabled_events: Vec::new(),
            }],
            ..SimConfig::default()
        })
        .await
    };
    let simulator = match config.simulator_port {
        Some(port) => start(port).await.with_context(|| {
            format!("the simulated Stripe cannot start on port {port} (SIMULATOR_PORT sets another)")
        })?,
        None => match start(USUAL_PORT).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => start(0).await?,
            result => result?,
        },
    };
    Ok(simulator)
}

/// An address at which a program on this machine reaches what listens on `host`.
fn reachable(host: IpAddr, port: u16) -> SocketAddr {
    let host = match host {
        IpAddr::V4(host) if host.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(host) if host.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        host => host,
    };
    SocketAddr::new(host, port)
}

/// Lets the commands of this folder find the simulated Stripe. It serves all the same if they cannot.
async fn noted(config: &Config, simulator: &Sim) -> Option<std::fs::File> {
    match simulator::note(&config.data_dir, simulator.addr().port()).await {
        Ok(file) => Some(file),
        Err(error) => {
            tracing::warn!(module = "simulator", action = "simulator.not_noted", "{error:#}");
            None
        }
    }
}

/// It serves all the same if nobody hears it.
fn tell_supervisor(state: &str) {
    if let Err(error) = supervisor::tell(state) {
        tracing::warn!(module = "process", action = "sys_supervisor", "{error}");
    }
}

/// What whoever starts it may not know of its database: that it is a copy, or was restored.
async fn tell_where_it_is(app: &App) -> anyhow::Result<()> {
    for remark in whereabouts::remarks(app).await? {
        if let (Some(fix), "home" | "original") = (&remark.fix, remark.check) {
            tracing::warn!(module = "process", action = "sys_whereabouts", "{}", remark.message);
            let text = format!("checkout-backend: {}\n  -> {fix}\n", remark.message);
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
    }
    if let Some(restored) = closed::restored(app).await? {
        tracing::warn!(
            module = "process",
            action = "sys_closed",
            "restored from a backup of {}",
            restored.taken_at
        );
        let text = format!(
            "checkout-backend: this database was restored from a backup of {}. Nothing is sold until Stripe has been \
             asked about everything since: run `checkout-backend reconcile`, or wait: the service does so itself.\n",
            restored.taken_at
        );
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
    Ok(())
}

/// Says where everything is. On standard error, since standard output is the log; on a terminal both are one, so
/// it comes in one piece and after what was logged before.
fn greet(app: &App, simulator: Option<&Sim>, first: FirstStart) {
    tracing::info!(module = "process", action = "sys_startup", engine = app.store.engine(), "started");
    if matches!(first, FirstStart::Nobody) {
        tracing::warn!(module = "accounts", action = "accounts.none", "nobody can sign in");
    }
    telemetry::flush(Duration::from_millis(200));
    let port = simulator.map(|simulator| simulator.addr().port());
    // Nobody may be listening.
    let _ = std::io::stderr().lock().write_all(banner(app, port, first).as_bytes());
}

fn banner(app: &App, simulator_port: Option<u16>, first: FirstStart) -> String {
    let config = &app.config;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    line("Storefront", &format!("{}/", config.app_url));
    line("Dashboard", &format!("{}/dashboard", config.app_url));
    match simulator_port {
        Some(port) => {
            line("Stripe", &format!("simulated at http://localhost:{port} (no money moves)"));
            line("", "pay with card 4242 4242 4242 4242, any future date, any CVC");
        }
        None if config.livemode() => line("Stripe", "live: payments are real"),
        None if config.is_production() => {
            line("Stripe", "TEST MODE: no payment is real, since STRIPE_SECRET_KEY is a test key");
        }
        None => line("Stripe", "in test mode (no money moves)"),
    }
    line("Data", &app.store.place());
    // A made-up password is told at the first start and never again: it is kept nowhere.
    match first {
        FirstStart::Nothing => {
            line("Sign in", &format!("{}/login", config.app_url));
            line("", "A lost password: `checkout-backend users set-password ADDRESS` sets another.");
        }
        FirstStart::Seeded => {
            line("Sign in", &format!("{}/login as the ADMIN of ADMIN_EMAIL", config.app_url))
        }
        FirstStart::Generated { email, password } => {
            line("Sign in", &format!("{}/login", config.app_url));
            line("", &format!("as        {email}"));
            line("", &format!("password  {}", password.expose_secret()));
            line("", "Keep it: it is shown this once. `users set-password` sets another.");
        }
        FirstStart::Nobody => line(
            "Sign in",
            "nobody can yet: run `checkout-backend users create you@your-company.com --role ADMIN`",
        ),
    }
    format!("checkout-backend {} is ready.\n{text}", env!("CARGO_PKG_VERSION"))
}
