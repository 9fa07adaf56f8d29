//! Keys, values, encodings and sizes that a session of ours must read as the database does.
