//! `on_fail` of a check.

use crate::model::checks::OnFail;
use crate::reader::{Fields, Reader};

const WORDS: &[(&str, OnFail)] =
    &[("rollback", OnFail::Rollback), ("pause", OnFail::Pause), ("abort", OnFail::Abort)];

pub(super) fn read(fields: &mut Fields<'_>, reader: &mut Reader) -> OnFail {
    let field = fields.get("on_fail");
    field.and_then(|field| reader.word(&field, WORDS)).unwrap_or(OnFail::Rollback)
}
