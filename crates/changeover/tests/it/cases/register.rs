//! One register of risks: each id once, one finding for each kind, the worst decides the exit code.
