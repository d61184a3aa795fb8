//! Running the simulated Stripe until it is interrupted.

use super::{MISUSE, print};
use crate::account::{self, COLOR, Logo};
use crate::{API_VERSION, Faults, Sim, SimConfig, WebhookTarget, versions};
use anyhow::Context;
use clock::{Clock, Timestamp};
use secrecy::SecretString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How to run it.
#[derive(Debug, clap::Args)]
pub struct SimulateArgs {
    /// Where to listen; 0 takes a free port.
    #[arg(long, default_value_t = 12111)]
    port: u16,
    /// The address to listen on. The control page is for this machine only: change it only inside a container.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Base of the links to the payment page, if browsers reach it by another address.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Keeps the state in this file, so that it survives a restart.
    #[arg(long, value_name = "FILE")]
    data_file: Option<PathBuf>,
    /// Where to deliver events; may be given several times.
    #[arg(long, value_name = "URL")]
    webhook_url: Vec<String>,
    /// Signing secret of the endpoints; several sign together, as while one is rolled. Made up if not given.
    #[arg(long, value_name = "SECRET")]
    webhook_secret: Vec<String>,
    /// Kinds of events to deliver, such as checkout.session.*; all if not given.
    #[arg(long, value_name = "KIND")]
    webhook_event: Vec<String>,
    /// What the faults go by; printed if made up, so that a run can be repeated.
    #[arg(long)]
    seed: Option<u64>,
    /// A fault, such as duplicate=50, delay=500 or server-error=10; may be given several times.
    #[arg(long, value_name = "NAME[=VALUE]")]
    fault: Vec<String>,
    /// How long delayed payment methods take, in seconds of the simulator's clock.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    settle_after: u64,
    /// The account's API version: for requests that send no Stripe-Version, and for events.
    #[arg(long, value_name = "VERSION", default_value = API_VERSION)]
    api_version: String,
    /// The business's name on the payment page.
    #[arg(long, value_name = "NAME", default_value = "Simulated Stripe")]
    business_name: String,
    /// The colour of its buttons, such as #0074d4.
    #[arg(long, value_name = "#RRGGBB", default_value = COLOR)]
    brand_color: String,
    /// Its logo: a PNG, JPEG, GIF or WebP of at most 512 KiB.
    #[arg(long, value_name = "FILE")]
    logo: Option<PathBuf>,
    /// No line for each request, event and delivery.
    #[arg(long, short)]
    quiet: bool,
    /// Stops the clock at this unix second; the control API moves it.
    #[arg(long, value_name = "UNIX")]
    freeze_at: Option<i64>,
}

/// Runs until interrupted. What a program needs to know goes to stdout, as `NAME=value`.
///
/// # Errors
/// The port is taken, or the data file cannot be read.
pub async fn simulate(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    let mut faults = Faults::default();
    for text in &args.fault {
        if let Err(mistake) = faults.add(text) {
            eprintln!("--fault {text}: {mistake}");
            return Ok(ExitCode::from(MISUSE));
        }
    }
    if let Some(blank) =
        args.webhook_secret.iter().find(|secret| secret.trim() != secret.as_str() || secret.is_empty())
    {
        eprintln!("--webhook-secret: {blank:?} is empty or has blanks around it; it would never verify");
        return Ok(ExitCode::from(MISUSE));
    }
    if let Some(url) = args.webhook_url.iter().find(|url| !is_web(url)) {
        eprintln!("--webhook-url: {url} is not an http address");
        return Ok(ExitCode::from(MISUSE));
    }
    if !versions::is_version(&args.api_version) {
        eprintln!("--api-version: {:?} is no API version of Stripe, such as {API_VERSION}", args.api_version);
        return Ok(ExitCode::from(MISUSE));
    }
    if !account::is_color(&args.brand_color) {
        eprintln!("--brand-color: {:?} is no colour such as {COLOR}", args.brand_color);
        return Ok(ExitCode::from(MISUSE));
    }
    let logo = match args.logo.as_deref().map(logo).transpose() {
        Ok(logo) => logo,
        Err(why) => {
            eprintln!("--logo: {why}");
            return Ok(ExitCode::from(MISUSE));
        }
    };
    let secrets = match args.webhook_secret {
        given if given.is_empty() => vec![Sim::new_webhook_secret()],
        given => given,
    };
    let seed = args.seed.unwrap_or_else(rand::random);
    let clock =
        args.freeze_at.map_or_else(Clock::system, |at| Clock::frozen_at(Timestamp::from_unix_seconds(at)));
    let target = |url: String| WebhookTarget {
        url,
        secrets: secrets.iter().cloned().map(SecretString::from).collect(),
        enabled_events: args.webhook_event.clone(),
    };
    let sim = Sim::start(SimConfig {
        listen: SocketAddr::new(args.host, args.port),
        public_url: args.public_url,
        data_file: args.data_file,
        webhooks: args.webhook_url.into_iter().map(target).collect(),
        seed: Some(seed),
        clock,
        settle_after: Duration::from_secs(args.settle_after),
        faults,
        api_version: args.api_version,
        talk: !args.quiet,
        business_name: args.business_name,
        brand_color: args.brand_color,
        logo,
    })
    .await
    .context("the simulated Stripe cannot start")?;
    announce(&sim, &secrets, seed)?;
    interrupted().await;
    eprintln!("Stopping.");
    sim.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

fn announce(sim: &Sim, secrets: &[String], seed: u64) -> anyhow::Result<()> {
    let data = format!(
        "STRIPE_API_BASE={}\nSTRIPE_SECRET_KEY=sk_test_simulated\nSTRIPE_WEBHOOK_SECRET={}\nSIMULATOR_SEED={seed}\n",
        sim.base_url(),
        secrets.join(",")
    );
    print(data.as_bytes())?;
    eprintln!("Simulated Stripe on {}. Stop it with Ctrl-C.", sim.base_url());
    Ok(())
}

/// The largest logo that is read.
const MAX_LOGO_BYTES: usize = 512 * 1024;

fn logo(file: &Path) -> Result<Logo, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let kind = account::picture(&bytes).filter(|_| bytes.len() <= MAX_LOGO_BYTES);
    let kind = kind.ok_or_else(|| {
        format!("{} is no PNG, JPEG, GIF or WebP of at most {MAX_LOGO_BYTES} bytes", file.display())
    })?;
    Ok(Logo { kind, bytes: bytes.into() })
}

fn is_web(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Waits for Ctrl-C or the signal that asks a service to stop.
async fn interrupted() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}
