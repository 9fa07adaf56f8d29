//! What goes wrong in the middle of a copy leaves nothing half done.

use changeover_postgres::error::ErrorKind;
use changeover_postgres::schema;
use changeover_postgres::snapshot::rewriters;

use super::*;

const ROWS: &str = "CREATE TABLE big (id int PRIMARY KEY, filler text);
    INSERT INTO big SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 200000) i;
    CREATE TABLE small (id int PRIMARY KEY, big int REFERENCES big);
    INSERT INTO small SELECT i, i FROM generate_series(1, 1000) i;";

#[tokio::test]
async fn the_slot_waits_for_writers_by_name_and_gives_up_cleanly() {
    let pair = Pair::start();
    psql(&pair.source, "app", "CREATE TABLE t (id int PRIMARY KEY)");
    pair.begin().await;
    let config = pair.config(Side::Source);
    let mut writer = Session::connect(&config, "slow report").await.unwrap();
    writer.execute("BEGIN; INSERT INTO public.t VALUES (1)").await.unwrap();
    let (seen, waiting) = waits();
    let limits = SnapshotLimits { slot: Duration::from_secs(2), ..SnapshotLimits::default() };
    let slot = "changeover_m_forward";
    let e = CopySnapshot::take(&config, &selection(), slot, limits, &waiting).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout);
    assert!(e.to_string().contains("slow report"), "{e}");
    assert!(seen.lock().unwrap().iter().any(|w| matches!(
        w,
        SnapshotWait::Slot(who) if who.iter().any(|t| t.application.as_deref() == Some("slow report"))
    )));
    let left = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(psql(&pair.source, "app", left), "0");
    writer.execute("COMMIT").await.unwrap();
    let snapshot = pair.snapshot().await;
    assert_eq!(psql(&pair.source, "app", left), "1");
    snapshot.release().await;
    let e = CopySnapshot::take(&config, &selection(), slot, limits, &|_| {}).await.unwrap_err();
    assert!(e.to_string().contains("changeover abort"), "{e}");
}

#[tokio::test]
async fn rewrites_wait_for_the_holder_and_no_row_is_lost() {
    let pair = Pair::start();
    psql_file(&pair.source, ROWS);
    pair.begin().await;
    let snapshot = pair.snapshot().await;
    let mut reader = snapshot.reader().await.unwrap();
    reader.execute("LOCK TABLE public.big, public.small IN ACCESS SHARE MODE").await.unwrap();
    pair.restore_pre_data(&snapshot).await;
    let ticket = pair.ticket().await;
    // Keep the copy in front of its first row until the rewrites have queued up.
    let mut gate = pair.session(Side::Target).await;
    gate.execute("BEGIN; LOCK TABLE public.big, public.small IN SHARE MODE").await.unwrap();
    let mut control = pair.session(Side::Source).await;
    let (summary, rewrites) = tokio::join!(pair.copy(&snapshot, &ticket), async {
        let held = "(SELECT count(*) = 8 FROM pg_locks WHERE mode = 'AccessShareLock' AND granted \
                    AND relation IN ('public.big'::regclass, 'public.small'::regclass))";
        until(&mut control, held).await;
        let mut rewrites = Vec::new();
        for sql in ["VACUUM FULL public.big", "ALTER TABLE public.small ALTER big TYPE bigint"] {
            let mut session = pair.session(Side::Source).await;
            rewrites.push(tokio::spawn(async move { session.execute(sql).await.map(drop) }));
        }
        until(&mut control, "(SELECT count(*) = 2 FROM pg_locks WHERE NOT granted)").await;
        assert_eq!(rewriters(&mut control, &snapshot.catalog.relations()).await.unwrap().len(), 2);
        gate.execute("COMMIT").await.unwrap();
        rewrites
    });
    assert_eq!(summary.unwrap().rows, 201_000);
    let mut target = pair.session(Side::Target).await;
    let expected = contents(&mut reader, &snapshot.catalog).await;
    assert_eq!(contents(&mut target, &snapshot.catalog).await, expected);
    assert!(rewrites.iter().all(|r| !r.is_finished()), "they waited to the end of the copy");
    // A copy that starts only now cannot get in front of them, and says who they are.
    let late = CopyTicket { incarnation: ticket.incarnation + 1, ..ticket };
    let claimed = copy::claim(&mut target, &name()).await.unwrap();
    assert_eq!(claimed, late.incarnation);
    let e = pair.copy(&snapshot, &late).await.unwrap_err();
    assert!(e.to_string().contains("changeover test"), "{e}");
    reader.close().await;
    snapshot.release().await;
    for rewrite in rewrites {
        rewrite.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_copy_that_is_dropped_leaves_no_row_and_goes_on_later() {
    let pair = Pair::start();
    psql_file(&pair.source, ROWS);
    pair.begin().await;
    let snapshot = pair.snapshot().await;
    let archive = pair.restore_pre_data(&snapshot).await;
    let ticket = pair.ticket().await;
    let jobs = jobs(&snapshot);
    let meter = copy::meter(&jobs);
    let (source, target) = (pair.config(Side::Source), pair.config(Side::Target));
    tokio::select! {
        done = copy::run(&source, &target, &snapshot.name, &ticket, &jobs, OPTIONS, &meter) => {
            panic!("it was to be dropped: {done:?}")
        }
        () = async {
            while meter.tables()[0].rows < 1000 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    let mut session = pair.session(Side::Target).await;
    let gone =
        "(SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'changeover copy')";
    until(&mut session, gone).await;
    assert_eq!(psql(&pair.target, "app", "SELECT count(*) FROM big"), "0");
    let copied = copy::copied(&mut session, &name()).await.unwrap();
    assert!(copied.iter().all(|c| c.relation != "\"public\".\"big\""), "{copied:?}");

    // The snapshot is still alive, so the copy goes on with what is missing.
    pair.copy(&snapshot, &ticket).await.unwrap();
    assert_eq!(psql(&pair.target, "app", "SELECT count(*) FROM big"), "200000");

    // A former holder of the fence is refused and changes nothing.
    let newer = pair.ticket().await;
    let e = pair.copy(&snapshot, &CopyTicket { incarnation: 99, ..ticket.clone() }).await;
    assert_eq!(e.unwrap_err().kind(), ErrorKind::Refused);

    // With foreign keys in place, all of it can still be taken back and done again.
    let mut source = pair.session(Side::Source).await;
    let post = archive.post_data(&mut source, &selection(), &snapshot.catalog).await.unwrap();
    post.restore(&target, 2, &|_| {}).await.unwrap();
    let wait = Duration::from_secs(5);
    let e = copy::undo(&mut session, &ticket, &snapshot.catalog, wait).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Refused, "the old incarnation: {e}");
    copy::undo(&mut session, &newer, &snapshot.catalog, wait).await.unwrap();
    assert_eq!(psql(&pair.target, "app", "SELECT count(*) FROM big"), "0");
    assert_eq!(copy::copied(&mut session, &name()).await.unwrap(), []);
}

#[tokio::test]
async fn a_snapshot_that_dies_is_reported_and_cannot_be_read() {
    let pair = Pair::start();
    psql(&pair.source, "app", "CREATE TABLE t (id int PRIMARY KEY)");
    pair.begin().await;
    let mut snapshot = pair.snapshot().await;
    psql(
        &pair.source,
        "app",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name IN ('changeover slot', 'changeover holder')",
    );
    let e = snapshot.lost().await;
    assert!(e.to_string().contains("snapshot is lost"), "{e}");
    let mut control = pair.session(Side::Source).await;
    let gone = "(SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'changeover %' \
                AND application_name <> 'changeover test')";
    until(&mut control, gone).await;
    let e = snapshot.reader().await.unwrap_err();
    assert!(e.to_string().contains("must start again"), "{e}");
}

#[tokio::test]
async fn a_row_the_target_refuses_takes_its_table_back() {
    let pair = Pair::start();
    psql_file(&pair.source, ROWS);
    pair.begin().await;
    let snapshot = pair.snapshot().await;
    pair.restore_pre_data(&snapshot).await;
    psql(&pair.target, "app", "ALTER TABLE big ADD CHECK (id < 150000)");
    let ticket = pair.ticket().await;
    let e = pair.copy(&snapshot, &ticket).await.unwrap_err();
    assert!(e.to_string().contains("copying public.big") && e.to_string().contains("check"), "{e}");
    assert_eq!(psql(&pair.target, "app", "SELECT count(*) FROM big"), "0");
    psql(&pair.target, "app", "ALTER TABLE big DROP CONSTRAINT big_id_check");
    pair.copy(&snapshot, &ticket).await.unwrap();
    assert_eq!(psql(&pair.target, "app", "SELECT count(*) FROM big"), "200000");
}

#[tokio::test]
async fn a_schema_that_cannot_be_restored_leaves_nothing() {
    let pair = Pair::start();
    psql(
        &pair.source,
        "app",
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)",
    );
    psql(&pair.target, "app", "CREATE TABLE b (id int)");
    pair.begin().await;
    let snapshot = pair.snapshot().await;
    let tools = Tools::find(15).await.unwrap();
    let path = pair.folder.path().join("schema.dump");
    let config = pair.config(Side::Source);
    let archive = Archive::dump(
        &tools,
        &config,
        &selection(),
        &snapshot.catalog,
        Some(&snapshot.name),
        &path,
        true,
    )
    .await
    .unwrap();
    let e = archive.restore_pre_data(&pair.config(Side::Target), None).await.unwrap_err();
    assert!(e.to_string().contains("\"b\" already exists"), "{e}");
    let mut target = pair.session(Side::Target).await;
    let a = changeover_types::TableName::new("public", "a");
    assert!(!schema::exists(&mut target, &a).await.unwrap());
}

/// A small file system of our own, gone when dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// `None` where we may not mount.
    fn mount(folder: &std::path::Path, megabytes: u32) -> Option<SmallDisk> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m,mode=1777"), "tmpfs"])
            .arg(folder)
            .output();
        mounted.is_ok_and(|o| o.status.success()).then(|| SmallDisk(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[tokio::test]
async fn a_full_disk_on_the_target_takes_the_table_back() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .unwrap();
    let Some(_disk) = SmallDisk::mount(folder.path(), 16) else {
        eprintln!("skipped: a small file system can only be mounted by root");
        return;
    };
    let pair = Pair::start();
    psql_file(&pair.source, ROWS);
    pair.begin().await;
    let snapshot = pair.snapshot().await;
    pair.restore_pre_data(&snapshot).await;
    // The server must own the place, and runs as another user than we do.
    let like = format!("--reference={}", pair.target.data().display());
    assert!(Command::new("chown").arg(like).arg(folder.path()).status().unwrap().success());
    let place = format!("CREATE TABLESPACE tiny LOCATION '{}'", folder.path().display());
    psql(&pair.target, "app", &place);
    psql(&pair.target, "app", "ALTER TABLE big SET TABLESPACE tiny");
    let ticket = pair.ticket().await;
    let e = pair.copy(&snapshot, &ticket).await.unwrap_err();
    assert_eq!(e.sqlstate(), Some("53100"), "{e}");
    assert!(e.to_string().contains("target: copying public.big"), "{e}");
    assert!(e.to_string().contains("No space left on device"), "{e}");
    psql(&pair.target, "app", "ALTER TABLE big SET TABLESPACE pg_default");
    assert_eq!(psql(&pair.target, "app", "SELECT count(*) FROM big"), "0");
    pair.copy(&snapshot, &ticket).await.unwrap();
    assert_eq!(psql(&pair.target, "app", "SELECT count(*) FROM big"), "200000");
}
