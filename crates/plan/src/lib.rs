//! The plan document: parse, check, explain (L1).
