//! PostgreSQL's own client programs: where they are, and running one without showing a secret.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use changeover_types::Side;

use crate::config::ConnectConfig;
use crate::error::{Error, Result};

/// Bytes of a child's complaint that are kept: the end, which is where the cause is.
const COMPLAINT_BYTES: usize = 16 * 1024;

/// `pg_dump` and `pg_restore` of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// The path of `pg_dump`.
    pub dump: PathBuf,
    /// The path of `pg_restore`.
    pub restore: PathBuf,
    /// Their major version.
    pub major: u32,
    /// What starts them so that they end with us, also if we are killed; empty if nothing does.
    guard: Vec<OsString>,
}

impl Tools {
    /// Finds a pair whose version is at least `major`: the newest in the first of
    /// `$CHANGEOVER_PG_BIN`, Debian's folders and `PATH` that has one. Debian's programs on `PATH`
    /// are wrappers that cost a start of Perl each.
    ///
    /// # Errors
    /// [`Local`](crate::error::ErrorKind::Local), which says what was found instead.
    pub async fn find(major: u32) -> Result<Tools> {
        let mut newest = None;
        for place in places() {
            let mut found: Vec<Tools> = Vec::new();
            for folder in place {
                found.extend(Tools::within(&folder).await);
            }
            let best = found.into_iter().max_by_key(|tools| tools.major);
            newest = newest.max(best.as_ref().map(|tools| tools.major));
            if let Some(tools) = best.filter(|tools| tools.major >= major) {
                return Ok(tools);
            }
        }
        let instead = newest.map_or("none were".to_owned(), |n| format!("only {n} was"));
        Err(Error::local(
            Side::Source,
            format!(
                "pg_dump and pg_restore of version {major} or newer are needed, {instead} found in \
                 $CHANGEOVER_PG_BIN, /usr/lib/postgresql and PATH: apt-get install \
                 postgresql-client-{major}"
            ),
        ))
    }

    /// The same, started by `guard`: a program and its words, which reads a pipe from us and ends the
    /// command that follows when the pipe closes.
    #[must_use]
    pub fn under(mut self, guard: Vec<OsString>) -> Tools {
        self.guard = guard;
        self
    }

    /// Runs a program to its end and gives back what it printed. Dropping the future ends it.
    pub(super) async fn run(
        &self,
        program: &Path,
        arguments: &[OsString],
        server: &ConnectConfig,
    ) -> Result<Vec<u8>> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let io = |e| Error::io(server.side, format!("{name} could not be run"), e);
        let mut command = match self.guard.split_first() {
            Some((guard, words)) => {
                let mut command = Command::new(guard);
                // Killed, it could not end the program: it goes when its pipe closes.
                command.args(words).arg(program).process_group(0).stdin(Stdio::piped());
                command
            }
            None => {
                let mut command = Command::new(program);
                command.kill_on_drop(true).stdin(Stdio::null());
                command
            }
        };
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Nothing of the operator's own PostgreSQL environment may redirect or colour the run.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("PG") {
                command.env_remove(variable);
            }
        }
        // Secrets go into the environment: arguments are visible to everyone on the machine.
        command.env("LC_ALL", "C.UTF-8").env("PGAPPNAME", super::APPLICATION);
        command.envs(server.libpq_env());
        // A target that is kept read-only by default until the cutover is written by us all the same.
        let mut options = vec!["-c default_transaction_read_only=off"];
        let given = server.options.iter().filter(|(name, _)| name == "options");
        options.extend(given.map(|(_, value)| value.as_str()));
        command.env("PGOPTIONS", options.join(" "));
        let mut child = command.spawn().map_err(io)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // Waiting would close it.
        let _pipe = child.stdin.take();
        let (printed, complaint, status) = tokio::join!(
            read_all(stdout, usize::MAX),
            read_all(stderr, COMPLAINT_BYTES),
            child.wait()
        );
        let (printed, complaint, status) =
            (printed.map_err(io)?, complaint.map_err(io)?, status.map_err(io)?);
        if status.success() {
            return Ok(printed);
        }
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        Err(Error::local(server.side, format!("{name} failed ({status}): {complaint}")))
    }

    /// The pair in a folder; one of different versions is as good as its older half.
    async fn within(folder: &Path) -> Option<Tools> {
        let (dump, restore) = (folder.join("pg_dump"), folder.join("pg_restore"));
        if !dump.is_file() || !restore.is_file() {
            return None;
        }
        let major = version(&dump).await?.min(version(&restore).await?);
        Some(Tools { dump, restore, major, guard: Vec::new() })
    }
}

/// Where to look, one place after another.
fn places() -> [Vec<PathBuf>; 3] {
    let given = std::env::var_os("CHANGEOVER_PG_BIN").map(PathBuf::from);
    let debian = std::fs::read_dir("/usr/lib/postgresql").map_or_else(
        |_| Vec::new(),
        |entries| entries.flatten().map(|entry| entry.path().join("bin")).collect(),
    );
    let path = std::env::var_os("PATH")
        .map_or_else(Vec::new, |path| std::env::split_paths(&path).collect());
    [given.into_iter().collect(), debian, path]
}

async fn version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().await.ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// The major version in `pg_dump (PostgreSQL) 15.18 (Debian …)`.
fn parse_version(text: &str) -> Option<u32> {
    let after = text.split("(PostgreSQL)").nth(1)?.trim_start();
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Everything that comes, of which the last `keep` bytes are kept.
async fn read_all(pipe: Option<impl AsyncRead + Unpin>, keep: usize) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let Some(mut pipe) = pipe else { return Ok(kept) };
    let mut chunk = vec![0; 8192];
    loop {
        let n = pipe.read(&mut chunk).await?;
        if n == 0 {
            return Ok(kept);
        }
        kept.extend_from_slice(&chunk[..n]);
        if kept.len() / 2 > keep {
            kept.drain(..kept.len() - keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_distributions_print_them() {
        let of = |text: &str| parse_version(text);
        assert_eq!(of("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(of("pg_restore (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(of("something else"), None);
    }

    #[tokio::test]
    async fn a_failing_program_is_quoted_and_shows_no_secret() {
        let url = "postgresql://me:geheim@127.0.0.1:1/db";
        let server = ConnectConfig::parse(Side::Target, url).unwrap();
        let arguments = ["-c", "echo \"no $PGUSER $PGSSLMODE\" >&2; exit 3"].map(OsString::from);
        let e = unguarded().run(Path::new("/bin/sh"), &arguments, &server).await.unwrap_err();
        assert_eq!(e.to_string(), "target: sh failed (exit status: 3): no me disable");
    }

    fn unguarded() -> Tools {
        Tools { dump: PathBuf::new(), restore: PathBuf::new(), major: 15, guard: Vec::new() }
    }

    /// The guard here is a shell; ours is tested where it is.
    #[tokio::test]
    async fn a_guarded_program_ends_when_its_future_is_dropped() {
        let server = ConnectConfig::parse(Side::Target, "postgresql://me@127.0.0.1:1/db").unwrap();
        let guard = ["/bin/sh", "-c", "exec 3<&0; \"$@\" & read x <&3; kill $!; wait", "guard"];
        let tools = unguarded().under(guard.map(OsString::from).to_vec());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600", file.display());
        let arguments = [OsString::from("-c"), script.into()];
        let pid = {
            let running = tools.run(Path::new("/bin/sh"), &arguments, &server);
            let begun = async {
                while !file.exists() {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                ended = running => panic!("{ended:?}"),
                () = begun => std::fs::read_to_string(&file).unwrap(),
            }
        };
        let process = Path::new("/proc").join(pid.trim());
        let lives =
            || std::fs::read_to_string(process.join("cmdline")).is_ok_and(|it| !it.is_empty());
        let begun = std::time::Instant::now();
        while lives() {
            assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{pid} lives on");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}
