//! What a run shows while it goes: a bar on a terminal, now and then a line elsewhere, NDJSON for
//! programs.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use changeover_engine::protocol::{Event, EventKind, RunStatus};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{Output, paint};
use crate::view;

/// Without a terminal a line of progress comes this often.
pub(crate) const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows events and statuses.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    output: &'a Output,
    bar: Option<ProgressBar>,
    counted: bool,
    last_line: Option<(Instant, String)>,
}

impl<'a> Progress<'a> {
    /// A bar if standard error is a terminal and people read along.
    pub(crate) fn new(output: &'a Output) -> Progress<'a> {
        let bar = (!output.is_json() && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(spinner());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Progress { output, bar, counted: false, last_line: None }
    }

    /// Where the run stands now.
    pub(crate) fn status(&mut self, status: &RunStatus) {
        self.output.emit("status", status);
        let text = view::activity(status);
        let Some(bar) = &self.bar else {
            self.now_and_then(text);
            return;
        };
        let amount = view::amount(status);
        if amount.is_some() != self.counted {
            self.counted = amount.is_some();
            bar.set_style(if self.counted { counted() } else { spinner() });
        }
        if let Some((done, all)) = amount {
            bar.set_length(all.max(done));
            bar.set_position(done);
        }
        bar.set_message(text);
    }

    /// Something happened.
    pub(crate) fn event(&mut self, event: &Event) {
        self.output.emit("event", event);
        self.note(&show(event));
    }

    /// A line for people.
    pub(crate) fn note(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.note(text)),
            None => self.output.note(text),
        }
    }

    /// Leaves the terminal as it was.
    pub(crate) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn now_and_then(&mut self, text: String) {
        let due = match &self.last_line {
            None => true,
            Some((at, last)) => at.elapsed() >= LINE_EVERY && *last != text,
        };
        if due {
            self.output.note(format!("  {text}"));
            self.last_line = Some((Instant::now(), text));
        }
    }
}

fn show(event: &Event) -> String {
    let style = match event.kind {
        EventKind::StepFinished | EventKind::AuthorityMoved | EventKind::Ended => {
            paint(AnsiColor::Green)
        }
        EventKind::CalledOff
        | EventKind::Warning
        | EventKind::Paused
        | EventKind::Approval
        | EventKind::Guard => paint(AnsiColor::Yellow),
        EventKind::StepStarted | EventKind::Resumed => paint(AnsiColor::Cyan),
        EventKind::Progress => Style::new().dimmed(),
    };
    let step = event.step.as_deref().unwrap_or("run");
    format!("{} {style}{step}{style:#} {}", view::clock(event.at), event.text)
}

fn spinner() -> ProgressStyle {
    style("{spinner} {wide_msg} {elapsed}")
}

fn counted() -> ProgressStyle {
    style("{bar:24.cyan/dim} {percent:>3}% {wide_msg}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .progress_chars("━╸─")
}
