//! Values computed by others: what the formulas must reproduce.

use changeover_canary::{Evidence, Grid, Guard, Harmless};

fn close(got: f64, wanted: f64, tolerance: f64) {
    assert!((got - wanted).abs() <= tolerance, "{got} for {wanted}");
}

/// P(the bet ever reaches `threshold` within `events` bad requests | the target is as good), by
/// dynamic programming over how many of them were on the target.
fn ever_reaches(grid: &Grid, weight: f64, threshold: f64, events: u64) -> f64 {
    // alive[g]: probability of g on the target without having reached it.
    let mut alive = vec![1.0];
    let mut reached = 0.0;
    for event in 1..=events {
        let mut next = vec![0.0; alive.len() + 1];
        for (on_target, p) in alive.iter().enumerate() {
            next[on_target] += p * (1.0 - weight);
            next[on_target + 1] += p * weight;
        }
        for (on_target, p) in next.iter_mut().enumerate() {
            let mut evidence = Evidence::from_the_beginning(grid);
            evidence.add(grid, weight, on_target as u64, event - on_target as u64);
            if evidence.wealth() >= threshold {
                reached += std::mem::take(p);
            }
        }
        alive = next;
    }
    reached
}

#[test]
fn the_exact_probability_of_a_false_alarm() {
    let grid = Grid::failures();
    for (weight, after_100, after_300) in
        [(0.05, 0.004126, 0.004978), (0.25, 0.005624, 0.006149), (0.5, 0.006234, 0.006872)]
    {
        close(ever_reaches(&grid, weight, 100.0, 100), after_100, 5e-7);
        close(ever_reaches(&grid, weight, 100.0, 300), after_300, 5e-7);
    }
    let twelve = Grid::log_spaced(1.1, 50.0, 12);
    close(ever_reaches(&twelve, 0.5, 100.0, 500), 0.006267, 5e-7);
}

#[test]
fn the_trace_of_the_mixture() {
    let grid = Grid::failures();
    let mut evidence = Evidence::of_any_time(&grid);
    let mut now = 0;
    evidence.begin_second();
    for (at, weight, on_target, wealth) in [
        (0, 0.05, 1, 3.030746),
        (3, 0.05, 0, 2.236431),
        (10, 0.05, 1, 11.448469),
        (400, 0.05, 0, 7.553610),
        (500, 0.25, 1, 21.813071),
        (501, 0.25, 1, 66.474867),
        (520, 0.25, 0, 19.030166),
    ] {
        while now < at {
            evidence.begin_second();
            now += 1;
        }
        evidence.add(&grid, weight, on_target, 1 - on_target);
        close(evidence.wealth(), wealth, 1e-6);
    }
}

/// One second more, whatever happens in it, is expected to change the wealth by nothing when the
/// target is as good, and to shrink it when it is better or the guard holds it.
#[test]
fn the_wealth_is_expected_to_stay() {
    let grid = Grid::failures();
    for (theta, guard, least, most) in [
        (1.0, Guard::Off, 1.0 - 1e-12, 1.0 + 1e-12),
        (0.8, Guard::Off, 0.0, 0.9999),
        (1.0, Guard::Seconds, 0.0, 1.0),
        (1.0, Guard::Tens, 0.0, 1.0),
    ] {
        for weight in [0.05_f64, 0.25, 0.5] {
            let p = weight * theta / (weight * theta + 1.0 - weight);
            let mut before = Evidence::of_any_time(&grid);
            before.add(&grid, weight, 2, 1);
            before.end_second(guard);
            let mut expected = 0.0;
            for on_target in 0..=3_u64 {
                let choose = [1.0, 3.0, 3.0, 1.0][on_target as usize];
                let chance =
                    choose * p.powi(on_target as i32) * (1.0 - p).powi(3 - on_target as i32);
                let mut after = before.clone();
                after.begin_second();
                after.add(&grid, weight, on_target, 3 - on_target);
                after.end_second(guard);
                expected += chance * after.wealth() / before.wealth();
            }
            assert!((least..=most).contains(&expected), "θ={theta} w={weight}: {expected}");
        }
    }
}

/// Bad requests until "less than `rho` times as bad" is proven at β = 5 % while it is as good:
/// median and 90th percentile, exactly.
fn events_to_prove(weight: f64, rho: f64) -> (u64, u64) {
    let (mut alive, mut proven, mut median) = (vec![1.0], 0.0, None);
    for event in 1.. {
        let mut next = vec![0.0; alive.len() + 1];
        for (on_target, p) in alive.iter().enumerate() {
            next[on_target] += p * (1.0 - weight);
            next[on_target + 1] += p * weight;
        }
        for (on_target, p) in next.iter_mut().enumerate() {
            if *p == 0.0 {
                continue;
            }
            let mut harmless = Harmless::than(rho);
            harmless.add(weight, on_target as u64, event - on_target as u64);
            if harmless.wealth() >= 20.0 {
                proven += std::mem::take(p);
            }
        }
        alive = next;
        if proven >= 0.5 {
            median.get_or_insert(event);
        }
        if let (true, Some(median)) = (proven >= 0.9, median) {
            return (median, event);
        }
    }
    unreachable!("the loop has no end of its own")
}

#[test]
fn the_bad_requests_that_a_promotion_takes() {
    for (weight, rho, events) in [
        (0.05, 5.0, (28, 54)),
        (0.05, 3.0, (58, 166)),
        (0.05, 2.0, (193, 528)),
        (0.25, 5.0, (10, 24)),
        (0.25, 3.0, (23, 56)),
        (0.25, 2.0, (59, 156)),
        (0.25, 1.5, (205, 537)),
        (0.5, 5.0, (11, 27)),
        (0.5, 3.0, (20, 54)),
        (0.5, 2.0, (54, 139)),
        (0.5, 1.5, (173, 447)),
    ] {
        assert_eq!(events_to_prove(weight, rho), events, "w={weight} rho={rho}");
    }
}
