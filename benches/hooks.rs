//! What a poll costs where tokio's hooks carry the context, beside a bare poll and one of a task that was wrapped at its spawn.
//!
//! ```sh
//! RUSTFLAGS="--cfg tokio_unstable" cargo bench --features tokio-hooks --bench hooks
//! ```
//!
//! Each variant polls one task 10,000 times, in a span's context, on a current-thread runtime. It prints medians of the ratios of
//! rounds that alternate.

#[cfg(tokio_unstable)]
mod measure;

fn main() {
    #[cfg(tokio_unstable)]
    hooks::main();
    #[cfg(not(tokio_unstable))]
    eprintln!("nothing is measured without RUSTFLAGS=\"--cfg tokio_unstable\"");
}

#[cfg(tokio_unstable)]
mod hooks {
    use super::measure::compare;
    use ctxhop::{Snapshot, tokio::hooks};
    use opentelemetry::{
        Context,
        trace::{TraceContextExt, Tracer, TracerProvider},
    };
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tokio::{
        runtime::{Builder, Runtime},
        task::yield_now,
    };

    const POLLS: usize = 10_000;
    const ROUNDS: usize = 301;

    pub(super) fn main() {
        let request = Context::new().with_span(SdkTracerProvider::default().tracer("bench").start("request"));
        let bare = Builder::new_current_thread().build().expect("a runtime");
        let hooked = hooks::install(&mut Builder::new_current_thread()).build().expect("a runtime");
        let run = |runtime: &Runtime, wrapped: bool| {
            let spawn = || if wrapped { ctxhop::tokio::spawn(work()) } else { tokio::spawn(work()) };
            runtime.block_on(async { request.run(spawn).await.expect("no panic") });
        };
        compare(
            &format!("{POLLS} polls"),
            ROUNDS,
            &mut [
                ("bare", &mut || run(&bare, false)),
                ("wrapped", &mut || run(&bare, true)),
                ("hooks", &mut || run(&hooked, false)),
            ],
        );
    }

    async fn work() {
        for _ in 0..POLLS {
            yield_now().await;
        }
    }
}
