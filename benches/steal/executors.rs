//! The executors as the loads see them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;

use wippy::scheduler::{self, Scheduler};

use crate::WORKERS;

/// Runs futures on [`WORKERS`] threads.
pub(crate) trait Executor: Clone + Send + Sync + 'static {
    /// The end of a task, for whoever waits for it.
    type Handle<T: Send + 'static>: Future<Output = T> + Send + Unpin + 'static;

    fn start() -> Self;

    fn spawn<F>(&self, future: F) -> Self::Handle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static;

    /// Spawns a task that nobody will wait for.
    fn detach(&self, future: impl Future<Output = ()> + Send + 'static);

    /// Waits for a task on a thread that is no worker.
    fn wait<T: Send + 'static>(&self, handle: Self::Handle<T>) -> T;

    /// Runs a future on a worker and waits for it.
    fn run<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.wait(self.spawn(future))
    }
}

/// Our scheduler, without a driver.
#[derive(Clone)]
pub(crate) struct Ours(pub(crate) Scheduler);

pub(crate) struct OursHandle<T>(scheduler::JoinHandle<T>);

impl Executor for Ours {
    type Handle<T: Send + 'static> = OursHandle<T>;

    fn start() -> Self {
        Ours(Scheduler::builder("bench").workers(WORKERS).build().expect("threads"))
    }

    fn spawn<F>(&self, future: F) -> OursHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        OursHandle(self.0.spawn_future(future).expect("within the bound"))
    }

    fn detach(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn_detached(future).expect("within the bound");
    }

    fn wait<T: Send + 'static>(&self, handle: OursHandle<T>) -> T {
        handle.0.wait().expect("a task that ends")
    }
}

impl<T: Send + 'static> Future for OursHandle<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(context)).expect("a task that ends"))
    }
}

#[derive(Clone)]
pub(crate) struct Tokio(Arc<tokio::runtime::Runtime>);

pub(crate) struct TokioHandle<T>(tokio::task::JoinHandle<T>);

impl Executor for Tokio {
    type Handle<T: Send + 'static> = TokioHandle<T>;

    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).build();
        Tokio(Arc::new(runtime.expect("a runtime")))
    }

    fn spawn<F>(&self, future: F) -> TokioHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        TokioHandle(self.0.spawn(future))
    }

    fn detach(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(self.0.spawn(future));
    }

    fn wait<T: Send + 'static>(&self, handle: TokioHandle<T>) -> T {
        self.0.block_on(handle)
    }
}

impl<T> Future for TokioHandle<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(context)).expect("a task that ends"))
    }
}

/// async-executor, its workers as its documentation has them.
#[derive(Clone)]
pub(crate) struct Smol(Arc<SmolThreads>);

pub(crate) struct SmolThreads {
    executor: Arc<smol::Executor<'static>>,
    stop: Option<smol::channel::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Executor for Smol {
    type Handle<T: Send + 'static> = smol::Task<T>;

    fn start() -> Self {
        let executor = Arc::new(smol::Executor::new());
        let (stop, stopped) = smol::channel::unbounded::<()>();
        let threads = (0..WORKERS)
            .map(|_| {
                let (executor, stopped) = (executor.clone(), stopped.clone());
                std::thread::spawn(move || {
                    // The end of the channel ends the worker.
                    let _ = smol::block_on(executor.run(stopped.recv()));
                })
            })
            .collect();
        Smol(Arc::new(SmolThreads { executor, stop: Some(stop), threads }))
    }

    fn spawn<F>(&self, future: F) -> smol::Task<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.0.executor.spawn(future)
    }

    fn detach(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.executor.spawn(future).detach();
    }

    fn wait<T: Send + 'static>(&self, handle: smol::Task<T>) -> T {
        smol::block_on(handle)
    }
}

impl Drop for SmolThreads {
    fn drop(&mut self) {
        self.stop = None;
        self.threads.drain(..).for_each(|thread| thread.join().expect("a worker that does not panic"));
    }
}

/// rayon has no futures: the loads that it can do are written for it beside the others.
pub(crate) fn rayon() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build().expect("a pool")
}
