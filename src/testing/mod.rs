//! Record spans in memory and look at the traces that they form, as text or as a web page; check carriers.
//!
//! A context that is lost at a hop shows as a trace in pieces. [`TraceRecorder`] is a tracer provider that keeps its
//! spans, [`TraceTree`] puts them together and draws them:
//!
//! ```
//! use ctxhop::testing::TraceRecorder;
//! use opentelemetry::{Context, trace::{TraceContextExt, Tracer}};
//!
//! let recorder = TraceRecorder::new();
//! let tracer = recorder.tracer("shop");
//! let order = Context::new().with_span(tracer.start("order"));
//! let ship = move || drop(tracer.start("ship"));
//! {
//!     let _guard = order.attach();
//!     ctxhop::thread::spawn(ship.clone()).join().unwrap();
//!     std::thread::spawn(ship).join().unwrap(); // loses the context
//! }
//! assert_eq!(recorder.tree().display().durations(false).to_string(), "\
//! order
//! └─ ship
//! ship");
//! ```
//!
//! So a test of a service calls [`recorder.tree().assert_single_trace()`](TraceTree::assert_single_trace), or compares
//! the drawing, which is the same in every run, with the expected one. [`TraceRecorder::wait_until`] waits for spans
//! that end later, and [`TraceRecorder::open_spans`] tells which spans something still holds.
//!
//! A system of several services is one recorder, with a [`service`](TraceRecorder::service) for each.
//! [`TraceTree::services`] says which calls which, and [`TraceTree::html`] makes a page to look at.
//!
//! [`carrier_contract`] checks a [`Carrier`](crate::carrier::Carrier) that you implement.

mod carrier;
mod drawing;
mod html;
mod origin;
mod recorder;
mod services;
mod store;
mod tree;

pub use carrier::{CarrierContract, carrier_contract};
pub use drawing::TreeDisplay;
pub use html::TreeHtml;
pub use recorder::TraceRecorder;
pub use services::{Service, ServiceEdge, ServiceEdgeKind, ServiceGraph};
pub use tree::{Parent, TraceNode, TraceTree};
