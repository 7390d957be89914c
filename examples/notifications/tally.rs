//! What becomes of the notifications: counted, timed, and written down if asked to.

use std::{
    fmt,
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{complain, input::Channel, worker::Outcome};

/// Delivered and failed, what share failed, and how long it took from batch to delivery.
#[derive(Default)]
pub(crate) struct Tally {
    email: ChannelTally,
    push: ChannelTally,
}

struct ChannelTally {
    failed: u64,
    /// Of the delivered ones, in microseconds. Its size depends on the precision, not on how many there are.
    latencies: Histogram<u64>,
}

impl Default for ChannelTally {
    fn default() -> Self {
        let an_hour = 3_600_000_000;
        let latencies = Histogram::new_with_max(an_hour, 3).expect("3 significant digits are supported");
        Self { failed: 0, latencies }
    }
}

impl Tally {
    /// Counts an outcome; a failure is told, too.
    pub(crate) fn record(&mut self, Outcome { job, result }: &Outcome) {
        let notification = &job.notification;
        let channel = match notification.channel {
            Channel::Email => &mut self.email,
            Channel::Push => &mut self.push,
        };
        match result {
            Ok(()) => {
                // The clock of the batch may be ahead of this one.
                let latency = job.read_at.elapsed().unwrap_or_default();
                let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
                channel.latencies.saturating_record(micros);
            }
            Err(reason) => {
                channel.failed += 1;
                complain(format_args!("{} to {:?} failed: {reason}", notification.id, notification.to));
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["channel", "delivered", "failed", "share", "p50", "p99", "max"];
        write_row(f, header.map(str::to_owned))?;
        let mut total = ChannelTally::default();
        for (name, channel) in [("email", &self.email), ("push", &self.push)] {
            channel.write(f, name)?;
            total.failed += channel.failed;
            total.latencies.add(&channel.latencies).map_err(|_| fmt::Error)?;
        }
        total.write(f, "total")
    }
}

impl ChannelTally {
    fn write(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let latency = |micros| match self.latencies.len() {
            0 => "-".to_owned(),
            _ => format!("{:.1?}", Duration::from_micros(micros)),
        };
        let [p50, p99] = [0.5, 0.99].map(|quantile| latency(self.latencies.value_at_quantile(quantile)));
        let [delivered, failed] = [self.latencies.len(), self.failed].map(|count| count.to_string());
        let share = match self.latencies.len() + self.failed {
            0 => "-".to_owned(),
            all => format!("{:.1}%", 100.0 * self.failed as f64 / all as f64),
        };
        write_row(f, [name.to_owned(), delivered, failed, share, p50, p99, latency(self.latencies.max())])
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, [name, delivered, failed, share, p50, p99, max]: [String; 7]) -> fmt::Result {
    writeln!(f, "{name:<13}{delivered:>9}{failed:>9}{share:>9}{p50:>10}{p99:>10}{max:>10}")
}

/// A file with a line for each outcome: `{"id":"n-0001","delivered":true}`.
pub(crate) struct Receipts {
    path: PathBuf,
    file: BufWriter<File>,
    written: io::Result<()>,
}

#[derive(Serialize)]
struct Receipt<'a> {
    id: &'a str,
    delivered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Receipts {
    /// The file must be a new one, lest it be the input.
    pub(crate) fn create(path: &Path) -> Result<Self, String> {
        let file = File::create_new(path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), written: Ok(()) })
    }

    /// After the first error nothing more is written: the notifications go on.
    pub(crate) fn write(&mut self, Outcome { job, result }: &Outcome) {
        if self.written.is_ok() {
            let reason = result.as_ref().err().map(String::as_str);
            let receipt = Receipt { id: &job.notification.id, delivered: result.is_ok(), reason };
            self.written = serde_json::to_writer(&mut self.file, &receipt)
                .map_err(io::Error::from)
                .and_then(|()| self.file.write_all(b"\n"));
        }
    }

    /// Flushes, and says whether all has been written.
    pub(crate) fn finish(mut self) -> Result<(), String> {
        let Self { path, file, written } = &mut self;
        std::mem::replace(written, Ok(()))
            .and_then(|()| file.flush())
            .map_err(|error| format!("{} is incomplete: {error}", path.display()))
    }
}
