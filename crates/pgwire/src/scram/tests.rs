//! The RFC's example, PostgreSQL's own verifiers, and the two parts against each other.
