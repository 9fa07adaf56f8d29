//! The PostgreSQL wire protocol and pgoutput, sans-IO (L1).
