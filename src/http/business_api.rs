//! `/api/settings/business`: who sells here. Everybody who is signed in may read it, administrators may change it.

use super::auth::Signed;
use super::checkout::json_object;
use super::error::Problem;
use super::request::RequestId;
use crate::app::Shared;
use crate::flow::business::{self, LogoChange, Mark, Shop};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::Fault;
use domain::business::logo::Logo;
use domain::business::{Draft, missing};
use serde_json::{Map, Value, json};

/// The longest body, in bytes: four texts as long as they may be, with every accent escaped, and a logo.
pub const MAX_BODY: usize = 512 * 1024;

/// Who sells here.
pub async fn show(State(app): State<Shared>) -> Result<Json<Value>, Problem> {
    Ok(Json(business_json(business::find(&app.store).await?.as_ref())))
}

/// Sets it, all of it; a logo that is not mentioned stays.
pub async fn set(
    State(app): State<Shared>,
    by: Signed,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let members = json_object(&headers, &body)?;
    let before = business::find(&app.store).await?;
    let known = before.as_ref().and_then(|shop| shop.logo.as_ref());
    let mut faults: Vec<Fault> = members
        .keys()
        // `missing` is what an answer of ours says, sent back.
        .filter(|name| {
            !Draft::MEMBERS.contains(&name.as_str()) && !["logo", "missing"].contains(&name.as_str())
        })
        .map(|name| Fault::new(name, "is not a member of a business"))
        .collect();
    let draft = read_draft(&members, &mut faults);
    let logo = read_logo(members.get("logo"), known).map_err(|fault| faults.push(fault)).ok();
    let business = draft.parse().map_err(|wrong| {
        // What is no text at all was told as that.
        let told: Vec<String> = faults.iter().map(|fault| fault.path.clone()).collect();
        faults.extend(wrong.into_iter().filter(|fault| !told.contains(&fault.path)));
    });
    let (Ok(business), Some(logo), true) = (business, logo, faults.is_empty()) else {
        return Err(Problem::invalid(faults));
    };
    business::save(&app, &business, logo, by.actor(&request_id)).await?;
    Ok(Json(business_json(business::find(&app.store).await?.as_ref())))
}

fn read_draft(members: &Map<String, Value>, faults: &mut Vec<Fault>) -> Draft {
    let mut draft = Draft::default();
    for name in Draft::MEMBERS {
        let Some(member) = draft.member(name) else { continue };
        match members.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => *member = Some(text.clone()),
            Some(_) => faults.push(Fault::coded(name, "type", "must be a text")),
        }
    }
    draft
}

/// A logo in a request: base64, with or without a `data:` in front. As an answer of ours tells of it, it stays.
fn read_logo(value: Option<&Value>, known: Option<&Mark>) -> Result<LogoChange, Fault> {
    let fault = || Fault::new("logo", "must be an image in base64, null, or as it was answered");
    match value {
        None => Ok(LogoChange::Keep),
        Some(Value::Null) => Ok(LogoChange::Remove),
        Some(Value::String(text)) => {
            let data = text.strip_prefix("data:").and_then(|data| data.split_once(";base64,"));
            let bytes = STANDARD.decode(data.map_or(text.as_str(), |(_, data)| data)).map_err(|_| fault())?;
            Ok(LogoChange::Set(Box::new(Logo::parse(bytes)?)))
        }
        Some(answered) => match known.is_some_and(|known| *answered == mark_json(known)) {
            true => Ok(LogoChange::Keep),
            false => Err(fault()),
        },
    }
}

fn mark_json(mark: &Mark) -> Value {
    json!({
        "url": mark.href(), "type": mark.r#type, "width": mark.width, "height": mark.height, "bytes": mark.bytes,
    })
}

fn business_json(shop: Option<&Shop>) -> Value {
    let draft = shop.map(|shop| shop.business.draft()).unwrap_or_default();
    let mut json = serde_json::to_value(draft).unwrap_or_default();
    json["logo"] = shop.and_then(|shop| shop.logo.as_ref()).map_or(Value::Null, mark_json);
    json["missing"] = missing(shop.map(|shop| &shop.business)).into();
    json
}
