//! The programs, and what the report of each broken one says.

use std::{
    mem,
    thread::sleep,
    time::{Duration, Instant},
};

use ctxhop::{
    carrier::{self, Headers},
    messaging::Destination,
    prelude::*,
    strict::Problem,
};
use opentelemetry::{
    Context,
    trace::{SpanKind, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::task::{LocalSet, yield_now};

use crate::{
    Program, STRICT, block_on,
    support::tagged,
    work::{
        HopsAtEnd, bare_thread, batch, cache, fire_and_forget, guard_across_await, in_pieces, lost, nested,
        out_of_order, pooled, roots_in_halves, roots_in_pieces, watch,
    },
};

pub(crate) const PROGRAMS: &[Program] = &[
    Program {
        name: "a guard across an await",
        broken: |_| {
            block_on(async {
                LocalSet::new()
                    .run_until(async { ctxhop::tokio::spawn_local(guard_across_await()).await.unwrap() })
                    .await;
            });
        },
        mended: |_| {
            block_on(async {
                LocalSet::new()
                    .run_until(async {
                        ctxhop::tokio::spawn_local(yield_now().with_context(tagged("auth"))).await.unwrap()
                    })
                    .await;
            });
        },
        expected: &[
            "1 problem in 1 hop",
            "LEAKED    1 guard outlives the work of tokio::spawn_local at tests/strict/programs.rs",
            "attached by ",
            " at tests/strict/work.rs:",
        ],
    },
    Program {
        name: "a guard that is forgotten, and seen later",
        broken: |_| {
            tagged("request").wrap(|| mem::forget(tagged("auth").attach()))();
            (0..5).for_each(|_| tagged("other").wrap(|| ())());
        },
        mended: |_| {
            tagged("request").wrap(|| drop(tagged("auth").attach()))();
            (0..5).for_each(|_| tagged("other").wrap(|| ())());
        },
        expected: &[
            "1 problem in 6 hops",
            "LEAKED    1 guard outlives the work of wrap at tests/strict/programs.rs",
            "5 later hops on its thread saw it",
        ],
    },
    Program {
        name: "a guard that is forgotten after others that are not, and seen once",
        broken: |_| {
            tagged("request").wrap(|| {
                drop(tagged("before").attach());
                mem::forget(tagged("auth").attach());
            })();
            tagged("other").wrap(|| ())();
        },
        mended: |_| tagged("request").wrap(|| drop(tagged("before").attach()))(),
        expected: &["1 problem in 2 hops", "LEAKED    1 guard outlives", "1 later hop on its thread saw it"],
    },
    Program {
        name: "a hop where the context is lost already",
        broken: |tracer| block_on(lost(tracer.clone(), |work| tokio::spawn(work))),
        mended: |tracer| block_on(lost(tracer.clone(), |work| ctxhop::tokio::spawn(work))),
        expected: &[
            "1 problem in 1 hop",
            "LOST      1 of 1 captures were empty while spans were open: tokio::spawn_blocking at tests/strict/work.rs",
            "roots that came of it: page ×1, render ×2",
        ],
    },
    Program {
        name: "a bare thread",
        broken: |tracer| bare_thread(tracer, std::thread::spawn),
        mended: |tracer| bare_thread(tracer, ctxhop::thread::spawn),
        expected: &[
            "1 problem in 0 hops",
            "ROOT      1 span has no parent, outside any hop, while others were open: \"render\"",
            "started by ",
            "bare_thread",
        ],
    },
    Program {
        name: "root spans of more names than are told apart",
        broken: |tracer| {
            let _open = tracer.start("other");
            (0..300).for_each(|job| drop(tracer.start(format!("job {job}"))));
        },
        mended: |tracer| (0..300).for_each(|job| drop(tracer.start(format!("job {job}")))),
        expected: &["257 problems", "ROOT      44 spans have no parent", "\"(other names)\""],
    },
    Program {
        name: "a pooled connection that outlives its request",
        broken: |tracer| block_on(pooled(tracer, |connection| ctxhop::tokio::spawn(connection))),
        mended: |tracer| {
            block_on(pooled(tracer, |connection| {
                tokio::spawn(connection.with_context(Context::current().parent_only()))
            }))
        },
        expected: &[
            "1 problem in 1 hop",
            "HELD      1 hop holds the ended span \"GET /orders\"",
            "tokio::spawn at tests/strict/programs.rs",
        ],
    },
    Program {
        name: "a detached future in a task that carries",
        broken: |tracer| block_on(fire_and_forget(tracer, |work| ctxhop::tokio::spawn(work.detached()))),
        mended: |tracer| block_on(fire_and_forget(tracer, |work| ctxhop::tokio::spawn_detached(work))),
        expected: &[
            "OPEN      1 span has not ended: \"GET /orders\"",
            "held by tokio::spawn at tests/strict/programs.rs",
        ],
    },
    Program {
        name: "the last value of a watch",
        broken: |tracer| watch(tracer, |tx| tx.send_with_current_context(7).unwrap()),
        mended: |tracer| watch(tracer, |tx| tx.send_parent_only(7).unwrap()),
        expected: &[
            "OPEN      1 span has not ended: \"GET /orders\"",
            "held by channel::send at tests/strict/programs.rs",
        ],
    },
    Program {
        name: "the last value of a watch that is modified",
        broken: |tracer| watch(tracer, |tx| tx.send_modify_with_current_context(|n| *n += 1)),
        mended: |tracer| watch(tracer, |tx| tx.send_modify_parent_only(|n| *n += 1)),
        expected: &[
            "OPEN      1 span has not ended: \"GET /orders\"",
            "held by channel::send_modify at tests/strict/programs.rs",
        ],
    },
    Program {
        name: "what is detached on purpose, and what it spawns",
        broken: |tracer| block_on(lost(tracer.clone(), |work| tokio::spawn(work))),
        mended: |tracer| {
            block_on(async {
                let (_open, render) = (tracer.start("other"), tracer.clone());
                // A capture that makes no hop.
                drop(Context::capture());
                let accept = async { ctxhop::tokio::spawn(async move { drop(render.start("flush")) }).await.unwrap() };
                ctxhop::tokio::spawn_detached(accept).await.unwrap();
            });
        },
        expected: &["LOST      1 of 1 captures"],
    },
    Program {
        name: "a trace that is started on purpose",
        broken: |tracer| bare_thread(tracer, std::thread::spawn),
        mended: |tracer| {
            let _open = tracer.start("other");
            drop(tracer.start("expected root"));
            for kind in [SpanKind::Server, SpanKind::Consumer] {
                drop(tracer.span_builder("of a message").with_kind(kind).start(tracer));
            }
        },
        expected: &["ROOT      1 span"],
    },
    Program {
        name: "a provider without the processor",
        broken: |tracer| block_on(lost(tracer.clone(), |work| tokio::spawn(work))),
        mended: |_| block_on(lost(SdkTracerProvider::builder().build().tracer("other"), |work| tokio::spawn(work))),
        expected: &["LOST      1 of 1 captures"],
    },
    Program {
        name: "a hop in the work of another one, which holds an ended span",
        broken: |tracer| {
            let request = Context::new().with_span(tracer.start("GET /orders"));
            request.clone().wrap(|| mem::forget(1.with_current_context()))();
            request.span().end();
        },
        mended: |tracer| {
            let request = Context::new().with_span(tracer.start("GET /orders"));
            request.clone().wrap(|| drop(1.with_current_context()))();
            request.span().end();
        },
        expected: &[
            "HELD      1 hop holds the ended span \"GET /orders\"",
            "by way of: wrap at tests/strict/programs.rs",
        ],
    },
    Program {
        name: "hops in the work of others, as many as are remembered and more",
        broken: |tracer| {
            for (name, hops) in [("eight", 8), ("thirty", 30)] {
                let request = Context::new().with_span(tracer.start(name));
                request.run(|| nested(hops, || mem::forget(1.with_current_context())));
                request.span().end();
            }
        },
        mended: |tracer| {
            let request = Context::new().with_span(tracer.start("thirty"));
            request.run(|| nested(30, || drop(1.with_current_context())));
            request.span().end();
        },
        expected: &["2 problems", "\"eight\"", "by way of: wrap at", "\"thirty\"", "by way of: wrap at"],
    },
    Program {
        name: "a span that has lasted for long, and is held since its end",
        broken: |tracer| {
            let request = Context::new().with_span(tracer.start("GET /orders"));
            mem::forget(request.clone().wrap(|| ()));
            sleep(Duration::from_millis(30));
            let before = Instant::now();
            request.span().end();
            let report = STRICT.get().unwrap().report();
            let [Problem::Held { longest, .. }] = report.problems() else { panic!("{report}") };
            assert!(*longest <= before.elapsed(), "{report}");
        },
        mended: |tracer| {
            let request = Context::new().with_span(tracer.start("GET /orders"));
            request.clone().wrap(|| ())();
            request.span().end();
        },
        expected: &["HELD      1 hop holds the ended span \"GET /orders\""],
    },
    Program {
        name: "a hop in a processor, while a span ends",
        broken: |tracer| bare_thread(tracer, std::thread::spawn),
        mended: |_| {
            let provider = SdkTracerProvider::builder().with_span_processor(HopsAtEnd).build();
            let tracer = provider.tracer("hops");
            Context::new().with_span(tracer.start("request")).run(|| Context::current().span().end());
        },
        expected: &["ROOT      1 span"],
    },
    Program {
        name: "a provider that is shut down",
        broken: |tracer| cache(Context::new().with_span(tracer.start("GET /orders"))),
        mended: |_| {
            let provider = SdkTracerProvider::builder().with_span_processor(STRICT.get().unwrap().processor()).build();
            mem::forget(provider.tracer("other").start("GET /orders"));
            provider.shutdown().unwrap();
        },
        expected: &["OPEN      1 span"],
    },
    Program {
        name: "a context in a cache",
        broken: |tracer| cache(Context::new().with_span(tracer.start("GET /orders"))),
        mended: |tracer| cache(Context::new().with_span(tracer.start("GET /orders")).parent_only()),
        expected: &["1 problem in 0 hops", "OPEN      1 span has not ended: \"GET /orders\""],
    },
    Program {
        name: "a guard that is forgotten in a piece of a parallel iterator",
        broken: |_| in_pieces(|| mem::forget(tagged("auth").attach())),
        mended: |_| in_pieces(|| drop(tagged("auth").attach())),
        expected: &[
            "1 problem in 1 hop",
            "LEAKED    1 guard outlives the work of with_context at tests/strict/work.rs",
            "attached by ",
        ],
    },
    Program {
        name: "the items of a batch that outlive their request",
        broken: |tracer| batch(&Context::new().with_span(tracer.start("GET /orders")), Clone::clone),
        mended: |tracer| batch(&Context::new().with_span(tracer.start("GET /orders")), ContextExt::parent_only),
        expected: &[
            "1 problem in 1 hop",
            "HELD      1 hop holds the ended span",
            "with_context at tests/strict/work.rs",
        ],
    },
    Program {
        name: "a trace that is started on purpose, in the pieces of a parallel iterator",
        broken: |tracer| roots_in_pieces(tracer, std::thread::spawn),
        mended: |tracer| roots_in_pieces(tracer, ctxhop::thread::spawn_detached),
        expected: &[
            "1 problem in 1 hop",
            "LOST      1 of 1 captures were empty while spans were open: with_context at tests/strict/work.rs",
            "roots that came of it: flush ×64",
        ],
    },
    Program {
        name: "a trace that is started on purpose, in the halves of a join",
        broken: |tracer| roots_in_halves(tracer, std::thread::spawn),
        mended: |tracer| roots_in_halves(tracer, ctxhop::thread::spawn_detached),
        expected: &["1 problem in 0 hops", "ROOT      2 spans have no parent"],
    },
    Program {
        name: "a hop that is given nothing, after a join that captured nothing",
        broken: |tracer| block_on(lost(tracer.clone(), |work| tokio::spawn(work))),
        mended: |tracer| {
            let (_open, flush) = (tracer.start("other"), tracer.clone());
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            pool.join_with_current_context(|| (), || ());
            ctxhop::thread::spawn_with_context(Context::new(), move || drop(flush.start("flush"))).join().unwrap();
        },
        expected: &["LOST      1 of 1 captures"],
    },
    Program {
        name: "a thread without room",
        broken: |_| {
            let _guards: Vec<_> = (0..65_600).map(|_| Context::new().attach()).collect();
            tagged("request").run(|| ());
        },
        mended: |_| {
            let _guards: Vec<_> = (0..1_000).map(|_| Context::new().attach()).collect();
            tagged("request").run(|| ());
        },
        expected: &[
            "1 problem in 0 hops",
            "FULL      1 context found no room: the thread has 65,534 contexts attached",
        ],
    },
    Program {
        name: "a guard on a thread that had no room before",
        broken: |tracer| {
            let mut guards: Vec<_> = (0..65_600).map(|_| Context::new().attach()).collect();
            tagged("request").wrap(|| ())();
            while guards.pop().is_some() {}
            let _start = Context::new().with_span(tracer.start("start")).attach();
            drop(carrier::extract(&Headers::new()));
        },
        mended: |tracer| {
            tagged("request").wrap(|| ())();
            Context::new().with_span(tracer.start("start")).run(|| ());
            drop(carrier::extract(&Headers::new()));
        },
        expected: &["2 problems in 1 hop", "FULL      1 context found no room", "NON-ROOT  1 message"],
    },
    Program {
        name: "a guard around hops whose guards are dropped out of order",
        broken: |tracer| {
            let _start = Context::new().with_span(tracer.start("start")).attach();
            tagged("job").wrap(out_of_order)();
            drop(carrier::extract(&Headers::new()));
        },
        mended: |_| {
            tagged("job").wrap(out_of_order)();
            drop(carrier::extract(&Headers::new()));
        },
        expected: &["1 problem in 1 hop", "NON-ROOT  1 message"],
    },
    Program {
        name: "a guard around a hop that leaks another one, which is dropped later",
        broken: |tracer| {
            let _start = Context::new().with_span(tracer.start("start")).attach();
            drop(tagged("job").wrap(|| tagged("auth").attach())());
            drop(carrier::extract(&Headers::new()));
        },
        mended: |_| {
            tagged("job").wrap(|| drop(tagged("auth").attach()))();
            drop(carrier::extract(&Headers::new()));
        },
        expected: &["2 problems in 1 hop", "LEAKED    1 guard", "NON-ROOT  1 message"],
    },
    Program {
        name: "a guard around block_on",
        broken: |tracer| {
            let _start = Context::new().with_span(tracer.start("start")).attach();
            block_on(async { Destination::new("rabbitmq", "orders").process(&Headers::new()).run(|| ()) });
        },
        mended: |tracer| {
            Context::new().with_span(tracer.start("start")).run(|| ());
            block_on(async { Destination::new("rabbitmq", "orders").process(&Headers::new()).run(|| ()) });
        },
        expected: &[
            "NON-ROOT  1 message was received while a span was current that no hop attached: process at tests/strict/programs.rs",
        ],
    },
    Program {
        name: "a guard around a consumer's loop",
        broken: |tracer| {
            let _start = Context::new().with_span(tracer.start("start")).attach();
            drop(carrier::extract(&Headers::new()));
        },
        mended: |tracer| {
            Context::new().with_span(tracer.start("start")).run(|| ());
            drop(carrier::extract(&Headers::new()));
        },
        expected: &[
            "1 problem in 0 hops",
            "NON-ROOT  1 message was received while a span was current that no hop attached: extract at tests/strict/programs.rs",
        ],
    },
];
