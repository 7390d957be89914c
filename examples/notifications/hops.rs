//! Every hop of the pipeline, twice: [`Carried`], as this crate does it, and [`Bare`], as it is done without.

use std::thread;

use ctxhop::{
    WithContext,
    messaging::{Destination, Relation},
    prelude::*,
    propagation::TraceContextPropagator,
};
use opentelemetry::propagation::{TextMapCompositePropagator, TextMapPropagator};
use rayon::prelude::*;
use tokio::{
    sync::mpsc::{Sender, error::SendError},
    task::JoinHandle,
};

use crate::telemetry::Service;

/// What the pipeline hands work over with. Read `H::spawn` as `ctxhop::tokio::spawn`, and so on.
pub(crate) trait Hops: 'static {
    /// What travels over a channel.
    type Message<T: Send + 'static>: Send + 'static;

    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static;

    fn spawn_blocking<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R>;

    fn spawn_thread<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> thread::JoinHandle<R>;

    fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B);

    /// All of them, in parallel, in order.
    fn map<T: Send, R: Send>(items: Vec<T>, f: impl Fn(T) -> R + Send + Sync) -> Vec<R>;

    fn send<T: Send + 'static>(
        tx: &Sender<Self::Message<T>>,
        value: T,
    ) -> impl Future<Output = Result<(), SendError<T>>> + Send;

    fn run<T: Send + 'static, R>(message: Self::Message<T>, f: impl FnOnce(T) -> R) -> R;

    /// What goes through the headers of messages and requests.
    fn propagator() -> impl TextMapPropagator + Send + Sync + 'static;

    /// A queue, as a service sees it. What is processed belongs to the notification, and is linked to the worker.
    fn describe(service: Service, queue: Destination) -> Destination {
        queue
            .relation(Relation::Parent)
            .with_propagator(Self::propagator())
            .with_tracer_provider(&service.telemetry().provider)
    }
}

/// The context goes along.
pub(crate) struct Carried;

impl Hops for Carried {
    type Message<T: Send + 'static> = WithContext<T>;

    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        ctxhop::tokio::spawn(future)
    }

    fn spawn_blocking<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
        ctxhop::tokio::spawn_blocking(f)
    }

    fn spawn_thread<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> thread::JoinHandle<R> {
        ctxhop::thread::spawn(f)
    }

    fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
        ctxhop::rayon::join(a, b)
    }

    fn map<T: Send, R: Send>(items: Vec<T>, f: impl Fn(T) -> R + Send + Sync) -> Vec<R> {
        items.into_par_iter().in_current_context(|items| items.map(f)).collect()
    }

    fn send<T: Send + 'static>(
        tx: &Sender<WithContext<T>>,
        value: T,
    ) -> impl Future<Output = Result<(), SendError<T>>> + Send {
        tx.send_with_current_context(value)
    }

    fn run<T: Send + 'static, R>(message: WithContext<T>, f: impl FnOnce(T) -> R) -> R {
        message.run(f)
    }

    fn propagator() -> impl TextMapPropagator + Send + Sync + 'static {
        TraceContextPropagator::new()
    }
}

/// The context stays behind, at each hop. On the far side is none, and the next span starts a trace of its own; or, which
/// is worse, a stranger's: here a worker gets the blame for what it could not deliver, and the writer gets the records.
pub(crate) struct Bare;

impl Hops for Bare {
    type Message<T: Send + 'static> = T;

    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        tokio::spawn(future)
    }

    fn spawn_blocking<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
        tokio::task::spawn_blocking(f)
    }

    fn spawn_thread<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> thread::JoinHandle<R> {
        thread::spawn(f)
    }

    fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
        rayon::join(a, b)
    }

    fn map<T: Send, R: Send>(items: Vec<T>, f: impl Fn(T) -> R + Send + Sync) -> Vec<R> {
        items.into_par_iter().map(f).collect()
    }

    fn send<T: Send + 'static>(tx: &Sender<T>, value: T) -> impl Future<Output = Result<(), SendError<T>>> + Send {
        tx.send(value)
    }

    fn run<T: Send + 'static, R>(message: T, f: impl FnOnce(T) -> R) -> R {
        f(message)
    }

    /// Nothing goes through.
    fn propagator() -> impl TextMapPropagator + Send + Sync + 'static {
        TextMapCompositePropagator::new(Vec::new())
    }
}
