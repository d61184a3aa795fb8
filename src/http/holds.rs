//! `POST /api/holds/release`: an owner takes back what a stranger holds unpaid.

use super::auth::Signed;
use super::checkout::json_object;
use super::error::Problem;
use super::request::RequestId;
use crate::app::Shared;
use crate::flow::holds::{self, Pattern, Released};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use domain::Fault;

/// Releases every unpaid booking of one client address, one e-mail address, or one mail domain.
pub async fn release(
    State(app): State<Shared>,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Released>, Problem> {
    let members = json_object(&headers, &body)?;
    let text = |name: &str| members.get(name).map(|value| value.as_str().unwrap_or_default().trim());
    let pattern = match (text("address"), text("email")) {
        (Some(address), None) => {
            let message = "must be an IP address, as 203.0.113.7";
            Pattern::Address(address.parse().map_err(|_| Problem::fault("address", message))?)
        }
        (None, Some(email)) => Pattern::of_mail(email)
            .ok_or_else(|| Problem::fault("email", "must be an address, or *@ and a domain"))?,
        (None, None) | (Some(_), Some(_)) => {
            let message = "give either address or email";
            let fault = |path: &str| Fault::coded(path, "one_of", message);
            return Err(Problem::invalid(vec![fault("address"), fault("email")]));
        }
    };
    if let Some(unknown) = members.keys().find(|name| !matches!(name.as_str(), "address" | "email")) {
        return Err(Problem::fault(unknown, "is not known here"));
    }
    Ok(Json(holds::release(&app, &pattern, signed.actor(&request_id)).await?))
}
