//! The plan that `changeover init` writes. It parses as it stands.

/// What the plan to be written moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateKind {
    /// Requests and data.
    Service,
    /// Only a database.
    Database,
    /// Only requests.
    Http,
}

/// A commented plan.
#[must_use]
pub fn template(kind: TemplateKind) -> &'static str {
    match kind {
        TemplateKind::Service => include_str!("template/service.yaml"),
        TemplateKind::Database => include_str!("template/database.yaml"),
        TemplateKind::Http => include_str!("template/http.yaml"),
    }
}
