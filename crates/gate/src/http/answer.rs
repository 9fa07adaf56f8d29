//! What an upstream's head must be before it is passed on: framed in one way, and said truly.
//!
//! hyper reads an answer as RFC 9112, 6.3 wants it, and refuses several different lengths and
//! Transfer-Encoding in HTTP/1.0. What is left here is to tell the client the same: a length beside a
//! Transfer-Encoding is not the length, and codings other than `chunked` stay in the body, so they
//! stay in the head.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode, Version};

use super::head::strip_hop_by_hop;

/// Makes the head of an answer to this request fit for its client.
///
/// # Errors
/// If it cannot be passed on truly: why not.
pub(super) fn for_client<B>(
    answer: &mut Response<B>,
    method: &Method,
    client: Version,
) -> Result<(), String> {
    let status = answer.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err("it switched to a protocol that nobody asked for".to_owned());
    }
    let headers = answer.headers_mut();
    let codings = codings(headers)?;
    let length = length(headers)?;
    if headers.contains_key(header::TRANSFER_ENCODING) || status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH);
    } else if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    strip_hop_by_hop(headers);
    let bodiless = *method == Method::HEAD
        || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    if let Some(codings) = codings.filter(|_| !bodiless) {
        if client != Version::HTTP_11 {
            return Err(format!("Transfer-Encoding `{codings}` for a client of HTTP/1.0"));
        }
        let value = HeaderValue::try_from(format!("{codings}, chunked"));
        let value = value.map_err(|_| "an unreadable Transfer-Encoding".to_owned())?;
        headers.insert(header::TRANSFER_ENCODING, value);
    }
    *answer.version_mut() = Version::HTTP_11;
    Ok(())
}

/// The codings beside `chunked`, if there are any.
fn codings(headers: &HeaderMap) -> Result<Option<String>, String> {
    let mut all = Vec::new();
    for value in headers.get_all(header::TRANSFER_ENCODING) {
        let text = value.to_str().map_err(|_| "an unreadable Transfer-Encoding".to_owned())?;
        all.extend(text.split(',').map(str::trim).filter(|coding| !coding.is_empty()));
    }
    all.retain(|coding| !coding.eq_ignore_ascii_case("identity"));
    all.pop_if(|last| last.eq_ignore_ascii_case("chunked"));
    if all.iter().any(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Err("Transfer-Encoding with `chunked` before another coding".to_owned());
    }
    Ok((!all.is_empty()).then(|| all.join(", ")))
}

/// The length that all of its lines agree on.
fn length(headers: &HeaderMap) -> Result<Option<u64>, String> {
    let mut found = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        let text = value.to_str().map_err(|_| "an unreadable Content-Length".to_owned())?;
        for part in text.split(',').map(str::trim) {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            let length = part.parse().ok().filter(|_| digits);
            let length: u64 = length.ok_or_else(|| format!("the Content-Length `{text}`"))?;
            if found.is_some_and(|known| known != length) {
                return Err("several different Content-Lengths".to_owned());
            }
            found = Some(length);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(
        status: u16,
        headers: &[(&'static str, &'static str)],
        method: &Method,
        client: Version,
    ) -> Result<Vec<String>, String> {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let mut answer = answer.body(()).map_err(|error| error.to_string())?;
        for_client(&mut answer, method, client)?;
        let line = |(name, value): (_, &HeaderValue)| {
            format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
        };
        Ok(answer.headers().iter().map(line).collect())
    }

    const TE: &str = "transfer-encoding";
    const CL: &str = "content-length";

    #[test]
    fn a_client_is_told_how_the_answer_is_framed() {
        let get = |headers: &[_]| passed(200, headers, &Method::GET, Version::HTTP_11);
        let fine = |lines: &[&str]| Ok(lines.iter().map(|it| (*it).to_owned()).collect());
        assert_eq!(get(&[(CL, "3"), (TE, "chunked")]), fine(&[]));
        assert!(get(&[(CL, "3"), (CL, "4"), (TE, "chunked")]).is_err());
        assert_eq!(get(&[(CL, "3")]), fine(&["content-length: 3"]));
        assert_eq!(get(&[(CL, "3, 3"), (CL, "3")]), fine(&["content-length: 3"]));
        assert_eq!(get(&[(TE, "gzip, chunked")]), fine(&["transfer-encoding: gzip, chunked"]));
        assert_eq!(
            get(&[(TE, "gzip"), (TE, "Chunked")]),
            fine(&["transfer-encoding: gzip, chunked"])
        );
        // Read to the end of the connection, and chunked by us.
        assert_eq!(get(&[(TE, "gzip")]), fine(&["transfer-encoding: gzip, chunked"]));
        assert_eq!(get(&[(TE, "identity"), (CL, "7")]), fine(&[]));
        for bad in ["chunked, gzip", "chunked, chunked", "chunked, identity, chunked"] {
            assert!(get(&[(TE, bad)]).is_err(), "{bad}");
        }
        for bad in ["3, 4", "+3", "-1", "0x3", "", "3,", "99999999999999999999"] {
            assert!(get(&[(CL, bad)]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn answers_without_a_body_keep_what_they_may_say() {
        let eleven = Version::HTTP_11;
        let head = |headers: &[_]| passed(200, headers, &Method::HEAD, eleven).unwrap();
        assert_eq!(head(&[(CL, "12345")]), ["content-length: 12345"]);
        assert!(head(&[(CL, "3"), (TE, "gzip, chunked")]).is_empty());
        assert!(passed(204, &[(CL, "3")], &Method::GET, eleven).unwrap().is_empty());
        let unchanged = passed(304, &[(CL, "3")], &Method::GET, eleven).unwrap();
        assert_eq!(unchanged, ["content-length: 3"]);
        assert!(passed(101, &[], &Method::GET, eleven).is_err());
    }

    #[test]
    fn an_old_client_gets_no_coding_it_cannot_know() {
        let old = |headers: &[_]| passed(200, headers, &Method::GET, Version::HTTP_10);
        assert!(old(&[(TE, "gzip, chunked")]).is_err());
        assert_eq!(old(&[(TE, "chunked"), (CL, "3")]), Ok(vec![]));
    }
}
