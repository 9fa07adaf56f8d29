//! The durable run: phases, steps, rollback (L1).
