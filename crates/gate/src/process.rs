//! The gate process: bind everything, carry traffic on every core, obey, drain.
//!
//! Everything is bound before anything is served, so that a gate either stands whole or says what
//! is in its way. The main thread keeps the hold's time, answers the control socket and asks the
//! databases in doubt; traffic threads never write to disk.

mod announce;
mod bind;
mod descriptors;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use changeover_routing::RouteTable;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::control::{Control, ControlBindError};
use crate::postgres::PostgresGateConfig;
use crate::state::{DiskError, GateConfig, HttpGateConfig, Shared};

/// What is in flight when a drain begins may take this long.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// The gate cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The plan gives this process nothing to do.
    #[error("the plan has neither an HTTP nor a PostgreSQL gate: nothing to serve")]
    NothingToServe,
    /// A side without instances.
    #[error("the HTTP gate has no upstream on the {0}: name at least one in the plan")]
    NoUpstream(changeover_types::Side),
    /// An address is taken or may not be used.
    #[error("cannot listen on {address} for {what}: is something else, or another gate, there?")]
    Listen {
        /// Which gate.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The system allows too few open files.
    #[error(
        "this process may have {limit} open files, and a gate needs {needed} at least: raise the hard \
         limit (ulimit -Hn, LimitNOFILE=)"
    )]
    Descriptors {
        /// How many it may have.
        limit: u64,
        /// How many it needs for the least.
        needed: u64,
    },
    /// The state folder cannot be made.
    #[error("cannot make the state folder {}", path.display())]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The control socket cannot be had.
    #[error(transparent)]
    Control(#[from] ControlBindError),
    /// The saved route cannot be read.
    #[error(transparent)]
    Route(#[from] DiskError),
    /// The system gave no thread, runtime or signal handler.
    #[error("cannot start {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// A gate that has bound everything and serves nothing yet.
#[derive(Debug)]
pub struct Gate {
    shared: Arc<Shared>,
    control: Control,
    http: Option<(Arc<HttpGateConfig>, Vec<std::net::TcpListener>)>,
    postgres: Option<(Arc<PostgresGateConfig>, Vec<std::net::TcpListener>)>,
    workers: usize,
}

/// Binds, serves until SIGTERM or SIGINT, drains, and returns. Blocks the calling thread.
///
/// # Errors
/// If anything cannot be bound, read or started; nothing is served then.
pub fn run(config: GateConfig) -> Result<(), GateError> {
    Gate::bind(config)?.run()
}

impl Gate {
    /// Takes the control socket's lock, reads the saved route, and binds every address.
    ///
    /// # Errors
    /// What is in the way.
    pub fn bind(mut config: GateConfig) -> Result<Gate, GateError> {
        if config.http.is_none() && config.postgres.is_none() {
            return Err(GateError::NothingToServe);
        }
        if let Some(http) = &config.http {
            for (side, upstreams) in [
                (changeover_types::Side::Source, &http.source),
                (changeover_types::Side::Target, &http.target),
            ] {
                if upstreams.is_empty() {
                    return Err(GateError::NoUpstream(side));
                }
            }
        }
        fit(&mut config)?;
        bind::state_dir(&config.state_dir)?;
        let control = Control::bind(&config.socket)?;
        let prove = config.postgres.is_some();
        let rules = config.http.iter().flat_map(|http| &http.routes);
        let table = RouteTable::new(rules.map(|route| route.rule.clone()).collect());
        let shared =
            Shared::open(config.migration, &config.state_dir, table, prove, config.carries)?;
        let workers = config.workers.max(1);
        let http = match config.http {
            Some(http) => {
                let listeners = bind::listeners("HTTP", http.listen, workers)?;
                Some((Arc::new(http), listeners))
            }
            None => None,
        };
        let postgres = match config.postgres {
            Some(postgres) => {
                let listeners = bind::listeners("PostgreSQL", postgres.listen, workers)?;
                Some((Arc::new(postgres), listeners))
            }
            None => None,
        };
        Ok(Gate { shared, control, http, postgres, workers })
    }

    /// Where HTTP clients connect, also if port 0 was asked for.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().and_then(|(_, listeners)| listeners.first()?.local_addr().ok())
    }

    /// Where PostgreSQL clients connect, also if port 0 was asked for.
    pub fn postgres_address(&self) -> Option<SocketAddr> {
        self.postgres.as_ref().and_then(|(_, listeners)| listeners.first()?.local_addr().ok())
    }

    /// Serves until SIGTERM or SIGINT, then drains. Blocks the calling thread.
    ///
    /// # Errors
    /// If the system gives no thread, runtime or signal handler.
    pub fn run(self) -> Result<(), GateError> {
        let drain = CancellationToken::new();
        let runtime = runtime("the control runtime")?;
        let signals = {
            let _entered = runtime.enter();
            let fail = |source| GateError::System { what: "the signal handlers", source };
            use tokio::signal::unix::{SignalKind, signal};
            let mut term = signal(SignalKind::terminate()).map_err(fail)?;
            let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
            let drain = drain.clone();
            async move {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = interrupt.recv() => {}
                    () = drain.cancelled() => {}
                }
                drain.cancel();
            }
        };
        self.serve(&runtime, signals, &drain, true)
    }

    /// Serves until `drain` is cancelled, then drains. Installs no signal handler, and asks nobody
    /// whether they answer.
    ///
    /// # Errors
    /// If the system gives no thread or runtime.
    pub fn run_until(self, drain: &CancellationToken) -> Result<(), GateError> {
        let runtime = runtime("the control runtime")?;
        self.serve(&runtime, drain.clone().cancelled_owned(), drain, false)
    }

    fn serve(
        self,
        runtime: &Runtime,
        until: impl Future<Output = ()>,
        drain: &CancellationToken,
        announces: bool,
    ) -> Result<(), GateError> {
        let (http_address, postgres_address) = (self.http_address(), self.postgres_address());
        let Gate { shared, control, http, postgres, workers } = self;
        let ask = postgres.as_ref().map(|(config, _)| Arc::clone(config));
        let (http, mut http_listeners) = apart(http);
        let (postgres, mut postgres_listeners) = apart(postgres);
        let mut threads = Vec::with_capacity(workers);
        for number in 0..workers {
            let core = Core {
                http: http.clone().zip(http_listeners.pop()),
                postgres: postgres.clone().zip(postgres_listeners.pop()),
                shared: Arc::clone(&shared),
                drain: drain.clone(),
                runtime: self::runtime("a traffic runtime")?,
            };
            let thread = thread::Builder::new()
                .name(format!("gate-{number}"))
                .spawn(move || core.carry())
                .map_err(|source| GateError::System { what: "a traffic thread", source })?;
            threads.push(thread);
        }
        let told = announce::announce(
            Arc::clone(&shared),
            http.clone().zip(http_address),
            ask.clone().zip(postgres_address),
        );
        let told = announces.then(|| runtime.spawn(told));
        if let Some(config) = http {
            threads.push(mirror(config, Arc::clone(&shared), drain.clone())?);
        }
        let stop = CancellationToken::new();
        let minding = mind(control, Arc::clone(&shared), ask, stop.clone());
        let carrying = async {
            until.await;
            tracing::info!(open = shared.open_work(), parked = shared.parked(), "draining");
            drain.cancel();
            // Orders are obeyed until the last thread has ended.
            let joining = tokio::task::spawn_blocking(move || {
                threads.into_iter().map(thread::JoinHandle::join).filter(Result::is_err).count()
            });
            match joining.await {
                Ok(0) => {}
                Ok(panicked) => tracing::error!(panicked, "traffic threads ended in a panic"),
                Err(error) => tracing::error!(%error, "the traffic threads were not waited for"),
            }
            stop.cancel();
        };
        runtime.block_on(async { tokio::join!(minding, carrying) });
        if let Some(told) = told {
            told.abort();
        }
        Ok(())
    }
}

/// Fits the limits of both gates into the file descriptors that there are.
fn fit(config: &mut GateConfig) -> Result<(), GateError> {
    let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let narrow = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let http = config.http.as_ref();
    let upstreams = |http: &HttpGateConfig| {
        let count = http.source.len() + http.target.len();
        (wide(http.limits.upstream_connections), wide(count))
    };
    let fitted = descriptors::provide(descriptors::Wanted {
        http: http.map_or(0, |http| wide(http.limits.connections)),
        upstreams: http.map_or((0, 0), upstreams),
        postgres: config.postgres.as_ref().map(|postgres| wide(postgres.max_clients)),
    })?;
    if let Some(http) = &mut config.http {
        http.limits.connections = narrow(fitted.http);
        http.limits.upstream_connections = narrow(fitted.upstreams.0);
    }
    if let Some((postgres, most)) = config.postgres.as_mut().zip(fitted.postgres) {
        postgres.max_clients = narrow(most);
    }
    Ok(())
}

/// What one traffic thread runs.
struct Core {
    http: Option<(Arc<HttpGateConfig>, std::net::TcpListener)>,
    postgres: Option<(Arc<PostgresGateConfig>, std::net::TcpListener)>,
    shared: Arc<Shared>,
    drain: CancellationToken,
    runtime: Runtime,
}

impl Core {
    fn carry(self) {
        let Core { http, postgres, shared, drain, runtime } = self;
        runtime.block_on(async {
            let mut gates = JoinSet::new();
            if let Some((config, listener)) = http
                && let Some(listener) = adopt(listener)
            {
                gates.spawn(crate::http::serve(
                    listener,
                    config,
                    Arc::clone(&shared),
                    drain.clone(),
                ));
            }
            if let Some((config, listener)) = postgres
                && let Some(listener) = adopt(listener)
            {
                gates.spawn(crate::postgres::serve(
                    listener,
                    config,
                    Arc::clone(&shared),
                    drain.clone(),
                ));
            }
            let finished = async {
                while let Some(ended) = gates.join_next().await {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a core of a gate ended in a panic");
                    }
                }
            };
            let deadline = async {
                drain.cancelled().await;
                tokio::time::sleep(DRAIN_DEADLINE).await;
            };
            tokio::select! {
                () = finished => {}
                () = deadline => tracing::warn!(
                    open = shared.open_work(),
                    "the drain took too long: what is left is broken off"
                ),
            }
        });
        runtime.shutdown_background();
    }
}

fn adopt(listener: std::net::TcpListener) -> Option<tokio::net::TcpListener> {
    match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::error!(%error, "a bound listener could not be registered with its core");
            None
        }
    }
}

/// Keeps the hold's time, obeys orders, and asks the databases when in doubt; until `stop`.
async fn mind(
    control: Control,
    shared: Arc<Shared>,
    ask: Option<Arc<PostgresGateConfig>>,
    stop: CancellationToken,
) {
    let obey = async {
        if let Err(error) = control.serve(Arc::clone(&shared), stop.clone()).await {
            // Clients are carried on along the present route; holds still lapse.
            tracing::error!(%error, "the control socket cannot be served");
        }
        stop.cancelled().await;
    };
    let doubt = async {
        match ask {
            Some(config) => {
                let numbers =
                    crate::postgres::keep_numbers(Arc::clone(&config), Arc::clone(&shared));
                tokio::join!(crate::postgres::keep_authority(config, Arc::clone(&shared)), numbers);
            }
            // Without databases to ask, only the run's release ends a doubt.
            None => std::future::pending().await,
        }
    };
    let time = shared.keep_time();
    tokio::select! {
        () = obey => {}
        ((), ()) = async { tokio::join!(time, doubt) } => {}
    }
}

/// The thread that sends copies of requests: never one that carries clients.
fn mirror(
    config: Arc<HttpGateConfig>,
    shared: Arc<Shared>,
    drain: CancellationToken,
) -> Result<thread::JoinHandle<()>, GateError> {
    let runtime = runtime("the mirror's runtime")?;
    thread::Builder::new()
        .name("gate-mirror".to_owned())
        .spawn(move || runtime.block_on(crate::http::mirror::run(&config, shared.mirror(), drain)))
        .map_err(|source| GateError::System { what: "the mirror's thread", source })
}

fn runtime(what: &'static str) -> Result<Runtime, GateError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| GateError::System { what, source })
}

fn apart<C>(
    gate: Option<(Arc<C>, Vec<std::net::TcpListener>)>,
) -> (Option<Arc<C>>, Vec<std::net::TcpListener>) {
    match gate {
        Some((config, listeners)) => (Some(config), listeners),
        None => (None, Vec::new()),
    }
}
