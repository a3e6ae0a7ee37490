//! What a `pool` block means: how many slots a function has, how they come and go, how many calls may wait for one.

use std::fmt;

use crate::registry::{Pool as PoolSpec, PoolType};

/// Slots of a lazy pool that was chosen by its numbers and does not say how many.
const CHOSEN_SLOTS_MAX: usize = 100;

/// Slots of a lazy or adaptive pool that does not say how many.
const SLOTS_MAX: usize = 16;

/// Slots of a static pool that does not say how many.
const STATIC_SLOTS: usize = 8;

/// Calls that may wait for each slot of a pool that does not say how many.
const QUEUED_PER_SLOT: usize = 64;

/// How the slots of a pool come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolKind {
    /// There is one: calls are done one after the other.
    Inline,
    /// They come when calls need them, and go when none has come or ended for a while.
    Lazy,
    /// All of them are there all the time.
    Static,
    /// There is one at first; more come as long as they make the work go faster, and they go when they are not needed.
    Adaptive,
}

impl PoolKind {
    /// The word for it in an entry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Lazy => "lazy",
            Self::Static => "static",
            Self::Adaptive => "adaptive",
        }
    }
}

impl fmt::Display for PoolKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What was made of a `pool` block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolPlan {
    pub(super) kind: PoolKind,
    /// The most slots there are at once.
    pub(super) slots_max: usize,
    /// The most calls that wait for a slot; more wait outside, where they can.
    pub(super) queued_max: usize,
}

impl PoolPlan {
    pub(super) fn of(spec: &PoolSpec) -> Self {
        let size = |count: u64| (count > 0).then(|| usize::try_from(count).unwrap_or(usize::MAX));
        let is_flexible = spec.workers == 0 && (spec.size == 0 || spec.max_size > 0);
        let kind = match spec.kind {
            PoolType::Auto if is_flexible => PoolKind::Lazy,
            PoolType::Auto if spec.workers > 0 => PoolKind::Static,
            PoolType::Auto | PoolType::Inline => PoolKind::Inline,
            PoolType::Lazy => PoolKind::Lazy,
            PoolType::Static => PoolKind::Static,
            PoolType::Adaptive => PoolKind::Adaptive,
        };
        let slots_max = match kind {
            PoolKind::Inline => 1,
            PoolKind::Static => size(spec.workers).or(size(spec.size)).unwrap_or(STATIC_SLOTS),
            PoolKind::Lazy | PoolKind::Adaptive => size(spec.max_size).unwrap_or(match spec.kind {
                PoolType::Auto => CHOSEN_SLOTS_MAX,
                _ => SLOTS_MAX,
            }),
        };
        let queued_max = size(spec.buffer).unwrap_or_else(|| slots_max.saturating_mul(QUEUED_PER_SLOT));
        Self { kind, slots_max, queued_max }
    }

    /// The slots there are before the first call.
    pub(super) fn slots_first(&self) -> usize {
        match self.kind {
            PoolKind::Lazy => 0,
            PoolKind::Inline | PoolKind::Adaptive => 1,
            PoolKind::Static => self.slots_max,
        }
    }

    /// The slots that calls may bring about before somebody has decided on more.
    pub(super) fn slots_allowed(&self) -> usize {
        match self.kind {
            PoolKind::Lazy => self.slots_max,
            PoolKind::Inline | PoolKind::Static | PoolKind::Adaptive => self.slots_first(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(kind: PoolType, [size, workers, buffer, max_size]: [u64; 4]) -> (PoolKind, usize, usize) {
        let plan = PoolPlan::of(&PoolSpec { kind, size, workers, buffer, max_size, warm_start: false });
        (plan.kind, plan.slots_max, plan.queued_max)
    }

    #[test]
    fn numbers_choose_a_pool_that_has_no_type() {
        let auto = |numbers| plan(PoolType::Auto, numbers);
        assert_eq!(auto([0, 0, 0, 0]), (PoolKind::Lazy, 100, 6400));
        assert_eq!(auto([0, 0, 0, 7]), (PoolKind::Lazy, 7, 448));
        assert_eq!(auto([2, 0, 0, 7]), (PoolKind::Lazy, 7, 448));
        assert_eq!(auto([2, 3, 0, 0]), (PoolKind::Static, 3, 192));
        assert_eq!(auto([2, 3, 0, 7]), (PoolKind::Static, 3, 192));
        assert_eq!(auto([2, 0, 0, 0]), (PoolKind::Inline, 1, 64));
        assert_eq!(auto([2, 0, 5, 0]), (PoolKind::Inline, 1, 5));
    }

    #[test]
    fn a_type_settles_what_the_numbers_leave_open() {
        assert_eq!(plan(PoolType::Inline, [9, 9, 0, 9]), (PoolKind::Inline, 1, 64));
        assert_eq!(plan(PoolType::Lazy, [0; 4]), (PoolKind::Lazy, 16, 1024));
        assert_eq!(plan(PoolType::Lazy, [0, 0, 0, 3]), (PoolKind::Lazy, 3, 192));
        assert_eq!(plan(PoolType::Static, [0; 4]), (PoolKind::Static, 8, 512));
        assert_eq!(plan(PoolType::Static, [5, 0, 0, 0]), (PoolKind::Static, 5, 320));
        assert_eq!(plan(PoolType::Static, [5, 2, 0, 0]), (PoolKind::Static, 2, 128));
        assert_eq!(plan(PoolType::Adaptive, [0; 4]), (PoolKind::Adaptive, 16, 1024));
        assert_eq!(plan(PoolType::Adaptive, [0, 0, 10, 4]), (PoolKind::Adaptive, 4, 10));
    }
}
