//! World, models and seeds that drive the cores (development only).
