//! Who sells here, for whoever shows it: kept in the database, and for a moment in memory, since every page of the
//! storefront asks. What may be said is `domain::business`.

use super::accounts::Actor;
use crate::app::App;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clock::Timestamp;
use domain::Fault;
use domain::business::colour::{Colour, Palette, Theme};
use domain::business::logo::{Kind, Logo};
use domain::business::{Business, Draft};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Store, StoreError, Tx};
use url::Url;

/// The name under which it is kept among the settings.
const NAME: &str = "business";
/// The name under which its logo is kept among the files.
const LOGO: &str = "logo";
/// After so long the database is asked again: another instance may have changed it.
const FRESH: Duration = Duration::from_secs(5);
/// How long a page waits for who sells here before it shows what was known last.
const PATIENCE: Duration = Duration::from_millis(500);

/// A business as pages show it.
#[derive(Debug)]
pub struct Shop {
    /// What it says.
    pub business: Business,
    /// What its logo is, if it has one.
    pub logo: Option<Mark>,
    /// The style sheet with its colour, if it has one.
    pub sheet: Option<Sheet>,
}

/// What a logo is, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// The beginning of the bytes' SHA-256: its address changes with it.
    pub version: String,
    /// Its media type.
    pub r#type: String,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// How many bytes it has.
    pub bytes: usize,
}

impl Mark {
    fn of(logo: &Logo) -> Self {
        Self {
            version: version(logo.bytes()),
            r#type: logo.kind().media_type().to_owned(),
            width: logo.width(),
            height: logo.height(),
            bytes: logo.bytes().len(),
        }
    }

    /// What its file is called.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("logo.{}", Kind::parse(&self.r#type).map_or("bin", Kind::extension))
    }

    /// Where browsers find it.
    #[must_use]
    pub fn href(&self) -> String {
        format!("/assets/{}/{}", self.version, self.file_name())
    }
}

/// A colour as a style sheet, over the one of the program.
#[derive(Debug)]
pub struct Sheet {
    /// The beginning of its SHA-256.
    pub version: String,
    /// The style sheet.
    pub css: String,
}

impl Sheet {
    /// What its file is called.
    pub const FILE_NAME: &'static str = "accent.css";

    fn of(accent: Colour) -> Self {
        let rule = |theme| {
            let Palette { act, act_strong, on_act, act_soft } = accent.palette(theme);
            format!(":root{{--act:{act};--act-strong:{act_strong};--on-act:{on_act};--act-soft:{act_soft}}}")
        };
        let (light, dark) = (rule(Theme::Light), rule(Theme::Dark));
        let css = format!("{light}\n@media (prefers-color-scheme:dark){{{dark}}}\n");
        Self { version: version(css.as_bytes()), css }
    }

    /// Where browsers find it.
    #[must_use]
    pub fn href(&self) -> String {
        format!("/assets/{}/{}", self.version, Self::FILE_NAME)
    }
}

fn version(bytes: &[u8]) -> String {
    let mut version = hex::encode(Sha256::digest(bytes));
    version.truncate(16);
    version
}

/// What was known last.
#[derive(Debug, Default)]
pub struct Board(Mutex<Posted>);

#[derive(Debug, Default)]
struct Posted {
    asked_at: Option<Timestamp>,
    shop: Option<Arc<Shop>>,
    /// The logo's file with its version, once somebody wanted it.
    file: Option<(String, Arc<Logo>)>,
}

impl Board {
    /// A board with what the database says now; an empty one if that cannot be read.
    pub async fn first(store: &Store, now: Timestamp) -> Self {
        match find(store).await {
            Ok(shop) => {
                let (asked_at, shop) = (Some(now), shop.map(Arc::new));
                Self(Mutex::new(Posted { asked_at, shop, file: None }))
            }
            // Whatever keeps it from being read keeps the program from serving, and is told there.
            Err(_) => Self::default(),
        }
    }

    fn posted(&self) -> MutexGuard<'_, Posted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody is to ask the database: one of all that come at once.
    fn is_due(&self, now: Timestamp) -> bool {
        let mut posted = self.posted();
        let due = posted.asked_at.is_none_or(|at| now < at || now.since(at) >= FRESH);
        if due {
            posted.asked_at = Some(now);
        }
        due
    }

    fn post(&self, shop: Option<Shop>) {
        self.posted().shop = shop.map(Arc::new);
    }
}

/// Who sells here, as it was known a moment ago. Never fails: a page that cannot say who sells here still sells.
pub async fn shop(app: &App) -> Option<Arc<Shop>> {
    if app.board.is_due(app.clock.now()) {
        match tokio::time::timeout(PATIENCE, find(&app.store)).await {
            Ok(Ok(shop)) => app.board.post(shop),
            Ok(Err(error)) => {
                tracing::warn!(module = "business", action = "business.unreadable", "{error}");
            }
            Err(_) => tracing::warn!(module = "business", action = "business.unreadable", "took too long"),
        }
    }
    app.board.posted().shop.clone()
}

/// What customers see as the name: the business's, and in production at least the host that they typed.
#[must_use]
pub fn fallback_name(app: &App) -> Option<String> {
    let url = Url::parse(&app.config.app_url).ok().filter(|_| app.config.is_production())?;
    url.host_str().map(str::to_owned)
}

/// Who sells here, as the database says now.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(store: &Store) -> Result<Option<Shop>, StoreError> {
    let mut tx = store.read().await?;
    let (body, about) = (tx.settings(&[NAME]).await?.remove(NAME), tx.about_file(LOGO).await?);
    tx.rollback().await?;
    let corrupt = |place| StoreError::Corrupt { place, value: NAME.to_owned() };
    let Some(body) = body else { return Ok(None) };
    let draft: Draft = serde_json::from_str(&body).map_err(|_| corrupt("settings.body"))?;
    let business = draft.parse().map_err(|_| corrupt("settings.body"))?;
    let logo = match about {
        Some(about) => Some(serde_json::from_str(&about).map_err(|_| corrupt("files.about"))?),
        None => None,
    };
    let sheet = business.accent().map(Sheet::of);
    Ok(Some(Shop { business, logo, sheet }))
}

/// The logo's file.
///
/// # Errors
/// Any [`StoreError`].
pub async fn logo(app: &App) -> Result<Option<(Mark, Arc<Logo>)>, StoreError> {
    let Some(mark) = shop(app).await.and_then(|shop| shop.logo.clone()) else { return Ok(None) };
    if let Some((version, logo)) = &app.board.posted().file
        && *version == mark.version
    {
        return Ok(Some((mark, logo.clone())));
    }
    let mut tx = app.store.read().await?;
    let body = tx.file(LOGO).await?;
    tx.rollback().await?;
    let Some(body) = body else { return Ok(None) };
    let logo = STANDARD.decode(body).ok().and_then(|bytes| Logo::parse(bytes).ok());
    let corrupt = || StoreError::Corrupt { place: "files.body", value: LOGO.to_owned() };
    let logo = Arc::new(logo.ok_or_else(corrupt)?);
    // It may be newer than what is on the board.
    let mark = Mark::of(&logo);
    app.board.posted().file = Some((mark.version.clone(), logo.clone()));
    Ok(Some((mark, logo)))
}

/// What becomes of the logo.
#[derive(Debug, Clone)]
pub enum LogoChange {
    /// It stays, or there is none.
    Keep,
    /// It goes.
    Remove,
    /// This one comes in its place.
    Set(Box<Logo>),
}

/// Why a part of a business was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// What would be wrong with it.
    #[error("{} members cannot be used", .0.len())]
    Faults(Vec<Fault>),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps a business in place of the one before. The last of two who set it at once is right, as with all settings.
///
/// # Errors
/// Any [`StoreError`].
pub async fn save(app: &App, business: &Business, logo: LogoChange, by: Actor<'_>) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    let before = lock(&mut tx).await?;
    write(app, tx, before, business, logo, by).await
}

/// Changes a part of a business, in what it is by now: two who change different parts at once both keep theirs.
///
/// # Errors
/// A [`ChangeError`].
pub async fn change(
    app: &App,
    edit: impl FnOnce(&mut Draft),
    logo: LogoChange,
    by: Actor<'_>,
) -> Result<(), ChangeError> {
    let mut tx = app.store.begin().await?;
    let before = lock(&mut tx).await?;
    let mut draft = before.clone();
    edit(&mut draft);
    let business = draft.parse().map_err(ChangeError::Faults)?;
    Ok(write(app, tx, before, &business, logo, by).await?)
}

async fn lock(tx: &mut Tx) -> Result<Draft, StoreError> {
    let before = tx.lock_setting(NAME).await?;
    Ok(before.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default())
}

async fn write(
    app: &App,
    mut tx: Tx,
    mut old: Draft,
    business: &Business,
    logo: LogoChange,
    by: Actor<'_>,
) -> Result<(), StoreError> {
    let now = app.clock.now();
    let about = tx.about_file(LOGO).await?;
    let mut new = business.draft();
    let mut changed: Vec<&str> = Draft::MEMBERS.to_vec();
    changed.retain(|name| old.member(name) != new.member(name));
    if !changed.is_empty() {
        tx.save_setting(NAME, &serde_json::to_string(&new).unwrap_or_default(), now).await?;
    }
    match logo {
        LogoChange::Remove if about.is_some() => {
            tx.drop_file(LOGO).await?;
            changed.push("logo");
        }
        LogoChange::Set(logo) => {
            let mark = serde_json::to_string(&Mark::of(&logo)).unwrap_or_default();
            if about.as_ref() != Some(&mark) {
                tx.save_file(LOGO, &mark, &STANDARD.encode(logo.bytes()), now).await?;
                changed.push("logo");
            }
        }
        LogoChange::Keep | LogoChange::Remove => {}
    }
    if !changed.is_empty() {
        tx.audit(now, by.name, "business.changed", NAME, &changed.join(", "), by.request_id).await?;
    }
    tx.commit().await?;
    app.board.post(find(&app.store).await?);
    Ok(())
}

/// At the first start, what `BUSINESS_FILE` says; never over what somebody has set since. Whether it was taken.
///
/// # Errors
/// Any [`StoreError`].
pub async fn first_start(app: &App) -> Result<bool, StoreError> {
    let Some(first) = &app.config.business else { return Ok(false) };
    if find(&app.store).await?.is_some() {
        return Ok(false);
    }
    let logo = first.logo.clone().map_or(LogoChange::Keep, |logo| LogoChange::Set(Box::new(logo)));
    save(app, &first.business, logo, Actor::SYSTEM).await?;
    tracing::info!(
        module = "business",
        action = "business.taken",
        "who sells here was taken from BUSINESS_FILE"
    );
    Ok(true)
}
