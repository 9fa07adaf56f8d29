//! One PostgreSQL server of our own.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How a cluster is made.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Shown in the folder's name.
    pub name: String,
    /// Extra `postgresql.conf` lines, applied last.
    pub settings: Vec<(String, String)>,
    /// Whether the server flushes to disk. Tests that kill only processes need not.
    pub fsync: bool,
    /// `pg_hba.conf`; the default trusts everyone on loopback.
    pub hba: String,
    /// Where the cluster's folder is made; the system's temporary folder if absent.
    pub parent: Option<PathBuf>,
}

impl ClusterConfig {
    /// Logical replication on, no flushing, everyone on loopback trusted.
    #[must_use]
    pub fn new(name: &str) -> Self {
        ClusterConfig {
            name: name.to_owned(),
            settings: Vec::new(),
            fsync: false,
            hba: "local all all trust\n\
                  host all all 127.0.0.1/32 trust\n\
                  host replication all 127.0.0.1/32 trust\n"
                .to_owned(),
            parent: None,
        }
    }

    /// With one more setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Why a cluster did not start.
#[derive(Debug)]
pub struct StartError(pub String);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl From<io::Error> for StartError {
    fn from(e: io::Error) -> Self {
        StartError(e.to_string())
    }
}

/// A running (or stopped) server of our own; removed when dropped.
#[derive(Debug)]
pub struct Cluster {
    config: ClusterConfig,
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Cluster {
    /// Makes and starts a cluster, and waits until it answers.
    ///
    /// # Errors
    /// If no server programs are installed, or the server does not come up within 30 s.
    pub fn start(config: ClusterConfig) -> Result<Cluster, StartError> {
        let parent = config.parent.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new()
            .prefix(&format!("changeover-{}-", config.name))
            .tempdir_in(parent)?
            .keep();
        let mut cluster = Cluster { config, folder, port: 0, child: None };
        cluster.prepare()?;
        cluster.run()?;
        Ok(cluster)
    }

    /// A cluster with default settings, for a test.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn for_test(name: &str) -> Cluster {
        match Cluster::start(ClusterConfig::new(name)) {
            Ok(cluster) => cluster,
            Err(e) => panic!("starting PostgreSQL for a test: {e}"),
        }
    }

    /// The port it listens on, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `postgresql://postgres@127.0.0.1:PORT/DATABASE`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The server's log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The postmaster's process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// The System V shared memory segment of a server that was not stopped in good order.
    fn shared_memory(&self) -> Option<String> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        // Its seventh line has the key and the id.
        text.lines().nth(6)?.split_whitespace().nth(1).map(str::to_owned)
    }

    /// Stops the server. `mode` is `smart`, `fast` or `immediate`.
    ///
    /// # Errors
    /// If `pg_ctl` fails.
    pub fn stop(&mut self, mode: &str) -> Result<(), StartError> {
        let data = self.data();
        self.ran(as_server_user(&server_program("pg_ctl")?).args([
            "stop",
            "-w",
            "-m",
            mode,
            "-D",
            &data.to_string_lossy(),
        ]))?;
        self.reap();
        Ok(())
    }

    /// Starts the server again on the same port.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn restart(&mut self) -> Result<(), StartError> {
        if self.child.is_some() {
            self.stop("fast")?;
        }
        self.run()
    }

    /// Kills the postmaster and all its processes with SIGKILL, as a power failure would.
    pub fn kill(&mut self) {
        if let Some(pid) = self.pid() {
            kill_tree(pid);
        }
        self.reap();
    }

    fn prepare(&self) -> Result<(), StartError> {
        give_to_server_user(&self.folder)?;
        let data = self.data();
        self.ran(as_server_user(&server_program("initdb")?).args([
            "--no-sync",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "-D",
            &data.to_string_lossy(),
        ]))?;
        let flush = if self.config.fsync { "on" } else { "off" };
        let mut conf = format!(
            "\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n\
             wal_level = logical\nmax_wal_senders = 20\nmax_replication_slots = 20\n\
             max_connections = 200\nshared_buffers = 128MB\nlog_min_messages = warning\n\
             log_line_prefix = '%m [%p] %a '\nfsync = {flush}\nfull_page_writes = {flush}\n"
        );
        for (name, value) in &self.config.settings {
            conf.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        let path = data.join("postgresql.conf");
        let old = fs::read_to_string(&path)?;
        fs::write(&path, old + &conf)?;
        fs::write(data.join("pg_hba.conf"), &self.config.hba)?;
        Ok(())
    }

    fn run(&mut self) -> Result<(), StartError> {
        // A freed port can be taken by somebody else before the server binds it, so try again
        // with another one: only while the port has never been told to anybody.
        let fixed = self.port != 0;
        for _ in 0..5 {
            if !fixed {
                self.port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            }
            let log =
                fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log"))?;
            self.child = Some(
                as_server_user(&server_program("postgres")?)
                    .args(["-D", &self.data().to_string_lossy(), "-p", &self.port.to_string()])
                    .stdin(Stdio::null())
                    .stdout(log.try_clone()?)
                    .stderr(log)
                    .spawn()?,
            );
            if self.wait_until_ready()? {
                return Ok(());
            }
            self.reap();
            if fixed {
                break;
            }
        }
        Err(StartError(format!("PostgreSQL did not start; its log says:\n{}", self.log())))
    }

    fn wait_until_ready(&mut self) -> Result<bool, StartError> {
        let ready = client_program("pg_isready")?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Some(child) = &mut self.child
                && child.try_wait()?.is_some()
            {
                return Ok(false);
            }
            let answer = Command::new(&ready)
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .status()?;
            if answer.success() {
                return Ok(true);
            }
            thread::sleep(Duration::from_millis(25));
        }
        Ok(false)
    }

    fn reap(&mut self) {
        if let Some(mut child) = self.child.take() {
            let deadline = Instant::now() + Duration::from_secs(10);
            while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(5));
            }
            if matches!(child.try_wait(), Ok(None)) {
                child.kill().ok();
                child.wait().ok();
            }
        }
    }

    fn ran(&self, command: &mut Command) -> Result<(), StartError> {
        let output = command.current_dir(&self.folder).stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(StartError(format!(
            "{command:?} failed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let left = self.shared_memory();
        self.kill();
        // A server that is killed leaves it, and a system has room for some thousand such.
        if let Some(id) = left {
            Command::new("ipcrm").args(["-m", &id]).output().ok();
        }
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// Finds a PostgreSQL server program: `$CHANGEOVER_PG_BIN`, the newest Debian folder, `PATH`.
///
/// # Errors
/// If it is not installed.
pub fn server_program(name: &str) -> Result<PathBuf, StartError> {
    let mut folders: Vec<PathBuf> = Vec::new();
    folders.extend(std::env::var_os("CHANGEOVER_PG_BIN").map(PathBuf::from));
    if let Ok(entries) = fs::read_dir("/usr/lib/postgresql") {
        let mut versions: Vec<(u32, PathBuf)> = entries
            .flatten()
            .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin"))))
            .collect();
        versions.sort();
        folders.extend(versions.into_iter().rev().map(|(_, path)| path));
    }
    if let Some(path) = std::env::var_os("PATH") {
        folders.extend(std::env::split_paths(&path));
    }
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| StartError(format!("`{name}` is not installed: apt-get install postgresql")))
}

/// Finds a PostgreSQL client program; the same places.
///
/// # Errors
/// If it is not installed.
pub fn client_program(name: &str) -> Result<PathBuf, StartError> {
    server_program(name)
}

fn running_as_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn server_user() -> &'static str {
    let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
    if known.lines().any(|line| line.starts_with("postgres:")) { "postgres" } else { "nobody" }
}

/// The program, run as a user PostgreSQL accepts; a server started so dies with us.
fn as_server_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if running_as_root() {
        let user = server_user();
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    if program.ends_with("postgres") {
        command.args(["--pdeathsig", "QUIT"]);
    }
    command.arg("--").arg(program);
    command
}

fn give_to_server_user(folder: &Path) -> Result<(), StartError> {
    if !running_as_root() {
        return Ok(());
    }
    let status = Command::new("chown").arg(format!("{}:", server_user())).arg(folder).status()?;
    if status.success() { Ok(()) } else { Err(StartError(format!("chown of {folder:?} failed"))) }
}

/// Processes that were killed are gone within this.
const DEATH_WITHIN: Duration = Duration::from_secs(10);

/// Stops every process of the server first, so that none of them can act on another's death; ends
/// when they are gone.
fn kill_tree(postmaster: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    let send = |pid: u32, signal| {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            kill_process(pid, signal).ok();
        }
    };
    // It first, so that it starts no more of them.
    send(postmaster, Signal::STOP);
    let children = format!("/proc/{postmaster}/task/{postmaster}/children");
    let children = fs::read_to_string(children).unwrap_or_default();
    let pids: Vec<u32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    for signal in [Signal::STOP, Signal::KILL] {
        pids.iter().for_each(|pid| send(*pid, signal));
    }
    send(postmaster, Signal::KILL);
    // One that is still going would keep the shared memory, and with it the next start, from us.
    let deadline = Instant::now() + DEATH_WITHIN;
    while pids.iter().any(|pid| is_alive(*pid)) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether the process runs: one that nobody has waited for yet does not.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    !matches!(state, None | Some("Z" | "X"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_starts_dies_and_comes_back() {
        let mut cluster = Cluster::for_test("self");
        assert!(cluster.pid().is_some());
        cluster.kill();
        cluster.restart().unwrap();
        let port = cluster.port();
        cluster.stop("fast").unwrap();
        cluster.restart().unwrap();
        assert_eq!(cluster.port(), port);
        let folder = cluster.folder.clone();
        let segment = cluster.shared_memory().unwrap();
        let is_there = || {
            let segments = Command::new("ipcs").arg("-m").output().unwrap();
            String::from_utf8_lossy(&segments.stdout).split_whitespace().any(|it| it == segment)
        };
        assert!(is_there());
        drop(cluster);
        assert!(!folder.exists() && !is_there());
    }
}
