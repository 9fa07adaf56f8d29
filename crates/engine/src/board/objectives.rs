//! The plan's objectives beside what was seen, as the board shows them: the report's yardstick.

use changeover_plan::{Objectives, Plan, show_duration, show_instant, show_percentage};
use changeover_run::{Standing, State};
use changeover_types::WallMs;

use crate::protocol::{ObjectiveStatus, RunStatus};

/// What is held against a run, and what of it only the run's state knows.
#[derive(Clone, Debug)]
pub(super) struct Yardstick {
    objectives: Objectives,
    moves_data: bool,
    done_at: Option<WallMs>,
    deadline_reached: bool,
}

impl Yardstick {
    pub(super) fn new(plan: &Plan) -> Yardstick {
        Yardstick {
            objectives: plan.objectives.clone(),
            moves_data: plan.moves_data(),
            done_at: None,
            deadline_reached: false,
        }
    }

    pub(super) fn note(&mut self, state: &State) {
        self.done_at = state.done_at;
        self.deadline_reached = state.control.deadline_reached;
    }

    /// Every objective of the plan; one that could not be measured yet has no answer.
    pub(super) fn measure(&self, status: &RunStatus) -> Vec<ObjectiveStatus> {
        let mut all = Vec::new();
        if self.moves_data {
            all.extend([rows(status), self.pause(status)]);
        }
        all.extend(self.objectives.error_rate.map(|limit| errors(limit, status)));
        all.extend(self.objectives.latency_p99.map(|limit| {
            let asked = format!("99 of 100 requests within {}", show_duration(limit));
            let name = "objectives.latency_p99";
            let guard = status.control.guards.iter().find(|guard| guard.name == name);
            let known = guard.filter(|guard| !guard.seen.is_empty());
            let seen = known.map(|guard| format!("{} in the last minute", guard.seen));
            let met = known.and_then(|guard| guard.is).and_then(|is| match is {
                Standing::Good => Some(true),
                Standing::Bad => Some(false),
                Standing::NoData => None,
            });
            ObjectiveStatus { name: "latency".to_owned(), asked, seen, met }
        }));
        all.extend(self.deadline());
        all
    }

    fn pause(&self, status: &RunStatus) -> ObjectiveStatus {
        let limit = self.objectives.write_pause;
        let ms = status.cutover.as_ref().and_then(|cutover| cutover.write_pause_ms_max);
        ObjectiveStatus {
            name: "write pause".to_owned(),
            asked: format!("at most {}", show_duration(limit)),
            seen: ms.map(|ms| format!("{ms} ms")),
            met: ms.map(|ms| u128::from(ms) <= limit.as_millis()),
        }
    }

    fn deadline(&self) -> Option<ObjectiveStatus> {
        let at = self.objectives.deadline.as_ref()?.at;
        let in_time = self.done_at.map(|done| done <= at);
        Some(ObjectiveStatus {
            name: "deadline".to_owned(),
            asked: show_instant(at),
            seen: self.done_at.map(|done| format!("done at {}", show_instant(done))),
            met: in_time.or(self.deadline_reached.then_some(false)),
        })
    }
}

fn rows(status: &RunStatus) -> ObjectiveStatus {
    let compared = status.verify.as_ref().filter(|verify| verify.complete);
    ObjectiveStatus {
        name: "data loss".to_owned(),
        asked: "none".to_owned(),
        seen: compared.map(|it| {
            format!("{} rows compared, {} different", it.rows_compared, it.rows_different)
        }),
        met: compared.map(|it| it.rows_different == 0),
    }
}

/// All clients of the gate count, whichever side answered: it is they whom the objective is for.
#[expect(clippy::cast_precision_loss, reason = "a share for a comparison")]
fn errors(limit: f64, status: &RunStatus) -> ObjectiveStatus {
    let gates = status.gates.as_ref().filter(|gates| gates.http_requests > 0);
    ObjectiveStatus {
        name: "errors".to_owned(),
        asked: format!("at most {} of the requests", show_percentage(limit)),
        seen: gates.map(|it| format!("{} of {}", it.http_errors, it.http_requests)),
        met: gates.map(|it| it.http_errors as f64 <= limit * it.http_requests as f64),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use changeover_plan::{Deadline, Outcome};

    use super::*;
    use crate::protocol::{CutoverStatus, GatesStatus, GuardStatus, VerifyStatus};

    fn yardstick() -> Yardstick {
        Yardstick {
            objectives: Objectives {
                write_pause: Duration::from_millis(500),
                error_rate: Some(0.01),
                latency_p99: Some(Duration::from_millis(250)),
                cost_ceiling: None,
                deadline: Some(Deadline { at: WallMs(10_000), on_reached: Outcome::Hold }),
            },
            moves_data: true,
            done_at: None,
            deadline_reached: false,
        }
    }

    fn met(yardstick: &Yardstick, status: &RunStatus) -> Vec<Option<bool>> {
        yardstick.measure(status).iter().map(|objective| objective.met).collect()
    }

    fn status(different: u64, pause_ms: u64, errors: u64, latency: Standing) -> RunStatus {
        let mut status = RunStatus::example();
        let compared = VerifyStatus { rows_compared: 7, complete: true, ..VerifyStatus::default() };
        status.verify = Some(VerifyStatus { rows_different: different, ..compared });
        let pause = Some(pause_ms);
        status.cutover = Some(CutoverStatus { write_pause_ms_max: pause, ..Default::default() });
        let gates = GatesStatus { http_requests: 1000, http_errors: errors, ..Default::default() };
        status.gates = Some(gates);
        status.control.guards = vec![GuardStatus {
            name: "objectives.latency_p99".to_owned(),
            is: Some(latency),
            seen: "250.0 ms".to_owned(),
            holds: false,
        }];
        status
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let mut nothing = RunStatus::example();
        (nothing.verify, nothing.cutover, nothing.gates) = (None, None, None);
        nothing.control.guards.clear();
        assert_eq!(met(&yardstick(), &nothing), [None; 5]);
        nothing.gates = Some(GatesStatus::default());
        nothing.verify = Some(VerifyStatus { rows_compared: 3, ..VerifyStatus::default() });
        assert_eq!(met(&yardstick(), &nothing), [None; 5], "half a comparison proves nothing");
    }

    #[test]
    fn each_is_met_up_to_its_limit_and_missed_beyond() {
        let mut yardstick = yardstick();
        yardstick.done_at = Some(WallMs(10_000));
        let good = status(0, 500, 10, Standing::Good);
        assert_eq!(met(&yardstick, &good), [Some(true); 5]);
        yardstick.done_at = Some(WallMs(10_001));
        let bad = status(1, 501, 11, Standing::Bad);
        assert_eq!(met(&yardstick, &bad), [Some(false); 5]);
        (yardstick.done_at, yardstick.deadline_reached) = (None, true);
        let unknown = status(1, 501, 11, Standing::NoData);
        let missed = Some(false);
        assert_eq!(met(&yardstick, &unknown), [missed, missed, missed, None, missed]);
    }
}
