//! retire
