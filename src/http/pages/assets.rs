//! Style, script and icon: inside the program, kept by browsers for ever under an address that
//! changes with the content.

use axum::extract::Path;
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
pub async fn serve(Path((version, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let etag = format!("\"{}\"", asset.version);
    let kept = if version == asset.version { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response = if known.is_some_and(|known| known.split(',').any(|tag| tag.trim() == etag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        asset.body.into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}
