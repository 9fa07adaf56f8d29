//! What holds where the plan says nothing.

use std::time::Duration;

use crate::canary::Canary;
use crate::model::{Data, Entrance, Environment, Gates, Objectives, Phase, Step, Tablespaces};

/// Attempts of a cutover, and the time between them.
pub(crate) const CUTOVER: (u32, Duration) = (5, Duration::from_secs(10));

/// The defaults of `objectives`.
pub(crate) fn objectives() -> Objectives {
    Objectives {
        write_pause: Duration::from_millis(500),
        error_rate: None,
        latency_p99: None,
        cost_ceiling: None,
        deadline: None,
    }
}

/// The defaults of `data`.
pub(crate) fn data() -> Data {
    Data {
        include: Vec::new(),
        exclude: Vec::new(),
        copy_jobs: 4,
        tablespaces: Tablespaces::Keep,
        sequence_margin: 10_000,
        type_numbers_budget: 20_000_000,
        reverse_keep: Duration::from_secs(72 * 3600),
    }
}

/// When a request is decided.
pub(crate) const DECIDE_AFTER: Duration = Duration::from_secs(1);

/// For so long guards and objectives act when everything has moved. Without requests there is nothing
/// that they would look at.
const SOAK: Duration = Duration::from_secs(600);

/// The phases of a plan that names none.
pub(crate) fn phases(source: &Environment, target: &Environment, gates: &Gates) -> Vec<Phase> {
    let data = source.postgres.is_some() && target.postgres.is_some();
    let http = source.http.is_some() && target.http.is_some() && gates.http.is_some();
    // A target's application with a database of its own can write nothing before the cutover.
    let canary = http && (!data || gates.postgres.is_some());
    let (attempts, retry_after) = CUTOVER;
    let plan = [
        ("copy", data, vec![Step::Replicate, Step::Verify]),
        ("canary", canary, vec![Step::Canary(Canary::default())]),
        (
            "cutover",
            data || http,
            [
                data.then_some(Step::Cutover { attempts, retry_after }),
                http.then_some(Step::Shift { target_permille: 1000, route: None }),
            ]
            .into_iter()
            .flatten()
            .collect(),
        ),
        ("verify", data, vec![Step::Verify]),
        ("watch", http, vec![Step::Soak { for_: SOAK }]),
    ];
    let wanted = plan.into_iter().filter(|(_, wanted, _)| *wanted);
    let phase =
        |name: &str, steps| Phase { name: name.to_owned(), entrance: Entrance::default(), steps };
    wanted.map(|(name, _, steps)| phase(name, steps)).collect()
}
