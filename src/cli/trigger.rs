//! `trigger`: makes an event happen in the simulated Stripe, which delivers it to the running service.

use super::simulator::{self, Noted};
use crate::config::Place;
use std::process::ExitCode;
use stripe_sim::cli::{TriggerArgs, USUAL_PORT};

/// How it is used.
pub const EXAMPLE: &str = "Examples:\n  checkout-backend trigger\n  checkout-backend trigger checkout.session.completed \\\n    --override checkout_session:client_reference_id=b_1";

/// Sends a signed event of that kind to the running service (simulated Stripe only).
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    trigger: TriggerArgs,
    /// Where the simulated Stripe listens; without it, that of the service which runs in this folder, else 12111.
    #[arg(long, env = "SIMULATOR_PORT")]
    port: Option<u16>,
}

/// Finds the simulated Stripe of this folder and triggers the event there.
///
/// # Errors
/// The simulator cannot be reached.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(done) = args.trigger.answer_alone()? {
        return Ok(done);
    }
    let port = match args.port.filter(|port| *port != 0) {
        Some(port) => port,
        None => match simulator::look(&Place::from_env()?.data_dir) {
            Noted::Runs(port) => port,
            Noted::Never => USUAL_PORT,
            Noted::Stopped => anyhow::bail!(simulator::NOT_RUNNING),
        },
    };
    stripe_sim::cli::trigger(args.trigger, port).await
}
