//! Schemas that other tools stumble over are restored, or there is a way on.
