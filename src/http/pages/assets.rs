//! Style, script and icon: inside the program, kept by browsers for ever under an address that
//! changes with the content.

use crate::app::Shared;
use crate::flow::business::{self, Sheet};
use crate::http::error::Problem;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

struct Asset {
    name: &'static str,
    content_type: &'static str,
    body: &'static str,
    /// The beginning of the content's SHA-256.
    version: String,
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        asset("app.css", "text/css; charset=utf-8", include_str!("../../../assets/app.css")),
        asset("app.js", "text/javascript; charset=utf-8", include_str!("../../../assets/app.js")),
        asset("icon.svg", "image/svg+xml", include_str!("../../../assets/icon.svg")),
    ]
});

fn asset(name: &'static str, content_type: &'static str, body: &'static str) -> Asset {
    let mut version = hex::encode(Sha256::digest(body));
    version.truncate(16);
    Asset { name, content_type, body, version }
}

/// Where pages find a file.
#[must_use]
pub fn href(name: &str) -> String {
    let version = ASSETS.iter().find(|asset| asset.name == name).map_or("-", |asset| &asset.version);
    format!("/assets/{version}/{name}")
}

/// Where browsers look for an icon that no page named.
pub async fn favicon() -> Redirect {
    Redirect::permanent(&href("icon.svg"))
}

/// What search engines may look at: the storefront.
pub async fn robots() -> Response {
    const RULES: &str = "User-agent: *\nDisallow: /dashboard\nDisallow: /login\nDisallow: /success\nDisallow: /cancel\n\
                         Disallow: /b/\nDisallow: /api/\n";
    let mut response = RULES.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    response
}

/// Serves a file. Under an address of another content it is served all the same, but not kept: a page
/// from before an upgrade may still ask for it.
pub async fn serve(
    State(app): State<Shared>,
    Path((version, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) {
        let body = Bytes::from_static(asset.body.as_bytes());
        return Ok(file(&headers, &version, &asset.version, asset.content_type, body));
    }
    // What the shop has of its own.
    if name == Sheet::FILE_NAME
        && let Some(sheet) = business::shop(&app).await.as_ref().and_then(|shop| shop.sheet.as_ref())
    {
        let body = Bytes::from(sheet.css.clone());
        return Ok(file(&headers, &version, &sheet.version, "text/css; charset=utf-8", body));
    }
    if name.starts_with("logo.")
        && let Some((mark, logo)) = business::logo(&app).await?
        && mark.file_name() == name
    {
        let body = Bytes::copy_from_slice(logo.bytes());
        return Ok(file(&headers, &version, &mark.version, logo.kind().media_type(), body));
    }
    Ok(StatusCode::NOT_FOUND.into_response())
}

fn file(
    headers: &HeaderMap,
    asked: &str,
    version: &str,
    content_type: &'static str,
    body: Bytes,
) -> Response {
    let etag = format!("\"{version}\"");
    let kept = if asked == version { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response = if known.is_some_and(|known| known.split(',').any(|tag| tag.trim() == etag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        body.into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}
