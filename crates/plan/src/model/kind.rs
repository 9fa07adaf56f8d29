//! Kinds of steps.

use serde::{Deserialize, Serialize};

/// What a step does, without its settings. Written as in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Copy and follow.
    Replicate,
    /// Compare both sides.
    Verify,
    /// Ask questions.
    Smoke,
    /// Send requests at a rate.
    Load,
    /// Ask both sides what clients ask.
    Mirror,
    /// Start a command.
    Run,
    /// Send some requests to the target and judge it.
    Canary,
    /// Send all of them there and watch.
    BlueGreen,
    /// Route by route.
    Phased,
    /// Move authority.
    Cutover,
    /// Send this share of requests to the target.
    Shift,
    /// Let time pass.
    Soak,
    /// End the way back.
    Finish,
}

impl StepKind {
    /// Whether it moves requests or authority.
    #[must_use]
    pub fn moves(self) -> bool {
        use StepKind::{BlueGreen, Canary, Cutover, Phased, Shift};
        matches!(self, Canary | BlueGreen | Phased | Cutover | Shift)
    }

    /// As written in the plan.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            StepKind::Replicate => "replicate",
            StepKind::Verify => "verify",
            StepKind::Smoke => "smoke",
            StepKind::Load => "load",
            StepKind::Mirror => "mirror",
            StepKind::Run => "run",
            StepKind::Canary => "canary",
            StepKind::BlueGreen => "blue-green",
            StepKind::Phased => "phased",
            StepKind::Cutover => "cutover",
            StepKind::Shift => "shift",
            StepKind::Soak => "soak",
            StepKind::Finish => "finish",
        }
    }
}
