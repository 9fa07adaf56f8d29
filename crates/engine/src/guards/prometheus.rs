//! The one figure that a query gives, asked of a Prometheus server.

use std::fmt::Write as _;

use changeover_run::Reading;
use serde::Deserialize;

use crate::http;

#[derive(Deserialize)]
struct Reply {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Scalar((f64, String)),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Series {
    value: (f64, String),
}

/// Asks once.
pub(super) async fn look(url: &str, query: &str) -> Reading {
    match ask(url, query, None).await {
        Ok((_, value)) => Reading::Figure { value, source: None },
        Err(why) => Reading::NoData { why: format!("{url}: {why}") },
    }
}

/// Asks the same of both sides for one instant, which the server itself names.
///
/// # Errors
/// In words: which side gave no figure, and why.
pub(crate) async fn pair(url: &str, queries: [&str; 2]) -> Result<(f64, f64), String> {
    let of = |side: &'static str| move |why: String| format!("{side}: {url}: {why}");
    let (at, source) = ask(url, queries[0], None).await.map_err(of("source"))?;
    let (_, target) = ask(url, queries[1], Some(at)).await.map_err(of("target"))?;
    Ok((source, target))
}

/// The figure and the instant that it is of, in seconds; at another instant than now, if given.
///
/// # Errors
/// In words: why there is no figure.
pub(crate) async fn ask(url: &str, query: &str, at: Option<f64>) -> Result<(f64, f64), String> {
    let at = at.map_or(String::new(), |at| format!("&time={at}"));
    let path = format!("/api/v1/query?query={}{at}", encoded(query));
    let answer = http::get(url, &path).await?;
    figure(answer.status, &answer.body)
}

fn figure(status: u16, body: &[u8]) -> Result<(f64, f64), String> {
    let reply: Reply = serde_json::from_slice(body)
        .map_err(|_| format!("answers {status}, and not as Prometheus does"))?;
    if reply.status != "success" {
        return Err(format!("answers {status}: {}", reply.error));
    }
    let number = |(at, text): &(f64, String)| {
        let value: f64 = text.parse().map_err(|_| format!("the figure is {text}"))?;
        if value.is_nan() { Err("the figure is NaN".to_owned()) } else { Ok((*at, value)) }
    };
    match reply.data {
        Some(Data::Scalar(value)) => number(&value),
        Some(Data::Vector(series)) => match series.as_slice() {
            [one] => number(&one.value),
            [] => Err("the query gives no series".to_owned()),
            several => Err(format!("the query gives {} series instead of one", several.len())),
        },
        Some(Data::Matrix(_) | Data::String(_)) | None => {
            Err("the query gives no single figure".to_owned())
        }
    }
}

/// Percent-encoding for a query's value.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").ok();
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_figure_or_why_not() {
        let asked = |body: &str| figure(200, body.as_bytes());
        let vector = |series: &str| {
            format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#
            )
        };
        let one = r#"{"metric":{"a":"b"},"value":[1435781451.781,"0.25"]}"#;
        assert_eq!(asked(&vector(one)), Ok((1_435_781_451.781, 0.25)));
        assert!(asked(&vector("")).unwrap_err().contains("no series"));
        assert!(asked(&vector(&format!("{one},{one}"))).unwrap_err().contains("2 series"));
        assert!(asked(&vector(&one.replace("0.25", "NaN"))).unwrap_err().contains("NaN"));
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"7"]}}"#;
        assert_eq!(asked(scalar), Ok((1.5, 7.0)));
        let bad = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        assert!(figure(400, bad.as_bytes()).unwrap_err().contains("400: parse error"));
        assert!(asked("<html>").unwrap_err().contains("not as Prometheus"));
    }

    #[test]
    fn a_query_travels_whole() {
        assert_eq!(encoded("up{a=\"ü\"} > 1"), "up%7Ba%3D%22%C3%BC%22%7D%20%3E%201");
    }
}
