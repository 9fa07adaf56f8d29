//! The copy and the comparison, whose times grow with the data.

use super::{Earlier, Measures, Span, measured_basis};

/// Indexes are built by reading, sorting and writing what was copied: nobody knows how fast before
/// it was done, so only bounds are given.
const INDEX_SLOWER: u64 = 4;
/// No gain from several sessions, and a table that grew.
const COPY_SLOWER: u64 = 2;
/// The comparison hashes in both databases instead of sending rows.
const VERIFY_SLOWER: u64 = 4;

pub(super) fn replicate(path: &str, jobs: usize, measures: &Measures) -> (Option<Span>, String) {
    if let Some(known) = by_size(path, measures) {
        return known;
    }
    let (Some(bytes), Some(read)) = (measures.bytes, measures.read_bytes_per_s) else {
        return (None, "the source's tables could not be measured".to_owned());
    };
    let write = measures.write_bytes_per_s;
    let rate = write.map_or(read, |write| read.min(write)).max(1);
    let largest = measures.largest_table_bytes.unwrap_or(bytes);
    let alone = ms(bytes, rate);
    let side_by_side = (alone / (jobs as u64).max(1)).max(ms(largest, rate));
    let indexes = measures.index_bytes.map(|bytes| ms(bytes, rate));
    let changes = measures.change_bytes_per_s;
    // What is written meanwhile has to follow, and what is written while that follows: a series
    // that ends only if the relay is faster than the service writes.
    let following = |copy: u64| {
        let change = changes.filter(|change| change * 2 < rate)?;
        u64::try_from(u128::from(copy) * u128::from(change) / u128::from(rate - change)).ok()
    };
    let most = alone.saturating_mul(COPY_SLOWER);
    let most = indexes.map(|indexes| most.saturating_add(indexes.saturating_mul(INDEX_SLOWER)));
    let most = most.and_then(|most| Some(most.saturating_add(following(most)?)));
    let likely = side_by_side.saturating_add(indexes.unwrap_or(0) / 2);
    let span = Span {
        least_ms: side_by_side / 2,
        likely_ms: likely.saturating_add(following(likely).unwrap_or(0)),
        most_ms: most.filter(|_| write.is_some()),
    };
    let mut basis = format!("{} of rows", size(bytes));
    if let Some(indexes) = measures.index_bytes {
        basis += &format!(" and {} of indexes", size(indexes));
    }
    basis += &format!("; a sample of the copy read {}/s", size(read));
    match write {
        Some(write) => basis += &format!(" and wrote {}/s", size(write)),
        None => basis += ", the target's speed is not known",
    }
    match changes {
        Some(changes) => basis += &format!("; the source writes {}/s of log", size(changes)),
        None => basis += "; the source's change rate is not known",
    }
    (Some(span), basis)
}

pub(super) fn verify(path: &str, measures: &Measures) -> (Option<Span>, String) {
    if let Some(known) = by_size(path, measures) {
        return known;
    }
    let (Some(bytes), Some(read)) = (measures.bytes, measures.read_bytes_per_s) else {
        return (None, "the source's tables could not be measured".to_owned());
    };
    let likely_ms = ms(bytes, read);
    let span = Span {
        least_ms: likely_ms / VERIFY_SLOWER,
        likely_ms,
        most_ms: Some(likely_ms.saturating_mul(VERIFY_SLOWER)),
    };
    (Some(span), format!("{} of rows at the sample's {}/s", size(bytes), size(read)))
}

/// From earlier runs of the step, in proportion to the data.
fn by_size(path: &str, measures: &Measures) -> Option<(Option<Span>, String)> {
    let scaled = |earlier: &Earlier| {
        let took = *earlier.steps.get(path)?;
        Some(match (measures.bytes, earlier.bytes) {
            (Some(now), Some(then)) if then > 0 => Span::exactly(took).scaled(now, then).likely_ms,
            _ => took,
        })
    };
    let took: Vec<u64> = measures.earlier.iter().filter_map(scaled).collect();
    let span = Span::of_measured(&took)?;
    let grown = measures.bytes.is_some() && measures.earlier.iter().any(|it| it.bytes.is_some());
    let proportion = if grown { ", in proportion to the data" } else { "" };
    Some((Some(span), format!("{}{proportion}", measured_basis(path, measures))))
}

fn ms(bytes: u64, per_s: u64) -> u64 {
    let ms = u128::from(bytes) * 1000 / u128::from(per_s.max(1));
    u64::try_from(ms).unwrap_or(u64::MAX)
}

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 10.0 && unit > 0 {
        format!("{value:.1} {}", units[unit])
    } else {
        format!("{value:.0} {}", units[unit])
    }
}
