use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body;
use opentelemetry::{
    Context, KeyValue,
    trace::{Span, SpanBuilder, SpanRef, Status, TraceContextExt, Tracer},
};

use super::{
    Messages,
    exchange::{Ending, Exchange, Failure, Start, Verdict, recorded},
    http::protocol_version,
    messages::{Counter, Counts, Direction},
    settings::Settings,
    side::{Origin, Side},
};
use crate::conventions::{CONTEXT_REJECTED, ERROR_TYPE, PANIC, REASON};

/// A request under way, from the call of the service to the end of the response's body. It ends once: by
/// [`end`](Self::end), or when it is dropped.
pub(super) struct Call {
    settings: Arc<Settings>,
    /// `None` once it has ended.
    exchange: Option<Exchange>,
    context: Context,
    /// The context's span is the request's, not an outer one.
    own_span: bool,
    measured: bool,
    metric: Vec<KeyValue>,
    /// How many bytes of the response are still to come, if that is known.
    left: Option<u64>,
    counts: Option<Arc<Counts>>,
    began: SystemTime,
    /// For the duration, because the system's time may jump.
    clock: Instant,
}

impl Call {
    /// Starts the span, and sends its context along if the request goes out.
    pub(super) fn start<B>(settings: &Arc<Settings>, request: &mut Request<B>) -> Self {
        let (began, clock) = (SystemTime::now(), Instant::now());
        let Origin { base, link, rejected } = settings.side.origin(settings, request.headers());
        let (exchange, Start { name, span, metric }) = Exchange::start(settings, request);

        let tracer = settings.tracer();
        // By its fields: a builder's methods move it, and it is large.
        let mut builder = SpanBuilder::from_name(name);
        builder.span_kind = Some(settings.side.kind());
        builder.start_time = Some(began);
        builder.attributes = Some(span);
        builder.links = link.map(|link| vec![link]);
        let measured = !base.is_telemetry_suppressed();
        let span = tracer.build_with_context(builder, &base);
        // A span that is none must not take the place of the outer one: the context would stop flowing. A no-op tracer's
        // span has the parent's span context.
        let own_span =
            span.span_context().is_valid() && span.span_context().span_id() != base.span().span_context().span_id();
        let context = if own_span { base.with_span(span) } else { base };

        let counts = (own_span && settings.messages != Messages::Ignore && matches!(exchange, Exchange::Grpc(_)))
            .then(Arc::<Counts>::default);
        let call = Self {
            settings: settings.clone(),
            exchange: Some(exchange),
            context,
            own_span,
            measured,
            metric,
            left: None,
            counts,
            began,
            clock,
        };
        call.count_active(1);
        if let (Some(span), Some(rejected)) = (call.span(), rejected) {
            let reason = KeyValue::new(REASON, rejected.to_string());
            span.add_event(CONTEXT_REJECTED, vec![reason]);
        }
        call.record_headers(request.headers(), |settings, exchange| {
            (exchange.header_prefixes().request, &settings.request_headers)
        });
        if settings.side == Side::Client {
            settings.inject(&call.context, request.headers_mut());
        }
        call
    }

    pub(super) const fn context(&self) -> &Context {
        &self.context
    }

    /// Takes note of the response's head; of the whole response, if there is no more to come.
    pub(super) fn respond<B: Body>(&mut self, response: &mut Response<B>) {
        let Some(exchange) = &mut self.exchange else { return };
        exchange.respond(response);
        self.left = exchange.length(response);
        if self.settings.side == Side::Client {
            let version = protocol_version(response.version());
            if let Some(span) = self.span() {
                span.set_attributes(version.clone());
            }
            self.metric.extend(version);
        }
        self.record_headers(response.headers(), |settings, exchange| {
            (exchange.header_prefixes().response, &settings.response_headers)
        });
        if let (Side::Server, Some(name)) = (self.settings.side, &self.settings.trace_id_header) {
            let span = self.context.span();
            if span.span_context().is_valid() {
                // In place of the trace id of a service behind this one.
                if let Ok(id) = HeaderValue::try_from(span.span_context().trace_id().to_string()) {
                    response.headers_mut().insert(name.clone(), id);
                }
            }
        }
        if response.body().is_end_stream() {
            self.end(Ending::Complete);
        }
    }

    /// Takes note of a part of the response's body.
    pub(super) fn frame<D>(&mut self, frame: &http_body::Frame<D>, bytes: usize) {
        if let (Some(exchange), Some(trailers)) = (&mut self.exchange, frame.trailers_ref()) {
            exchange.trailers(trailers);
            self.left = Some(0);
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(bytes as u64);
        }
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        self.end(Ending::Failed(failure));
    }

    pub(super) fn end(&mut self, ending: Ending) {
        let context = mem::take(&mut self.context);
        let Some(exchange) = self.exchange.take() else { return };
        let duration = self.clock.elapsed();
        self.end_with(exchange, &context, ending, duration);
    }

    fn end_with(&mut self, exchange: Exchange, context: &Context, ending: Ending, duration: Duration) {
        let metrics = self.measured.then(|| self.settings.metrics());
        let histogram = metrics.map(|metrics| exchange.duration(metrics));
        if let Some(active) = metrics.and_then(|metrics| exchange.active(metrics)) {
            active.add(-1, &self.metric[..2]);
        }
        let Verdict { failure, status, method, unknown } = exchange.verdict(&self.settings, ending, duration);
        let error_type = failure.as_ref().map(|failure| KeyValue::new(ERROR_TYPE, failure.error_type.clone()));
        if let Some(histogram) = histogram {
            self.metric.extend(method.clone().into_iter().chain(status.clone()).chain(error_type.clone()));
            histogram.record(duration.as_secs_f64(), &self.metric);
        }
        if !self.own_span {
            return;
        }
        let span = context.span();
        span.set_attributes(method.into_iter().chain(status).chain(error_type));
        if let Some(counts) = &self.counts {
            span.set_attributes(counts.attributes());
        }
        if let Some((name, original)) = unknown {
            span.update_name(name);
            span.set_attribute(original);
        }
        if let Some(failure) = failure {
            span.set_status(Status::error(failure.description));
        }
        span.end_with_timestamp(self.began.checked_add(duration).unwrap_or_else(SystemTime::now));
    }

    fn count_active(&self, change: i64) {
        if let (true, Some(exchange)) = (self.measured, &self.exchange) {
            if let Some(active) = exchange.active(self.settings.metrics()) {
                active.add(change, &self.metric[..2]);
            }
        }
    }

    pub(super) fn request_counter(&self) -> Option<Counter> {
        self.counter(Direction::of_request(self.settings.side))
    }

    pub(super) fn response_counter(&self) -> Option<Counter> {
        self.counter(Direction::of_response(self.settings.side))
    }

    fn counter(&self, direction: Direction) -> Option<Counter> {
        self.counts.clone().map(|counts| Counter::new(counts, direction, self.settings.messages))
    }

    fn span(&self) -> Option<SpanRef<'_>> {
        self.own_span.then(|| self.context.span())
    }

    fn record_headers<'a>(
        &'a self,
        headers: &HeaderMap,
        which: impl FnOnce(&'a Settings, &Exchange) -> (&'static str, &'a [http::HeaderName]),
    ) {
        let Some(exchange) = &self.exchange else { return };
        let (prefix, names) = which(&self.settings, exchange);
        if let (false, Some(span)) = (names.is_empty(), self.span()) {
            span.set_attributes(recorded(prefix, names, headers));
        }
    }
}

/// Whoever polls it has dropped it.
impl Drop for Call {
    fn drop(&mut self) {
        self.end(if self.left == Some(0) { Ending::Complete } else { Ending::Dropped });
    }
}

/// Ends a call when what it runs panics: a future that has panicked may stay around for long, its span does not.
pub(super) struct EndOnUnwind<'a>(Option<&'a mut Call>);

impl<'a> EndOnUnwind<'a> {
    pub(super) const fn new(call: &'a mut Call) -> Self {
        Self(Some(call))
    }

    /// The work has returned.
    pub(super) fn returned(mut self) -> &'a mut Call {
        self.0.take().expect("taken here only")
    }
}

impl Drop for EndOnUnwind<'_> {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call.fail(Failure::new(PANIC, "panicked"));
        }
    }
}
