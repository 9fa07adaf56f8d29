//! Space. A server does not tell how much of its disk is free; where it runs on this machine, the
//! file system does.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use changeover_assess::Fact;
use changeover_assess::inventory::Disk;
use changeover_types::quote_literal;
use serde::Deserialize;

use super::ask::{Answer, Asker};

#[derive(Deserialize)]
struct Told {
    database_bytes: u64,
    folder: Option<String>,
}

pub(super) async fn disk(ask: &mut Asker) -> Fact<Disk> {
    // `data_directory` is only shown to members of pg_read_all_settings.
    let told: Answer<Told> = ask
        .json(
            "SELECT json_build_object('database_bytes', \
               pg_database_size(pg_catalog.current_database()), 'folder', \
               (SELECT setting FROM pg_catalog.pg_settings WHERE name='data_directory'))::text",
        )
        .await;
    let folder = match &told {
        Ok(Told { folder: Some(folder), .. }) => here(ask, Path::new(folder)).await,
        _ => None,
    };
    let free = |below: &str| free_bytes(&folder.as_ref()?.join(below));
    let answer = told.map(|told| Disk {
        database_bytes: told.database_bytes,
        free_bytes: free(""),
        wal_free_bytes: free("pg_wal"),
    });
    ask.fact("pg_database_size and the file system", answer)
}

/// The folder, if it is this server's own and on this machine. A tunnel has a local address too,
/// and another server may have the same path, so both must tell the same second of starting.
async fn here(ask: &mut Asker, folder: &Path) -> Option<PathBuf> {
    let pid_file = folder.join("postmaster.pid");
    let ours = fs::metadata(&pid_file).ok()?.modified().ok()?;
    let ours = ours.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let name = quote_literal(&pid_file.to_string_lossy());
    let theirs: u64 = ask
        .json(&format!(
            "SELECT extract(epoch FROM (pg_catalog.pg_stat_file({name})).modification)::bigint::text"
        ))
        .await
        .ok()?;
    (ours == theirs).then(|| folder.to_owned())
}

fn free_bytes(folder: &Path) -> Option<u64> {
    let told = rustix::fs::statvfs(folder).ok()?;
    told.f_bavail.checked_mul(told.f_frsize)
}
