//! Whether every role may do on the other side what it may do here: asked of both servers once the
//! objects are there.

use changeover_plan::Plan;
use changeover_postgres::access::{self, Loss};
use changeover_postgres::error::Result as PgResult;
use changeover_types::Side;

use super::Effects;
use crate::declared::{selection, users};

/// So many losses and statements are in the text; the file has all.
const SHOWN: usize = 5;

/// The statements, in the state folder.
const SCRIPT: &str = "access.sql";

/// Whether the plan accepts what roles lose.
pub(super) fn accepts_access(plan: &Plan) -> bool {
    let now = crate::now();
    plan.answers.waivers.iter().any(|it| it.id == "access" && it.until > now)
}

impl Effects {
    /// What roles would lose at the cutover.
    pub(super) async fn refused_on_target(&mut self) -> PgResult<Option<String>> {
        self.lost_access(Side::Source).await
    }

    /// What roles lose when authority leaves `from`, with the statements that give it to them;
    /// `None` if it is nothing, or accepted in the plan.
    pub(super) async fn lost_access(&mut self, from: Side) -> PgResult<Option<String>> {
        if accepts_access(&self.plan) {
            return Ok(None);
        }
        let (source, target) = self.both().await?;
        let (mut here, mut there) = match from {
            Side::Source => (source, target),
            Side::Target => (target, source),
        };
        let asked = access::asked(&mut here, &selection(&self.plan)?, &users(&self.plan)).await?;
        let may_here = access::read(&mut here, &asked).await?;
        let may_there = access::read(&mut there, &asked).await?;
        let to = from.other();
        let mut lost = access::of_roles(&may_here, &may_there, &there.config().database, to);
        let mut objects = access::losses(&asked, &may_here, &may_there, from);
        objects.retain(|it| !lost.iter().any(|of| of.membership && of.role == it.role));
        lost.extend(objects);
        if lost.is_empty() {
            return Ok(None);
        }
        let all: Vec<&str> =
            lost.iter().flat_map(|loss| &loss.statements).map(String::as_str).collect();
        let file = self.state_dir.join(SCRIPT);
        let written = std::fs::write(&file, all.join("\n") + "\n").is_ok();
        let script = written.then(|| format!(" (all of them: {})", file.display()));
        Ok(Some(format!(
            "roles would be refused on the {to}: {}. On the {to}: {}{}",
            shortened(&lost.iter().map(Loss::to_string).collect::<Vec<_>>(), "; "),
            shortened(&all, " "),
            script.unwrap_or_default()
        )))
    }
}

fn shortened<T: AsRef<str>>(all: &[T], between: &str) -> String {
    let mut shown: Vec<&str> = all.iter().take(SHOWN).map(AsRef::as_ref).collect();
    let more = format!("and {} more", all.len().saturating_sub(SHOWN));
    if all.len() > SHOWN {
        shown.push(&more);
    }
    shown.join(between)
}
