use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{Context, SpanId, trace::SpanKind};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};

use super::{
    ledger::{Ledger, Root},
    thread,
};

/// Tells strict mode which spans start and end. Made by [`Strict::processor`](super::Strict::processor).
pub struct Processor {
    ledger: &'static Ledger,
    number: u64,
}

impl Processor {
    pub(super) fn new(ledger: &'static Ledger) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        Self { ledger, number: NUMBERS.fetch_add(1, Ordering::Relaxed) }
    }
}

impl SpanProcessor for Processor {
    fn on_start(&self, span: &mut Span, _cx: &Context) {
        let Some(data) = span.exported_data() else { return };
        let is_root =
            data.parent_span_id == SpanId::INVALID && !matches!(data.span_kind, SpanKind::Server | SpanKind::Consumer);
        let root = is_root.then(|| match thread::current() {
            Some(alive) if alive.lost => Root::OfLostHop(Arc::clone(&alive.origin)),
            Some(_) => Root::OnPurpose,
            None => Root::OfNoHop,
        });
        let key = (data.span_context.trace_id(), data.span_context.span_id());
        self.ledger.started(self.number, key, data.name, root);
    }

    fn on_end(&self, span: SpanData) {
        self.ledger.ended((span.span_context.trace_id(), span.span_context.span_id()));
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        self.ledger.shut_down(self.number);
        Ok(())
    }
}

impl fmt::Debug for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processor").finish_non_exhaustive()
    }
}
