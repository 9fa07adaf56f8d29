//! retiring
