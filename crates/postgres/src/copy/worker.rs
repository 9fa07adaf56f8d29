//! One pair of sessions that copies table after table.

use std::time::Duration;

use changeover_types::{TOKEN_SETTING, TableName, quote_literal};

use super::{CopyJob, CopyTicket};
use crate::config::ConnectConfig;
use crate::error::{Error, Result};
use crate::session::{SearchPath, Session};
use crate::snapshot::{lock, open_reader};

pub(super) struct Worker<'a> {
    source: Session,
    target: Session,
    ticket: &'a CopyTicket,
}

impl<'a> Worker<'a> {
    pub(super) async fn open(
        source: &ConnectConfig,
        target: &ConnectConfig,
        snapshot: &str,
        ticket: &'a CopyTicket,
    ) -> Result<Worker<'a>> {
        let mut source = open_reader(source, snapshot, "changeover copy").await?;
        let mut target = Session::connect(target, &super::application(&ticket.migration)).await?;
        let path = SearchPath::read(&mut source).await?;
        source.look_in(&path).await?;
        target.look_in(&path).await?;
        Ok(Worker { source, target, ticket })
    }

    /// Keeps the tables as they are for as long as this worker reads.
    pub(super) async fn hold(&mut self, tables: &[TableName], limit: Duration) -> Result<()> {
        lock(&mut self.source, tables, limit).await
    }

    /// Copies one table; gives its rows and bytes. `report` is told both as they grow.
    pub(super) async fn copy(
        &mut self,
        job: &CopyJob,
        report: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<(u64, u64)> {
        begin(&mut self.target, self.ticket).await?;
        // The truncation allows FREEZE, and empties what a copy that died left undecided.
        self.target.execute(&format!("TRUNCATE ONLY {}", job.table.name.quoted())).await?;
        let mut rows_out = self.source.copy_out(&job.format.out_command(&job.table)).await?;
        let mut rows_in = self.target.copy_in(&job.format.in_command(&job.table, true)).await?;
        while let Some(frames) = rows_out.next_frames().await? {
            rows_in.send_frames(frames).await?;
            report(rows_out.frames(), rows_out.bytes());
        }
        let (read, bytes) = (rows_out.rows(), rows_out.bytes());
        let loaded = rows_in.finish().await?;
        if loaded != read {
            return Err(Error::divergence(
                self.target.side(),
                format!("the source sent {read} rows and the target took {loaded}"),
            ));
        }
        self.record(job, read, bytes).await?;
        Ok((read, bytes))
    }

    async fn record(&mut self, job: &CopyJob, rows: u64, bytes: u64) -> Result<()> {
        let CopyTicket { migration, incarnation, .. } = self.ticket;
        let migration = quote_literal(migration.as_str());
        let relation = quote_literal(&job.table.name.quoted());
        // A row of a former incarnation is about rows that the TRUNCATE has just removed; one of
        // ours means that another worker of ours loaded the table, and the key refuses.
        self.target
            .execute(&format!(
                "DELETE FROM changeover.copied WHERE migration={migration} \
                   AND relation={relation} AND incarnation<{incarnation};\
                 INSERT INTO changeover.copied (migration,relation,rows,bytes,incarnation) \
                 VALUES ({migration},{relation},{rows},{bytes},{incarnation}); COMMIT"
            ))
            .await
            .map(drop)
    }

    pub(super) async fn close(self) {
        self.source.close().await;
        self.target.close().await;
    }
}

/// Begins a transaction of ours on the target: past triggers and seal, and only while the fence
/// is open for our incarnation. The fence stays locked to its end, so whoever takes it over waits.
pub(super) async fn begin(target: &mut Session, ticket: &CopyTicket) -> Result<()> {
    target
        .execute(&format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
             SET LOCAL session_replication_role=replica; SET LOCAL {TOKEN_SETTING}={}",
            quote_literal(&ticket.token)
        ))
        .await?;
    let fence = target
        .query_opt(&format!(
            "SELECT 1 FROM changeover.fence WHERE migration={} AND stream='forward' \
             AND incarnation={} AND open FOR SHARE",
            quote_literal(ticket.migration.as_str()),
            ticket.incarnation
        ))
        .await?;
    if fence.is_none() {
        target.execute("ROLLBACK").await?;
        return Err(Error::refused(
            target.side(),
            format!(
                "the fence of {} is not open for incarnation {}: another process has taken over",
                ticket.migration, ticket.incarnation
            ),
        ));
    }
    Ok(())
}
