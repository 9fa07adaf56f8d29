//! The run's truth on disk: an append-only SQLite journal (L2).
