//! Functions of a few numbers: called without [`Val`](wasmtime::Val)s, whose types the engine would look up in what all threads share
//! and compare, at every call.

use wasmtime::{Func, WasmParams, WasmResults, WasmTy};

use super::super::invoke::{OnStack, typed};
use super::layout::Flat;
use super::store::Word;

/// Up to two numbers of one type to nothing, or to one number of that type. Every shape is one more instance of the engine's
/// generic call, so they are few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    ty: Flat,
    params: usize,
    has_result: bool,
}

/// The most parameters.
pub(super) const PARAMS_MAX: usize = 2;

impl Numbers {
    /// The shape of a function of these types, if it is one of these.
    pub(super) fn of(params: &[Flat], results: &[Flat]) -> Option<Self> {
        let ty = params.first().or(results.first()).copied().unwrap_or(Flat::I32);
        let fits =
            params.len() <= PARAMS_MAX && results.len() <= 1 && params.iter().chain(results).all(|own| *own == ty);
        fits.then_some(Self { ty, params: params.len(), has_result: results.len() == 1 })
    }

    /// Calls `func`, which is of this shape, with as many words as it has parameters.
    pub(super) async fn call<T: Send>(
        self,
        func: Func,
        store: OnStack<'_, T>,
        words: [Word; PARAMS_MAX],
    ) -> wasmtime::Result<Option<Word>> {
        match self.ty {
            Flat::I32 => self.call_with::<T, u32>(func, store, words).await,
            Flat::I64 => self.call_with::<T, u64>(func, store, words).await,
            Flat::F32 => self.call_with::<T, f32>(func, store, words).await,
            Flat::F64 => self.call_with::<T, f64>(func, store, words).await,
        }
    }

    async fn call_with<T: Send, N: Number>(
        self,
        func: Func,
        store: OnStack<'_, T>,
        [first, second]: [Word; PARAMS_MAX],
    ) -> wasmtime::Result<Option<Word>> {
        let (first, second) = (N::of(first), N::of(second));
        match (self.params, self.has_result) {
            (0, false) => call::<T, (), ()>(func, store, ()).await.map(|()| None),
            (0, true) => call::<T, (), N>(func, store, ()).await.map(|number| Some(number.word())),
            (1, false) => call::<T, N, ()>(func, store, first).await.map(|()| None),
            (1, true) => call::<T, N, N>(func, store, first).await.map(|number| Some(number.word())),
            (_, false) => call::<T, (N, N), ()>(func, store, (first, second)).await.map(|()| None),
            (_, true) => call::<T, (N, N), N>(func, store, (first, second)).await.map(|number| Some(number.word())),
        }
    }
}

async fn call<T: Send, P, R>(func: Func, (mut store, stack): OnStack<'_, T>, params: P) -> wasmtime::Result<R>
where
    P: WasmParams + Sync,
    R: WasmResults + Sync,
{
    typed(&func.typed::<P, R>(&store)?, &mut store, params, stack).await
}

/// A number as the engine and as this room knows it.
trait Number: WasmTy + Sync {
    /// The number of this word; zero for a word of another type, which a function of this shape does not get.
    fn of(word: Word) -> Self;
    fn word(self) -> Word;
}

macro_rules! number {
    ($number:ty, $word:ident, $of:expr, $bits:expr) => {
        impl Number for $number {
            fn of(word: Word) -> Self {
                match word {
                    Word::$word(bits) => $of(bits),
                    _ => <$number>::default(),
                }
            }

            fn word(self) -> Word {
                Word::$word($bits(self))
            }
        }
    };
}

number!(u32, I32, |bits| bits, |number| number);
number!(u64, I64, |bits| bits, |number| number);
number!(f32, F32, f32::from_bits, f32::to_bits);
number!(f64, F64, f64::from_bits, f64::to_bits);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_has_one_type_and_few_numbers() {
        use Flat::{F64, I32, I64};
        let shape = |ty, params, has_result| Some(Numbers { ty, params, has_result });
        assert_eq!(Numbers::of(&[], &[]), shape(I32, 0, false));
        assert_eq!(Numbers::of(&[I32, I32], &[I32]), shape(I32, 2, true));
        assert_eq!(Numbers::of(&[], &[I64]), shape(I64, 0, true));
        assert_eq!(Numbers::of(&[F64], &[]), shape(F64, 1, false));
        assert_eq!(Numbers::of(&[I32, I64], &[]), None);
        assert_eq!(Numbers::of(&[I32], &[I64]), None);
        assert_eq!(Numbers::of(&[I32; 3], &[]), None);
        assert_eq!(Numbers::of(&[I32], &[I32; 2]), None);
    }
}
