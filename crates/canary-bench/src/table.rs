//! Markdown tables.

/// Prints a table.
pub(crate) fn print(head: &[String], rows: &[Vec<String>]) {
    println!("| {} |", head.join(" | "));
    println!("|{}", "---|".repeat(head.len()));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
    println!();
}

/// A share in per cent with its standard error.
pub(crate) fn percent(hits: usize, runs: usize) -> String {
    let p = hits as f64 / runs as f64;
    let error = (p * (1.0 - p) / runs as f64).sqrt();
    if p > 0.0 && p < 0.1 {
        format!("{:.2} ±{:.2}", 100.0 * p, 100.0 * error)
    } else {
        format!("{:.1}", 100.0 * p)
    }
}

/// The value below which `share` of the sorted values are; `∞` for runs that never got there.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> String {
    let at = ((share * sorted.len() as f64).ceil() as usize).saturating_sub(1);
    match sorted.get(at) {
        Some(value) if value.is_finite() => format!("{value:.0}"),
        _ => "∞".to_owned(),
    }
}
