//! `explain`: the whole story of a booking, in words.

use super::{open, print};
use crate::config::Config;
use crate::flow::explain;
use domain::code::Code;
use domain::ids::BookingId;
use domain::lang::Lang;
use std::process::ExitCode;

/// How it is used.
pub const EXAMPLE: &str =
    "Example:\n  checkout-backend explain 01890a5d-ac96-774b-bcce-b302099a8057 --lang fr";

/// The arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The booking's code or id, its session's, or the id of an event about it
    booking: String,
    /// fr or en
    #[arg(long, value_parser = lang, default_value = "en")]
    lang: Lang,
}

fn lang(text: &str) -> Result<Lang, String> {
    Lang::parse(text).ok_or_else(|| "give fr or en".to_owned())
}

/// Prints the story.
///
/// # Errors
/// What the database says.
pub async fn run(args: Args, config: Config) -> anyhow::Result<ExitCode> {
    let app = open::app(config).await?;
    let mut tx = app.store.read().await?;
    let by_code = match Code::parse(&args.booking) {
        Some(code) => tx.booking_by_code(code).await?,
        None => None,
    };
    let booking = match BookingId::parse(&args.booking) {
        Ok(id) if tx.booking(id).await?.is_some() => Some(id),
        _ if by_code.is_some() => by_code,
        _ => match tx.entry(&args.booking).await? {
            Some(entry) => entry.booking_id,
            None => match domain::ids::SessionId::parse(&args.booking) {
                Ok(session) => tx.booking_of_session(&session).await?.map(|(id, _)| id),
                Err(_) => None,
            },
        },
    };
    tx.rollback().await?;
    let story = match booking {
        Some(id) => explain::story(&app.store, id, args.lang, &app.config.timezone).await?,
        None => None,
    };
    match story {
        Some(story) => print(format!("{}\n", story.lines().join("\n")).as_bytes()),
        None => {
            eprintln!("No booking matches {}.", args.booking);
            Ok(ExitCode::FAILURE)
        }
    }
}
