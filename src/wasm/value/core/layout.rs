//! Sizes, alignments and flat forms of types, as the canonical ABI defines them.

use super::super::WitType;

/// How many core values parameters may flatten to before they go to memory.
pub(super) const MAX_FLAT_PARAMS: usize = 16;

/// A core value's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flat {
    I32,
    I64,
    F32,
    F64,
}

/// What one type takes in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// In bytes, a multiple of `align`.
    pub(super) size: u32,
    /// In bytes: 1, 2, 4 or 8.
    pub(super) align: u32,
}

/// The cases of everything that is a choice: variants, enums, options and results.
pub(super) fn cases(ty: &WitType) -> Option<Vec<Option<&WitType>>> {
    match ty {
        WitType::Option(some) => Some(vec![None, Some(some)]),
        WitType::Result { ok, err } => Some(vec![ok.as_deref(), err.as_deref()]),
        WitType::Variant(cases) => Some(cases.iter().map(|case| case.ty.as_ref()).collect()),
        WitType::Enum(names) => Some(vec![None; names.len()]),
        _ => None,
    }
}

/// The parts of everything that is a sequence of fixed types: records and tuples.
pub(super) fn parts(ty: &WitType) -> Option<Vec<&WitType>> {
    match ty {
        WitType::Record(fields) => Some(fields.iter().map(|field| &field.ty).collect()),
        WitType::Tuple(types) => Some(types.iter().collect()),
        _ => None,
    }
}

impl Layout {
    pub(super) fn of(ty: &WitType) -> Layout {
        if let Some(cases) = cases(ty) {
            let size = discriminant_size(cases.len());
            let payload = Layout::of_widest(&cases);
            let align = size.max(payload.align);
            return Layout { size: round_up(round_up(size, payload.align) + payload.size, align), align };
        }
        if let Some(parts) = parts(ty) {
            return Layout::of_sequence(&parts);
        }
        let (size, align) = match ty {
            WitType::Bool | WitType::S8 | WitType::U8 => (1, 1),
            WitType::S16 | WitType::U16 => (2, 2),
            WitType::S64 | WitType::U64 | WitType::I64 | WitType::F64 => (8, 8),
            WitType::String | WitType::List(_) => (8, 4),
            WitType::Flags(names) => (flags_size(names.len()), flags_size(names.len())),
            _ => (4, 4),
        };
        Layout { size, align }
    }

    /// Several types one after the other.
    pub(super) fn of_sequence(types: &[&WitType]) -> Layout {
        let mut whole = Layout { size: 0, align: 1 };
        for ty in types {
            whole.place(Layout::of(ty));
        }
        Layout { size: round_up(whole.size, whole.align), align: whole.align }
    }

    /// Makes room for one more part, and says where it is.
    pub(super) fn place(&mut self, part: Layout) -> u32 {
        let offset = round_up(self.size, part.align);
        self.size = offset + part.size;
        self.align = self.align.max(part.align);
        offset
    }

    /// What holds the payload of any case.
    fn of_widest(cases: &[Option<&WitType>]) -> Layout {
        cases.iter().flatten().map(|ty| Layout::of(ty)).fold(Layout { size: 0, align: 1 }, |widest, case| Layout {
            size: widest.size.max(case.size),
            align: widest.align.max(case.align),
        })
    }
}

/// Where in a choice the payload begins.
pub(super) fn payload_offset(cases: &[Option<&WitType>]) -> u32 {
    round_up(discriminant_size(cases.len()), Layout::of_widest(cases).align)
}

/// The bytes of a case number.
pub(super) fn discriminant_size(cases: usize) -> u32 {
    match cases {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// The bytes of a set of flags, of which there are at most 32.
pub(super) fn flags_size(count: usize) -> u32 {
    match count {
        0..=8 => 1,
        9..=16 => 2,
        _ => 4,
    }
}

/// The core values that a value of `ty` becomes.
pub(super) fn flatten(ty: &WitType) -> Vec<Flat> {
    if let Some(cases) = cases(ty) {
        let mut flat = vec![Flat::I32];
        for case in cases.into_iter().flatten() {
            for (index, part) in flatten(case).into_iter().enumerate() {
                match flat.get_mut(index + 1) {
                    Some(joined) => *joined = join(*joined, part),
                    None => flat.push(part),
                }
            }
        }
        return flat;
    }
    if let Some(parts) = parts(ty) {
        return parts.into_iter().flat_map(flatten).collect();
    }
    match ty {
        WitType::S64 | WitType::U64 | WitType::I64 => vec![Flat::I64],
        WitType::F32 => vec![Flat::F32],
        WitType::F64 => vec![Flat::F64],
        WitType::String | WitType::List(_) => vec![Flat::I32, Flat::I32],
        _ => vec![Flat::I32],
    }
}

/// The core type that can carry both.
fn join(a: Flat, b: Flat) -> Flat {
    match (a, b) {
        _ if a == b => a,
        (Flat::I32, Flat::F32) | (Flat::F32, Flat::I32) => Flat::I32,
        _ => Flat::I64,
    }
}

pub(super) fn round_up(offset: u32, align: u32) -> u32 {
    offset.next_multiple_of(align)
}
