//! Mirrored traffic: the gate copies and compares, we renew its lease and read its counts.

use std::time::Duration;

use changeover_checks::mirror::{judge, summary};
use changeover_plan::Mirror;
use changeover_routing::mirror::{MirrorOrder, MirrorStatus};
use tokio::time::{Instant, sleep};

use super::Found;
use crate::effects::Effects;
use crate::protocol::{CheckStatus, EventKind};
use crate::report::chain;

/// A gate that hears nothing for this long stops by itself.
const LEASE: Duration = Duration::from_secs(10);
/// How often the lease is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// A gate that does not answer for this long stops the run.
const GATE_PATIENCE: Duration = Duration::from_secs(30);

impl Effects {
    pub(super) async fn mirror(&self, mirror: &Mirror) -> Result<Found, String> {
        let gates = self.gates.as_ref().ok_or("the plan has no gate to mirror in")?;
        let order = MirrorOrder {
            id: self.nonce(),
            lease_ms: u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX),
            sample_of_10k: mirror.sample_of_10k,
            headers: mirror.headers.clone(),
            ignore: mirror.ignore.clone(),
        };
        let (mut begun, mut heard) = (Instant::now(), Instant::now());
        let mut last = MirrorStatus::default();
        while begun.elapsed() < mirror.lasts {
            match gates.mirror(order.clone()).await {
                Ok(status) => {
                    if status.seen < last.seen {
                        let text = "the gate was restarted and its counts are gone: the \
                                    mirroring begins again";
                        self.board.say(EventKind::Warning, text);
                        begun = Instant::now();
                    }
                    heard = Instant::now();
                    self.show_mirror(&status, begun.elapsed(), mirror.lasts);
                    last = status;
                }
                Err(e) if heard.elapsed() > GATE_PATIENCE => return Err(chain(&e)),
                Err(e) => {
                    self.board.say(EventKind::Warning, format!("trying again: {}", chain(&e)))
                }
            }
            sleep(RENEW_EVERY.min(mirror.lasts.saturating_sub(begun.elapsed()))).await;
        }
        let status = gates.stop_mirror(order.id).await.map_err(|e| chain(&e))?;
        let numbers = [
            ("seen", status.seen),
            ("copied", status.copied),
            ("dropped", status.dropped),
            ("compared", status.compared),
            ("unanswered", status.unanswered),
            ("differing", status.differing),
        ];
        let numbers = numbers.map(|(name, number)| (name.to_owned(), number)).into();
        Ok(Found { summary: summary(&status), cases: judge(mirror, &status), numbers })
    }

    fn show_mirror(&self, status: &MirrorStatus, elapsed: Duration, lasts: Duration) {
        let done = elapsed.as_secs_f64() / lasts.as_secs_f64().max(0.001);
        self.board.show_check(Some(CheckStatus {
            detail: summary(status),
            done_permille: Some((done.min(1.0) * 1000.0) as u16),
            eta_s: Some(lasts.saturating_sub(elapsed).as_secs()),
            ..CheckStatus::of("mirror")
        }));
    }
}
