//! The peer without any library: threads that take items from a bounded channel and call guests synchronously.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wippy::runtime::TICK;

use crate::WORKERS;
use crate::common::bare::{Bare, Runner};
use crate::common::epochs::Epochs;
use crate::common::guests::Guest;
use crate::common::numbers::Numbers;
use crate::common::settings::{Settings, WINDOW};

/// An engine that all threads share.
pub(crate) struct Threads {
    bare: Bare,
    epochs: Epochs,
}

impl Threads {
    pub(crate) fn new(settings: &Settings, guest: &Guest) -> Threads {
        let bare = Bare::new(settings, guest, Runner::Loop);
        let epochs = Epochs::new([bare.engine()], TICK);
        Threads { bare, epochs }
    }

    /// Calls a guest for each of so many items; their answers come back over another channel.
    pub(crate) fn run(&self, numbers: Numbers, items: u64) -> Duration {
        let begin = Instant::now();
        self.epochs.awake(|| {
            let (input, taken) = sync_channel::<u64>(WORKERS * WINDOW);
            let (answers, output) = sync_channel::<(u64, i64)>(WORKERS * WINDOW);
            let taken = Arc::new(Mutex::new(taken));
            std::thread::scope(|threads| {
                for answers in vec![answers; WORKERS] {
                    let taken = Arc::clone(&taken);
                    threads.spawn(move || {
                        // The lock is let go before the call.
                        while let Ok(item) = { taken.lock().expect("no panic").recv() } {
                            let answer = self.bare.call_sync(numbers.argument(item));
                            answers.send((item, answer)).expect("somebody reads");
                        }
                    });
                }
                threads.spawn(move || (0..items).for_each(|item| input.send(item).expect("somebody takes it")));
                let mut answered = 0;
                for (item, answer) in output {
                    numbers.check(item, answer);
                    answered += 1;
                }
                assert_eq!(answered, items);
            });
        });
        begin.elapsed()
    }
}
