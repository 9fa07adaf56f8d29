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
    database: String,
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
        System::of(name, name, "shop")
    }

    /// A system whose servers are made from the files in a folder of their own.
    pub(crate) fn of(name: &str, servers: &str, database: &str) -> System {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/systems");
        let root = root.canonicalize().unwrap();
        let side = |side: &str| {
            let called = format!("{name}-{side}");
            server(&root.join(servers).join(side), &called, database)
        };
        let (source, target) = (side("source"), side("target"));
        let scratch = tempfile::tempdir().unwrap();
        System { folder: root.join(name), database: database.to_owned(), source, target, scratch }
    }

    /// A file of the example.
    pub(crate) fn example(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The system's answers file.
    pub(crate) fn answers(&self) -> String {
        self.example("answers.yaml")
    }

    /// Runs the program, which must end in time. The databases' URLs are in `OLD` and `NEW`, with
    /// a password that must never be seen again.
    pub(crate) fn changeover(&self, user: &str, arguments: &[&str]) -> Said {
        let url = |cluster: &Cluster, user: &str| {
            cluster.url(&self.database).replace("postgres@", &format!("{user}:geheim@"))
        };
        let urls = [("OLD", url(&self.source, user)), ("NEW", url(&self.target, "postgres"))];
        run(self.scratch.path(), &urls, arguments)
    }

    /// A file that the program wrote.
    pub(crate) fn written(&self, name: &str) -> String {
        let text = fs::read_to_string(self.scratch.path().join(name)).unwrap();
        assert!(!text.contains("geheim"), "a password is in {name}: {text}");
        text
    }
}

/// Runs the program in a folder; it must end in time.
pub(crate) fn run(folder: &Path, urls: &[(&str, String)], arguments: &[&str]) -> Said {
    let (out, err) = (folder.join("stdout"), folder.join("stderr"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_changeover"))
        .args(arguments)
        .current_dir(folder)
        .envs(urls.iter().map(|(name, url)| (name, url)))
        .env("NO_COLOR", "1")
        .env("XDG_STATE_HOME", folder.join("state"))
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

fn server(folder: &Path, name: &str, database: &str) -> Cluster {
    let mut config = ClusterConfig::new(name);
    for line in fs::read_to_string(folder.join("postgresql.conf")).unwrap().lines() {
        let (setting, value) = line.split_once('=').unwrap();
        config = config.with(setting.trim(), value.trim());
    }
    let cluster = Cluster::start(config).unwrap();
    for (file, database) in [("server.sql", "postgres"), ("database.sql", database)] {
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
