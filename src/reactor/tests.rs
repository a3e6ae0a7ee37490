//! The reactor as a whole: parking, timers and sources together.
