//! Whether mirrored requests were answered alike.

use changeover_plan::Mirror;
use changeover_routing::mirror::{FieldCount, MirrorStatus};
use changeover_types::CheckCase;

/// So many fields are told as failures.
const FIELDS_TOLD: usize = 10;

/// One case for the differences, one for whether there was enough to judge from.
#[must_use]
pub fn judge(mirror: &Mirror, status: &MirrorStatus) -> Vec<CheckCase> {
    let MirrorStatus { seen, copied, dropped, compared, unanswered, differing, .. } = status;
    let share = *differing as f64 / (*compared).max(1) as f64;
    let mut failures = Vec::new();
    if share > mirror.at_most {
        failures.push(format!("{differing} of {compared} differ, {}", percent(share)));
        failures.extend(real(status).take(FIELDS_TOLD).map(told));
    }
    let name = format!("at most {} of the answers differ", percent(mirror.at_most));
    let differences = CheckCase { name, failures, ..CheckCase::default() };
    let name = format!("at least {} requests are compared", mirror.least);
    let short = (*compared < mirror.least).then(|| {
        format!(
            "only {compared} were: {seen} came, {copied} were copied, {dropped} dropped because \
             too many were under way, {unanswered} not answered twice by the source"
        )
    });
    let enough = CheckCase { name, failures: short.into_iter().collect(), ..CheckCase::default() };
    vec![enough, differences]
}

fn real(status: &MirrorStatus) -> impl Iterator<Item = &FieldCount> {
    status.fields.iter().filter(|field| !field.noise && field.candidate > 0)
}

fn told(field: &FieldCount) -> String {
    let times = field.candidate;
    format!("`{}` differs in {times}, for example in {}", field.field, field.example)
}

/// In one line.
#[must_use]
pub fn summary(status: &MirrorStatus) -> String {
    let noise = status.fields.iter().filter(|field| field.noise).count();
    let dropped = match status.dropped {
        0 => String::new(),
        dropped => format!(", {dropped} copies dropped"),
    };
    format!(
        "{} requests compared, {} differ, {noise} fields are noise{dropped}",
        status.compared, status.differing
    )
}

fn percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use changeover_plan::OnFail;

    use super::*;

    fn mirror() -> Mirror {
        Mirror {
            sample_of_10k: 500,
            lasts: Duration::from_secs(1),
            at_most: 0.01,
            least: 100,
            headers: vec![],
            ignore: vec![],
            on_fail: OnFail::Rollback,
        }
    }

    fn failures(status: &MirrorStatus) -> Vec<String> {
        judge(&mirror(), status).into_iter().flat_map(|case| case.failures).collect()
    }

    #[test]
    fn too_few_comparisons_are_no_success_and_differences_have_places() {
        let field = |field: &str, noise: bool| FieldCount {
            field: field.to_owned(),
            candidate: 3,
            source: 0,
            noise,
            example: format!("GET /p, {field}"),
        };
        let mut status = MirrorStatus { compared: 99, seen: 200, copied: 99, ..Default::default() };
        assert_eq!(
            failures(&status),
            ["only 99 were: 200 came, 99 were copied, 0 dropped because too many were under way, \
              0 not answered twice by the source"]
        );
        status.compared = 200;
        status.differing = 2;
        status.fields = vec![field("/price", false), field("/now", true)];
        assert_eq!(failures(&status), Vec::<String>::new());
        status.differing = 3;
        assert_eq!(
            failures(&status),
            ["3 of 200 differ, 1.5 %", "`/price` differs in 3, for example in GET /p, /price"]
        );
        assert_eq!(summary(&status), "200 requests compared, 3 differ, 1 fields are noise");
    }
}
