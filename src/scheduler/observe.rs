//! Who looks at steps from outside.

/// Is told when a worker begins and ends a step: for measuring what steps do to their threads.
///
/// Both are called on the worker's thread, and they are part of what the worker does: what they cost, every step costs. They
/// must not block, and a panic in them ends the program.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use wippy::scheduler::{Scheduler, StepObserver};
///
/// #[derive(Default)]
/// struct Begun(AtomicU64);
///
/// impl StepObserver for Begun {
///     fn before_step(&self) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
///
///     fn after_step(&self) {}
/// }
///
/// let begun = Arc::new(Begun::default());
/// let scheduler = Scheduler::builder("observed").workers(1).observe(begun.clone()).build()?;
/// # scheduler.shutdown().expect("this is no worker");
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait StepObserver: Send + Sync + 'static {
    /// A task's step is the next thing that this thread does.
    fn before_step(&self);

    /// The step is over, and when it was the last one, the task is dropped. Called after every
    /// [`before_step`](Self::before_step), also when the step panicked.
    fn after_step(&self);
}
