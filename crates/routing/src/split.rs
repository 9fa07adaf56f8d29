//! Who goes where: a weighted split that a key never leaves as the weight grows.
//!
//! The hash is written out here, with test vectors, because a client must find itself on the same
//! side after a restart, an upgrade, and on another gate.

use changeover_types::Side;

/// The whole, in the unit of weights.
pub const PERMILLE_ALL: u16 = 1000;

/// Hashes a sticky key (a cookie's value): 64-bit FNV-1a, then MurmurHash3's 64-bit finaliser.
///
/// FNV alone leaves the high bits of short keys poorly mixed, and [`side_for`] reads the high bits.
#[must_use]
pub fn sticky_hash(key: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in key {
        hash ^= u64::from(*byte);
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
    }
    mixed(hash)
}

/// Another hash of the same key for each salt; the same one without a salt. Two canaries of
/// different salts draw the clients that keep their side independently of each other.
#[must_use]
pub fn salted(key_hash: u64, salt: u64) -> u64 {
    if salt == 0 { key_hash } else { mixed(key_hash ^ mixed(salt)) }
}

fn mixed(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The side of a key when `target_permille` of 1000 keys go to the target.
///
/// Monotone: a key that is on the target at one weight is there at every higher weight.
#[must_use]
pub fn side_for(key_hash: u64, target_permille: u16) -> Side {
    let bucket = (u128::from(key_hash) * u128::from(PERMILLE_ALL)) >> 64;
    if bucket < u128::from(target_permille) { Side::Target } else { Side::Source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hash_never_changes() {
        for (key, hash) in [
            ("", 0xefd0_1f60_ba99_2926),
            ("a", 0x82a2_a958_a9be_ce5b),
            ("foobar", 0x2c22_1949_22d1_672b),
        ] {
            assert_eq!(
                sticky_hash(key.as_bytes()),
                hash,
                "{key:?} {:#x}",
                sticky_hash(key.as_bytes())
            );
        }
    }

    #[test]
    fn the_split_is_close_to_its_weight() {
        for permille in [10_u16, 50, 250, 500, 900] {
            let keys = 200_000_u32;
            let on_target = (0..keys)
                .filter(|n| {
                    side_for(sticky_hash(n.to_string().as_bytes()), permille) == Side::Target
                })
                .count();
            let p = f64::from(permille) / 1000.0;
            let expected = p * f64::from(keys);
            let sigma = (f64::from(keys) * p * (1.0 - p)).sqrt();
            let off = (on_target as f64 - expected).abs();
            assert!(off < 5.0 * sigma, "{permille}: {on_target} for {expected}");
        }
    }

    /// Of those who are on the target with one salt, the usual share is there with the next.
    #[test]
    fn a_salt_draws_anew_and_always_the_same() {
        let target = |n: u32, salt| {
            side_for(salted(sticky_hash(n.to_string().as_bytes()), salt), 250) == Side::Target
        };
        let first: Vec<u32> = (0..100_000).filter(|n| target(*n, 1_700_000_000_000)).collect();
        let both = first.iter().filter(|n| target(**n, 1_700_000_000_001)).count();
        assert!((24_200..25_800).contains(&first.len()), "{}", first.len());
        assert!((5_900..6_600).contains(&both), "{both} of {}", first.len());
        assert_eq!(salted(7, 0), 7, "no salt, no change");
        assert_eq!(salted(7, 1_700_000_000_000), 0x0fda_5ed5_a745_c345);
    }

    proptest! {
        #[test]
        fn nobody_leaves_the_target_while_its_weight_grows(
            hash in any::<u64>(), low in 0_u16..=1000, high in 0_u16..=1000,
        ) {
            let (low, high) = (low.min(high), low.max(high));
            if side_for(hash, low) == Side::Target {
                prop_assert_eq!(side_for(hash, high), Side::Target);
            }
        }

        #[test]
        fn the_ends_of_the_scale_are_exact(hash in any::<u64>()) {
            prop_assert_eq!(side_for(hash, 0), Side::Source);
            prop_assert_eq!(side_for(hash, PERMILLE_ALL), Side::Target);
        }
    }
}
