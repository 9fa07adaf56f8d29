//! Whether anybody listens at the upstreams of the plan.

use std::time::Duration;

use changeover_assess::Severity;
use changeover_assess::register::{Findings, Rule};
use changeover_plan::Plan;
use changeover_types::Side;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::settings;

/// As long as the gate waits for a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

pub(super) const UPSTREAM: &str = "upstream";

pub(super) const RULE: Rule = Rule {
    id: UPSTREAM,
    severity: Severity::Blocker,
    fires: "an upstream cannot be connected to",
    waivable: true,
};

/// An upstream that cannot be connected to, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusing {
    pub(crate) side: Side,
    pub(crate) url: String,
    pub(crate) why: String,
}

/// Connects to every upstream of these sides, all at the same time; sends nothing.
pub(crate) async fn refusing(plan: &Plan, sides: &[Side]) -> Vec<Refusing> {
    let mut asking = JoinSet::new();
    if plan.moves_http() {
        for side in sides {
            let http = plan.side(*side).http.as_ref();
            for url in http.map(|http| http.upstreams.as_slice()).unwrap_or_default() {
                let (side, url) = (*side, url.clone());
                asking.spawn(async move {
                    let why = connect(&url).await.err()?;
                    Some(Refusing { side, url, why })
                });
            }
        }
    }
    let mut found: Vec<Refusing> = asking.join_all().await.into_iter().flatten().collect();
    found.sort_by(|a, b| (a.side, &a.url).cmp(&(b.side, &b.url)));
    found
}

async fn connect(url: &str) -> Result<(), String> {
    let upstream = settings::upstream(url).map_err(|report| report.headline)?;
    let connecting = TcpStream::connect((upstream.host.as_str(), upstream.port));
    match timeout(CONNECT_WITHIN, connecting).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
            Err("refuses connections".to_owned())
        }
        Ok(Err(e)) => Err(format!("cannot be connected to: {e}")),
        Err(_) => {
            let seconds = CONNECT_WITHIN.as_secs();
            Err(format!("cannot be connected to: no answer within {seconds} s"))
        }
    }
}

/// In words for a run.
pub(crate) fn words(refusing: &[Refusing]) -> String {
    let one = |it: &Refusing| format!("the {}'s upstream {} {}", it.side, it.url, it.why);
    refusing.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// One finding a side.
pub(super) fn judge(refusing: &[Refusing], findings: &mut Findings) {
    for side in [Side::Source, Side::Target] {
        let mine = refusing.iter().filter(|it| it.side == side);
        findings.many(
            Severity::Blocker,
            UPSTREAM,
            side,
            ["upstream cannot be used", "upstreams cannot be used"],
            mine.map(|it| format!("{} {}", it.url, it.why)),
            [
                "clients whose requests are sent there would be answered with an error",
                "Start the application there, or correct `upstreams`; if it is started later, before \
                 the first request is sent there, accept `upstream` in `waivers`",
            ],
        );
    }
}
