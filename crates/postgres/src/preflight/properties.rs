//! What belongs to the database itself, tried on the target: each statement in a transaction that is
//! rolled back.

use changeover_assess::register::{Findings, Thing};
use changeover_types::Side;

use super::Severity::{High, Medium};
use super::{Evidence, Fact, Trying};
use crate::error::Result;
use crate::schema::trial::Trial;
use crate::schema::{DatabaseProperties, NOT_GRANTED};
use crate::session::Session;

/// A property that the target's database cannot be given by our role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which, for people.
    pub property: String,
    /// The statement.
    pub statement: String,
    /// What the server said.
    pub said: String,
    /// The SQLSTATE; empty if the server only did nothing.
    pub sqlstate: String,
}

pub(super) async fn read(
    source: &mut Session,
    target: &mut Session,
    trying: Trying,
) -> Fact<Vec<Refused>> {
    match trying {
        Trying::Asked => tried(source, target).await.map_err(|e| e.to_string()),
        Trying::No | Trying::ReadOnly => Ok(Vec::new()),
    }
}

async fn tried(source: &mut Session, target: &mut Session) -> Result<Vec<Refused>> {
    let wanted = DatabaseProperties::read(source).await?;
    let changes = DatabaseProperties::read(target).await?.changes_to(&wanted);
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let mut trial = Trial::begin(target.config()).await?;
    let mut refused = Vec::new();
    for change in changes {
        if let Some(error) = trial.attempt(&change.set).await? {
            refused.push(Refused {
                property: change.property,
                statement: change.set,
                said: error.server_error().map_or_else(|| error.to_string(), ToString::to_string),
                sqlstate: error.sqlstate().unwrap_or_default().to_owned(),
            });
        }
    }
    let left = DatabaseProperties::read(trial.session()).await?.changes_to(&wanted);
    trial.end().await?;
    let silent = left.into_iter().filter(|it| !refused.iter().any(|of| of.statement == it.set));
    let silent: Vec<Refused> = silent
        .map(|change| Refused {
            property: change.property,
            statement: change.set,
            said: NOT_GRANTED.to_owned(),
            sqlstate: String::new(),
        })
        .collect();
    refused.extend(silent);
    Ok(refused)
}

pub(super) fn judge(evidence: &Evidence, findings: &mut Findings) {
    let topic = "what the target's database can be given";
    let Some(refused) =
        findings.known(Medium, "database_properties", Side::Target, topic, &evidence.properties)
    else {
        return;
    };
    findings.many(
        High,
        "database_properties",
        Side::Target,
        [
            "property of the database cannot be set by our role",
            "properties of the database cannot be set by our role",
        ],
        // A role that is missing is named as such.
        refused.iter().filter(|it| it.sqlstate != "42704").map(|it| {
            Thing::mended_by(format!("{} ({})", it.property, it.said), format!("{};", it.statement))
        }),
        [
            "the database would not be what the application finds on the source; they are tried \
             again until the cutover, which does not wait for them",
            "Run the statements on the target as the owner of the database or a superuser",
        ],
    );
}
