//! Results out of core values and memory.

use bytes::Bytes;
use indexmap::IndexMap;

use super::super::WitType;
use super::super::accept::single_key;
use super::super::convert::wrap_some;
use super::layout::{Flat, Layout, cases, discriminant_size, flatten, parts, payload_offset};
use super::store::Word;
use super::{AbiError, shown};
use crate::process::Payload;

/// What results are read from: the guest's memory as it is now.
pub(super) struct Source<'a> {
    memory: &'a [u8],
    /// What is left of the bytes that results may take on this side.
    left: u64,
    allowed: u64,
}

impl<'a> Source<'a> {
    pub(super) fn new(memory: &'a [u8], allowed: u64) -> Self {
        Self { memory, left: allowed, allowed }
    }

    fn take(&mut self, bytes: u64) -> Result<(), AbiError> {
        self.left = self.left.checked_sub(bytes).ok_or(AbiError::ResultTooLarge { allowed: self.allowed })?;
        Ok(())
    }

    fn bytes(&self, offset: u64, length: u64, ty: &WitType) -> Result<&'a [u8], AbiError> {
        let end = offset.checked_add(length).and_then(|end| usize::try_from(end).ok());
        let range = usize::try_from(offset).ok().zip(end);
        range.and_then(|(start, end)| self.memory.get(start..end)).ok_or_else(|| AbiError::OutOfBounds {
            offset,
            length,
            memory: self.memory.len() as u64,
            ty: shown(ty),
        })
    }

    fn number(&self, offset: u64, size: u32, ty: &WitType) -> Result<u64, AbiError> {
        let mut bytes = [0; 8];
        bytes[..size as usize].copy_from_slice(self.bytes(offset, u64::from(size), ty)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// Several values that lie one after the other behind `pointer`.
    pub(super) fn load_all(&mut self, pointer: u32, types: &[&WitType]) -> Result<Vec<Payload>, AbiError> {
        if let Some(first) = types.first() {
            aligned(u64::from(pointer), Layout::of_sequence(types).align, first)?;
        }
        let mut place = Layout { size: 0, align: 1 };
        types.iter().map(|ty| self.load(u64::from(pointer) + u64::from(place.place(Layout::of(ty))), ty)).collect()
    }

    fn load(&mut self, offset: u64, ty: &WitType) -> Result<Payload, AbiError> {
        if let Some(cases) = cases(ty) {
            let case = self.number(offset, discriminant_size(cases.len()), ty)?;
            let payload = match usize::try_from(case).ok().and_then(|case| cases.get(case)) {
                Some(Some(payload)) => Some(self.load(offset + u64::from(payload_offset(&cases)), payload)?),
                Some(None) => None,
                None => return Err(AbiError::Invalid { value: case, ty: shown(ty) }),
            };
            return Ok(choice(case as usize, payload, ty));
        }
        if let Some(parts) = parts(ty) {
            let mut place = Layout { size: 0, align: 1 };
            let part = |part: &WitType, source: &mut Self, place: &mut Layout| {
                source.load(offset + u64::from(place.place(Layout::of(part))), part)
            };
            let values = parts.into_iter().map(|ty| part(ty, self, &mut place)).collect::<Result<Vec<_>, _>>()?;
            return Ok(sequence(values, ty));
        }
        match ty {
            WitType::String | WitType::List(_) => {
                let pointer = self.number(offset, 4, ty)?;
                let length = self.number(offset + 4, 4, ty)?;
                self.list(pointer, length, ty)
            }
            ty => {
                let bits = self.number(offset, Layout::of(ty).size, ty)?;
                scalar(bits, ty)
            }
        }
    }

    fn list(&mut self, pointer: u64, length: u64, ty: &WitType) -> Result<Payload, AbiError> {
        let element = match ty {
            WitType::List(element) if **element != WitType::U8 => element,
            ty => {
                let bytes = self.bytes(pointer, length, ty)?;
                self.take(length)?;
                return match ty {
                    WitType::String => match std::str::from_utf8(bytes) {
                        Ok(text) => Ok(Payload::from(text)),
                        Err(error) => Err(AbiError::NotUtf8 { at: error.valid_up_to() }),
                    },
                    _ => Ok(Payload::Bytes(Bytes::copy_from_slice(bytes))),
                };
            }
        };
        let layout = Layout::of(element);
        aligned(pointer, layout.align, ty)?;
        // Both before anything is made: a guest can name any length for free, and overlapping lists cost it little.
        self.bytes(pointer, length.saturating_mul(u64::from(layout.size)), ty)?;
        self.take(length.saturating_mul(size_of::<Payload>() as u64))?;
        (0..length).map(|index| self.load(pointer + index * u64::from(layout.size), element)).collect()
    }

    /// A value out of the core values at the front of `words`, which are those of `ty`.
    pub(super) fn lift(&mut self, words: &mut dyn Iterator<Item = Word>, ty: &WitType) -> Result<Payload, AbiError> {
        if let Some(cases) = cases(ty) {
            let case = bits(words.next());
            let payload_ty = match usize::try_from(case).ok().and_then(|case| cases.get(case)) {
                Some(payload) => *payload,
                None => return Err(AbiError::Invalid { value: case, ty: shown(ty) }),
            };
            // The words are those of all cases together; this case uses the first of them in its own types.
            let shared: Vec<_> = words.take(flatten(ty).len() - 1).collect();
            let payload = match payload_ty {
                Some(payload_ty) => {
                    let own = flatten(payload_ty);
                    let mut words = shared.into_iter().zip(own).map(|(word, flat)| narrow(word, flat));
                    Some(self.lift(&mut words, payload_ty)?)
                }
                None => None,
            };
            return Ok(choice(case as usize, payload, ty));
        }
        if let Some(parts) = parts(ty) {
            let values = parts.into_iter().map(|ty| self.lift(words, ty)).collect::<Result<Vec<_>, _>>()?;
            return Ok(sequence(values, ty));
        }
        match ty {
            WitType::String | WitType::List(_) => {
                let (pointer, length) = (bits(words.next()), bits(words.next()));
                self.list(pointer, length, ty)
            }
            ty => scalar(bits(words.next()), ty),
        }
    }
}

fn bits(word: Option<Word>) -> u64 {
    match word {
        Some(Word::I32(bits) | Word::F32(bits)) => u64::from(bits),
        Some(Word::I64(bits) | Word::F64(bits)) => bits,
        Some(Word::Pointer { .. }) | None => 0,
    }
}

/// A word of the type that all cases share in the type of one case.
fn narrow(word: Word, flat: Flat) -> Word {
    let bits = bits(Some(word));
    match flat {
        Flat::I32 => Word::I32(bits as u32),
        Flat::I64 => Word::I64(bits),
        Flat::F32 => Word::F32(bits as u32),
        Flat::F64 => Word::F64(bits),
    }
}

/// A value from the bits it has in memory or in a core value; bits beyond its size do not count.
fn scalar(bits: u64, ty: &WitType) -> Result<Payload, AbiError> {
    let invalid = || AbiError::Invalid { value: bits, ty: shown(ty) };
    Ok(match ty {
        WitType::Bool => Payload::Bool(bits & 0xffff_ffff != 0),
        WitType::S8 => Payload::from(bits as i8),
        WitType::U8 => Payload::from(bits as u8),
        WitType::S16 => Payload::from(bits as i16),
        WitType::U16 => Payload::from(bits as u16),
        WitType::S32 | WitType::I32 => Payload::from(bits as i32),
        WitType::U32 => Payload::from(bits as u32),
        WitType::S64 | WitType::I64 => Payload::from(bits as i64),
        WitType::U64 => Payload::from(bits),
        WitType::F32 => Payload::from(f32::from_bits(bits as u32)),
        WitType::F64 => Payload::from(f64::from_bits(bits)),
        WitType::Char => Payload::from(char::from_u32(bits as u32).ok_or_else(invalid)?),
        WitType::Flags(names) => {
            let set = names.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1);
            set.map(|(_, name)| Payload::from(name.as_str())).collect()
        }
        _ => return Err(invalid()),
    })
}

/// A choice in exact shape.
fn choice(case: usize, payload: Option<Payload>, ty: &WitType) -> Payload {
    match (ty, payload) {
        (WitType::Option(some), Some(payload)) => wrap_some(payload, some),
        (WitType::Result { .. }, payload) => {
            single_key(if case == 0 { "ok" } else { "err" }, payload.unwrap_or_default())
        }
        (WitType::Enum(names), _) => Payload::from(names[case].as_str()),
        (WitType::Variant(cases), None) => Payload::from(cases[case].name.as_str()),
        (WitType::Variant(cases), Some(payload)) => single_key(&cases[case].name, payload),
        _ => Payload::Nil,
    }
}

/// A record or tuple in exact shape.
fn sequence(values: Vec<Payload>, ty: &WitType) -> Payload {
    match ty {
        WitType::Record(fields) => {
            Payload::Map(fields.iter().map(|field| field.name.clone()).zip(values).collect::<IndexMap<_, _>>())
        }
        _ => Payload::List(values),
    }
}

fn aligned(pointer: u64, align: u32, ty: &WitType) -> Result<(), AbiError> {
    if pointer.is_multiple_of(u64::from(align)) {
        Ok(())
    } else {
        Err(AbiError::Unaligned { pointer, align, ty: shown(ty) })
    }
}
