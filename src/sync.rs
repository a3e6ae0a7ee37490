//! std or loom: one switch.
