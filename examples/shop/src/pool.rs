//! A fixed number of database connections, each with its statements prepared.
//!
//! A connection goes back only when its user says so; one that is dropped in the middle of
//! something (the client left, an error) is closed, so nobody inherits a half-done transaction.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::{Client, Config, NoTls};

use crate::answer::{Refusal, with_causes};
use crate::statements::Statements;

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) statements: Statements,
}

/// The connections.
#[derive(Debug)]
pub(crate) struct Pool {
    config: Config,
    permits: Semaphore,
    idle: Mutex<Vec<Session>>,
}

/// A connection in use.
#[derive(Debug)]
pub(crate) struct Borrowed<'a> {
    pub(crate) session: Session,
    pool: &'a Pool,
    _permit: SemaphorePermit<'a>,
}

impl Borrowed<'_> {
    /// Gives a connection back that is in no transaction.
    pub(crate) fn give_back(self) {
        if !self.session.client.is_closed() {
            self.pool.lock().push(self.session);
        }
    }
}

impl Pool {
    /// A pool that connects when a connection is first needed.
    ///
    /// # Errors
    /// If the URL cannot be read.
    pub(crate) fn new(url: &str, size: usize, version: &str) -> Result<Pool, String> {
        let mut config: Config =
            url.parse().map_err(|e| format!("reading the database URL: {}", with_causes(&e)))?;
        config.application_name(format!("shop {version}")).connect_timeout(Duration::from_secs(10));
        Ok(Pool { config, permits: Semaphore::new(size), idle: Mutex::new(Vec::new()) })
    }

    /// A free connection; waits for one, and makes it if fewer than the pool's size are open.
    ///
    /// # Errors
    /// If no connection can be made. Nothing has been asked of the database then.
    pub(crate) async fn borrow(&self) -> Result<Borrowed<'_>, Refusal> {
        let permit =
            self.permits.acquire().await.map_err(|e| Refusal::NoDatabase(e.to_string()))?;
        let kept = loop {
            match self.lock().pop() {
                Some(session) if session.client.is_closed() => {}
                other => break other,
            }
        };
        let session = match kept {
            Some(session) => session,
            None => self.connect().await.map_err(|e| Refusal::NoDatabase(with_causes(&e)))?,
        };
        Ok(Borrowed { session, pool: self, _permit: permit })
    }

    async fn connect(&self) -> Result<Session, tokio_postgres::Error> {
        let (client, connection) = self.config.connect(NoTls).await?;
        tokio::spawn(async move {
            if let Err(e) = connection.await {
                eprintln!("a database connection broke: {}", with_causes(&e));
            }
        });
        // Like a real service's set-up hook: the setting must survive a move to another server.
        client.batch_execute("SET statement_timeout = '60s'; SET TIME ZONE 'UTC'").await?;
        let statements = Statements::prepare(&client).await?;
        Ok(Session { client, statements })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
