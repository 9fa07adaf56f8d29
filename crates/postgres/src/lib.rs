//! Source and target: replication session, COPY, apply, schema, seal (L2).
