//! An example system, started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use changeover_testkit::{Cluster, ClusterConfig, client_program};
use tempfile::TempDir;

/// How long an assessment may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Both servers of a system below `examples/systems`.
pub(crate) struct System {
    folder: PathBuf,
    pub(crate) source: Cluster,
    pub(crate) target: Cluster,
    /// Where the program runs.
    pub(crate) scratch: TempDir,
}

/// What the program said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl System {
    pub(crate) fn start(name: &str) -> System {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/systems");
        let folder = root.join(name);
        let side = |side: &str| server(&folder.join(side), &format!("{name}-{side}"));
        let (source, target) = (side("source"), side("target"));
        System { folder, source, target, scratch: tempfile::tempdir().unwrap() }
    }

    /// The system's answers file.
    pub(crate) fn answers(&self) -> String {
        self.folder.join("answers.yaml").display().to_string()
    }

    /// Runs the program, which must end in time. The databases' URLs are in `OLD` and `NEW`, with
    /// a password that must never be seen again.
    pub(crate) fn changeover(&self, user: &str, arguments: &[&str]) -> Said {
        let url = |cluster: &Cluster, user: &str| {
            cluster.url("shop").replace("postgres@", &format!("{user}:geheim@"))
        };
        let out = self.scratch.path().join("stdout");
        let err = self.scratch.path().join("stderr");
        let mut child = Command::new(env!("CARGO_BIN_EXE_changeover"))
            .args(arguments)
            .current_dir(self.scratch.path())
            .env("OLD", url(&self.source, user))
            .env("NEW", url(&self.target, "postgres"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "{arguments:?} does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let said = Said { code: status.code(), out: read(&out), err: read(&err) };
        for text in [&said.out, &said.err] {
            assert!(!text.contains("geheim"), "a password is shown: {text}");
        }
        said
    }

    /// A file that the program wrote.
    pub(crate) fn written(&self, name: &str) -> String {
        let text = fs::read_to_string(self.scratch.path().join(name)).unwrap();
        assert!(!text.contains("geheim"), "a password is in {name}: {text}");
        text
    }
}

fn server(folder: &Path, name: &str) -> Cluster {
    let mut config = ClusterConfig::new(name);
    for line in fs::read_to_string(folder.join("postgresql.conf")).unwrap().lines() {
        let (setting, value) = line.split_once('=').unwrap();
        config = config.with(setting.trim(), value.trim());
    }
    let cluster = Cluster::start(config).unwrap();
    for (file, database) in [("server.sql", "postgres"), ("database.sql", "shop")] {
        psql(&cluster.url(database), &folder.join(file));
    }
    cluster
}

fn psql(url: &str, file: &Path) {
    let ran = Command::new(client_program("psql").unwrap())
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-f"])
        .arg(file)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&ran.stderr));
}
