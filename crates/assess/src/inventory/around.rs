//! What files, hosts and orchestrators tell about the surroundings of a move.

use serde::{Deserialize, Serialize};

use crate::fact::Fact;

/// Something that was seen, and where: `WORKER_CRON=1` in `compose.yaml:12`. No secrets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sighting {
    /// What.
    pub what: String,
    /// A file and line, or a host and process.
    pub place: String,
}

/// Each list is what was seen; an empty one means that somebody looked and there is none. What
/// nobody looked at is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Around {
    /// Hosts or addresses of the old side, written into configuration.
    pub hard_coded: Fact<Vec<Sighting>>,
    /// Volumes and folders in which services keep state of their own.
    pub local_state: Fact<Vec<Sighting>>,
    /// Workers, timers and cron jobs that would run on both sides.
    pub workers: Fact<Vec<Sighting>>,
    /// Caches and queues that services share.
    pub shared_stores: Fact<Vec<Sighting>>,
    /// Resources of a pipeline (Terraform, CloudFormation) that decide where traffic goes.
    pub switch_owners: Fact<Vec<Sighting>>,
    /// Autoscalers that may shrink a side, with their minimum.
    pub autoscalers: Fact<Vec<Sighting>>,
    /// Passwords and tokens in clear text: the name and the place, never the value.
    pub credentials: Fact<Vec<Sighting>>,
    /// Calls to parties outside, which may have allow-lists.
    pub third_parties: Fact<Vec<Sighting>>,
    /// Upstreams or databases of either side that no metrics are gathered of.
    pub unmonitored: Fact<Vec<Sighting>>,
    /// Services whose version differs between the sides.
    pub version_differences: Fact<Vec<Sighting>>,
}

impl Default for Around {
    fn default() -> Self {
        Around {
            hard_coded: Fact::unasked(),
            local_state: Fact::unasked(),
            workers: Fact::unasked(),
            shared_stores: Fact::unasked(),
            switch_owners: Fact::unasked(),
            autoscalers: Fact::unasked(),
            credentials: Fact::unasked(),
            third_parties: Fact::unasked(),
            unmonitored: Fact::unasked(),
            version_differences: Fact::unasked(),
        }
    }
}
