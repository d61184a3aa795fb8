//! A form with a file, as browsers send it (RFC 7578): all of it is here already, so it is only taken apart.

use crate::http::error::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use axum::response::{IntoResponse, Response};

/// The most fields: ours have two.
const MAX_PARTS: usize = 8;

/// The fields of such a form, in their order.
#[derive(Debug)]
pub struct Parts(Vec<(String, Vec<u8>)>);

impl Parts {
    /// What was sent in a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, data)| data.as_slice())
    }
}

impl<S: Send + Sync> FromRequest<S> for Parts {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let boundary = kind.and_then(boundary_of).map(str::to_owned);
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        let parts = boundary.and_then(|boundary| parse(&boundary, &body));
        parts.map(Self).ok_or_else(|| Problem::fault("body", "must be a form with a file").into_response())
    }
}

/// The text that no part holds, by the content type.
fn boundary_of(content_type: &str) -> Option<&str> {
    let (essence, parameters) = content_type.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let named = |parameter: &'_ str| {
        let (name, _) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then_some(())
    };
    let parameter = parameters.split(';').find(|parameter| named(parameter).is_some())?;
    let value = parameter.split_once('=')?.1.trim().trim_matches('"');
    (1..=70).contains(&value.len()).then_some(value)
}

fn parse(boundary: &str, body: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let line = format!("--{boundary}");
    let between = format!("\r\n{line}");
    let mut rest = match body.strip_prefix(line.as_bytes()) {
        Some(rest) => rest,
        None => split(body, between.as_bytes())?.1,
    };
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Some(parts);
        }
        let (head, body) = split(rest.strip_prefix(b"\r\n")?, b"\r\n\r\n")?;
        let (data, after) = split(body, between.as_bytes())?;
        parts.push((name_of(std::str::from_utf8(head).ok()?)?.to_owned(), data.to_vec()));
        if parts.len() > MAX_PARTS {
            return None;
        }
        rest = after;
    }
}

/// The field's name in the head of a part. Our own have no quotes in them.
fn name_of(head: &str) -> Option<&str> {
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    disposition.split(';').find_map(|parameter| parameter.trim().strip_prefix("name=\"")?.strip_suffix('"'))
}

/// What stands before and after the first occurrence.
fn split<'a>(bytes: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let start = bytes.windows(at.len()).position(|window| window == at)?;
    Some((bytes.get(..start)?, bytes.get(start + at.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_a_browser_is_taken_apart() {
        let kind = "multipart/form-data; boundary=----WebKitFormBoundaryX";
        assert_eq!(boundary_of(kind), Some("----WebKitFormBoundaryX"));
        assert_eq!(boundary_of("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\""), Some("a b"));
        for other in ["application/json", "multipart/mixed; boundary=x", "multipart/form-data; boundary="] {
            assert_eq!(boundary_of(other), None, "{other}");
        }
        let body = b"--x\r\nContent-Disposition: form-data; name=\"logo\"; filename=\"a;b.png\"\r\nContent-Type: \
            image/png\r\n\r\n\x89PNG\r\n--\r\n\r\n--x\r\ncontent-disposition: form-data; name=\"remove\"\r\n\r\nyes\r\n--x--\r\n";
        let parts = Parts(parse("x", body).unwrap());
        assert_eq!(parts.get("logo"), Some(&b"\x89PNG\r\n--\r\n"[..]));
        assert_eq!(parts.get("remove"), Some(&b"yes"[..]));
        assert_eq!(parts.get("filename"), None);
    }

    #[test]
    fn what_is_no_such_form_is_refused() {
        for body in [
            &b""[..],
            b"{}",
            b"--x",
            b"--x\r\n",
            b"--x\r\n\r\n\r\n--x--",
            b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--",
            b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nnever ends",
            b"--x\r\nContent-Disposition: form-data; name=\"\xff\"\r\n\r\na\r\n--x--",
        ] {
            assert!(parse("x", body).is_none(), "{:?}", String::from_utf8_lossy(body));
        }
        let part = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n";
        assert!(parse("x", format!("{}--x--", part.repeat(MAX_PARTS + 1)).as_bytes()).is_none());
    }
}
