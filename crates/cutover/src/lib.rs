//! The cutover protocol as a pure machine (L1).
