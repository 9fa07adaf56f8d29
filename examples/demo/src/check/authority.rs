//! Who has authority, asked of the databases themselves and of nobody else.

use std::fmt;

use tokio_postgres::Client;

use super::causes;

/// Whose database accepts the application's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authority {
    Blue,
    Green,
    Nobody,
    Both,
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Authority::Blue => "blue",
            Authority::Green => "green",
            Authority::Nobody => "nobody",
            Authority::Both => "both",
        })
    }
}

/// A side has it iff its own newest epoch row names it.
///
/// # Errors
/// If a side cannot be read.
pub(crate) async fn authority(blue: &Client, green: &Client) -> Result<Authority, String> {
    let on_blue = newest(blue).await? == "source";
    let on_green = newest(green).await? == "target";
    Ok(match (on_blue, on_green) {
        (true, false) => Authority::Blue,
        (false, true) => Authority::Green,
        (false, false) => Authority::Nobody,
        (true, true) => Authority::Both,
    })
}

async fn newest(client: &Client) -> Result<String, String> {
    let said = |e: tokio_postgres::Error| format!("asking who has authority: {}", causes(&e));
    let row = client
        .query_opt("SELECT authority::text FROM changeover.epoch ORDER BY epoch DESC LIMIT 1", &[])
        .await
        .map_err(said)?;
    row.map_or(Ok("none".to_owned()), |row| row.try_get(0).map_err(said))
}
