//! How a function of a core module is called, decided once when its entry is loaded.

use std::fmt;

use wasmtime::{
    AsContextMut, ExternType, Func, FuncType, Instance, Memory, Module, ModuleExport, StoreContextMut, TypedFunc, Val,
    ValType,
};

use super::super::accept::{accept, is_exact};
use super::super::error::Path;
use super::super::invoke::{OnStack, Stack, typed, untyped};
use super::super::wit_text::{self, WitTextError};
use super::super::{ArgumentError, Hint, Signature, SignatureError, WitType};
use super::AbiError;
use super::layout::{Flat, MAX_FLAT_PARAMS, flatten};
use super::load::Source;
use super::numbers::{Numbers, PARAMS_MAX};
use super::store::{Block, Content, Image, Word, scalar};
use crate::process::Payload;

/// The memory of a module.
pub(super) const MEMORY: &str = "memory";
/// What gives memory to arguments, by today's name and by an older one.
pub(super) const REALLOC: [&str; 2] = ["cabi_realloc", "canonical_abi_realloc"];
/// What comes before the name of a method in the name of the function that frees its result.
const POST_RETURN: &str = "cabi_post_";

/// How a function of a core module is called: its signature, and how its values travel.
///
/// Made once when an entry is loaded, used by every process of it.
#[derive(Clone)]
pub struct CorePlan {
    method: String,
    /// Where the method is in its module.
    export: Option<ModuleExport>,
    signature: Signature,
    /// The function is one of a few numbers, and nothing is to be done but to call it.
    numbers: Option<Numbers>,
    /// Core results of the function.
    results: usize,
    /// Parameters are in memory, the function takes a pointer to them.
    spilled: bool,
    /// The result is in memory, the function returns a pointer to it.
    returns_pointer: bool,
    needs_memory: bool,
    realloc: Option<&'static str>,
    post_return: Option<String>,
}

impl fmt::Debug for CorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CorePlan")
            .field("method", &self.method)
            .field("signature", &self.signature)
            .field("numbers", &self.numbers)
            .finish_non_exhaustive()
    }
}

/// A method of a core module cannot be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CorePlanError {
    /// The `wit` text of the entry is none.
    #[error("`wit`: {0}")]
    Wit(#[from] WitTextError),
    /// The `wit` text does not declare the method.
    #[error("`wit` declares no function `{method}`{hint}")]
    NotDeclared {
        /// The method.
        method: String,
        /// The functions it declares.
        hint: Hint,
    },
    /// The module does not export the method.
    #[error("the module exports no function `{method}`{hint}")]
    NotExported {
        /// The method.
        method: String,
        /// The functions it exports.
        hint: Hint,
    },
    /// Values of the signature cannot be passed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The exported function is not of the type that the `wit` text declares.
    #[error("`{signature}` is `{expected}` in wasm, but the module exports `{found}`: correct `wit`")]
    Mismatch {
        /// The method and its declared signature.
        signature: String,
        /// Its core type.
        expected: String,
        /// The core type of the export.
        found: String,
    },
    /// The signature needs memory of the module, which does not export what gives it.
    #[error("`{signature}` passes values in memory, so the module must export `{export}`")]
    NoExport {
        /// The method and its declared signature.
        signature: String,
        /// The export that is missing.
        export: &'static str,
    },
}

impl CorePlan {
    /// The plan for the export `method` of `module`: of the type that the `wit` text declares, or without one of the
    /// numbers of its core type.
    ///
    /// # Errors
    /// The text is wrong or does not fit the module, see [`CorePlanError`].
    pub fn new(method: &str, module: &Module, wit: Option<&str>) -> Result<Self, CorePlanError> {
        let export = match module.get_export(method) {
            Some(ExternType::Func(export)) => export,
            _ => {
                let functions: Vec<_> = module.exports().filter(|export| export.ty().func().is_some()).collect();
                let hint = Hint::for_name(method, functions.iter().map(|export| export.name()));
                return Err(CorePlanError::NotExported { method: method.to_owned(), hint });
            }
        };
        let signature = match wit {
            Some(text) => declared(method, text)?,
            None => Signature::of_core(&export),
        };
        signature.callable(method)?;
        Self::fit(method, signature, module, &export)
    }

    fn fit(method: &str, signature: Signature, module: &Module, export: &FuncType) -> Result<Self, CorePlanError> {
        let flat_params: Vec<_> = signature.params().iter().flat_map(|param| flatten(&param.ty)).collect();
        let flat_results: Vec<_> = signature.results().iter().flat_map(flatten).collect();
        let spilled = flat_params.len() > MAX_FLAT_PARAMS;
        let expected_params = if spilled { vec![Flat::I32] } else { flat_params };
        let results = flats(export.results());
        let returns_pointer = flat_results.len() > 1 && results == [Some(Flat::I32)];
        let params = flats(export.params());
        let expected_params: Vec<_> = expected_params.into_iter().map(Some).collect();
        let flat_results: Vec<_> = flat_results.into_iter().map(Some).collect();
        if params != expected_params || (results != flat_results && !returns_pointer) {
            let expected_results = if flat_results.len() > 1 { vec![Some(Flat::I32)] } else { flat_results };
            return Err(CorePlanError::Mismatch {
                signature: signature.shown(method),
                expected: core_type(&expected_params, &expected_results),
                found: core_type(&params, &results),
            });
        }
        let takes_memory = spilled || signature.params().iter().any(|param| has_memory(&param.ty));
        let needs_memory = takes_memory || returns_pointer || signature.results().iter().any(has_memory);
        let is_func = |name: &&str| matches!(module.get_export(name), Some(ExternType::Func(_)));
        let realloc = REALLOC.into_iter().find(is_func);
        let missing = |export| Err(CorePlanError::NoExport { signature: signature.shown(method), export });
        if needs_memory && !matches!(module.get_export(MEMORY), Some(ExternType::Memory(_))) {
            return missing(MEMORY);
        }
        if takes_memory && realloc.is_none() {
            return missing(REALLOC[0]);
        }
        let post_return = Some(format!("{POST_RETURN}{method}")).filter(|name| is_func(&name.as_str()));
        let numbers = match needs_memory || post_return.is_some() {
            true => None,
            false => {
                let results: Vec<_> = signature.results().iter().flat_map(flatten).collect();
                let params: Vec<_> = signature.params().iter().flat_map(|param| flatten(&param.ty)).collect();
                Numbers::of(&params, &results).filter(|_| params.len() == signature.params().len())
            }
        };
        Ok(Self {
            export: module.get_export_index(method),
            method: method.to_owned(),
            signature,
            numbers,
            results: results.len(),
            spilled,
            returns_pointer,
            needs_memory,
            realloc,
            post_return,
        })
    }

    /// Names and types of parameters and results.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Whether the function returns a WIT `result`, whose `err` is an error of the call.
    pub fn returns_result(&self) -> bool {
        self.signature.returns_result()
    }

    /// Whether these arguments fit, without an instance.
    ///
    /// # Errors
    /// See [`Signature::accept`].
    pub fn check(&self, arguments: &[Payload]) -> Result<(), ArgumentError> {
        self.signature.check(&self.method, arguments)
    }

    /// Arguments typed on a command line.
    ///
    /// # Errors
    /// See [`Signature::read_arguments`].
    pub fn read_arguments(&self, texts: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        self.signature.read_arguments(&self.method, texts)
    }

    /// Calls, on this stack, the method of `instance`, an instance of the plan's module in `store`. No result is nil, several are a list.
    ///
    /// The store's hostcall fuel bounds what the result may take on this side, in bytes.
    ///
    /// # Errors
    /// An [`ArgumentError`] where the arguments do not fit, an [`AbiError`] where the guest breaks the conventions, else
    /// what the engine reports.
    pub async fn call(
        &self,
        stack: Stack,
        instance: &Instance,
        mut store: impl AsContextMut<Data: Send>,
        arguments: &[Payload],
    ) -> wasmtime::Result<Payload> {
        let mut store = store.as_context_mut();
        let func = self.function(instance, &mut store)?;
        if let Some(numbers) = self.numbers
            && let Some(words) = self.words(arguments)
        {
            let result = numbers.call(func, (store.as_context_mut(), stack), words).await?;
            return match self.signature.results() {
                [ty] => Ok(Source::new(&[], store.hostcall_fuel() as u64).lift(&mut result.into_iter(), ty)?),
                _ => Ok(Payload::Nil),
            };
        }
        // Apart, so that calls of numbers do not carry what this takes.
        Box::pin(self.call_with_memory(func, instance, (store, stack), arguments)).await
    }

    /// Calls the method with values of any kind.
    async fn call_with_memory<T: Send>(
        &self,
        func: Func,
        instance: &Instance,
        (mut store, stack): OnStack<'_, T>,
        arguments: &[Payload],
    ) -> wasmtime::Result<Payload> {
        let arguments = self.signature.accept(&self.method, arguments)?;
        let memory = match self.needs_memory {
            true => Some(instance.get_memory(&mut store, MEMORY).ok_or_else(|| no_export(MEMORY, "a memory"))?),
            false => None,
        };
        let types: Vec<_> = self.signature.params().iter().map(|param| &param.ty).collect();
        let image = Image::of(arguments, &types, self.spilled)?;
        let places = self.place(&image.blocks, instance, (&mut store, stack)).await?;
        if let Some(memory) = memory {
            write(image.blocks, &places, memory, &mut store)?;
        }
        let params: Vec<_> = image.words.iter().map(|word| word.to_val(&places)).collect();
        let mut results = vec![Val::I32(0); self.results];
        untyped(func, &mut store, &params, &mut results, stack).await?;
        let value = self.read(&results, memory, &store)?;
        if let Some(name) = &self.post_return {
            let post = function(instance, &mut store, name)?;
            untyped(post, &mut store, &results, &mut [], stack).await?;
        }
        Ok(value)
    }

    /// The method of an instance: by its place in the plan's module, by its name in any other.
    fn function<T>(&self, instance: &Instance, store: &mut StoreContextMut<'_, T>) -> Result<Func, AbiError> {
        let known = self.export.and_then(|export| instance.get_module_export(&mut *store, &export)?.into_func());
        known.map_or_else(|| function(instance, store, &self.method), Ok)
    }

    /// Arguments that are a number each; none where they do not fit, which the general way then says.
    fn words(&self, arguments: &[Payload]) -> Option<[Word; PARAMS_MAX]> {
        let params = self.signature.params();
        if arguments.len() != params.len() {
            return None;
        }
        let mut words = [Word::I32(0); PARAMS_MAX];
        for ((argument, param), word) in arguments.iter().zip(params).zip(&mut words) {
            *word = match is_exact(argument, &param.ty) {
                true => scalar(argument, &param.ty).ok()?,
                false => scalar(&accept(argument, &param.ty, &Path::Argument(1)).ok()?, &param.ty).ok()?,
            };
        }
        Some(words)
    }

    /// Asks the guest for the place of every block.
    async fn place<T: Send>(
        &self,
        blocks: &[Block],
        instance: &Instance,
        (store, stack): (&mut StoreContextMut<'_, T>, Stack),
    ) -> wasmtime::Result<Vec<u32>> {
        let mut places = Vec::with_capacity(blocks.len());
        let mut realloc: Option<TypedFunc<(u32, u32, u32, u32), u32>> = None;
        for block in blocks {
            let size = block.content.as_slice().len() as u32;
            if size == 0 {
                // Nothing is there to be read or freed: any aligned place that is not null will do, as guests use it.
                places.push(block.align);
                continue;
            }
            let realloc = match &realloc {
                Some(realloc) => realloc,
                None => {
                    let name = self.realloc.unwrap_or(REALLOC[0]);
                    realloc.insert(function(instance, store, name)?.typed(&store)?)
                }
            };
            let place = typed(realloc, store, (0, 0, block.align, size), stack).await?;
            if !place.is_multiple_of(block.align) {
                let (pointer, align) = (u64::from(place), block.align);
                return Err(AbiError::Unaligned { pointer, align, ty: self.signature.shown(&self.method) }.into());
            }
            places.push(place);
        }
        Ok(places)
    }

    fn read<T>(
        &self,
        results: &[Val],
        memory: Option<Memory>,
        store: &StoreContextMut<'_, T>,
    ) -> wasmtime::Result<Payload> {
        let bytes = memory.map_or(&[][..], |memory| memory.data(store));
        let mut source = Source::new(bytes, store.hostcall_fuel() as u64);
        let types: Vec<_> = self.signature.results().iter().collect();
        let mut values = if self.returns_pointer {
            let pointer = results.first().and_then(Val::i32).unwrap_or_default();
            source.load_all(pointer as u32, &types)?
        } else {
            let mut words = results.iter().map(Word::of_val);
            types.iter().map(|ty| source.lift(&mut words, ty)).collect::<Result<_, _>>()?
        };
        Ok(match values.len() {
            0 => Payload::Nil,
            1 => values.remove(0),
            _ => Payload::List(values),
        })
    }
}

fn declared(method: &str, text: &str) -> Result<Signature, CorePlanError> {
    let mut functions = wit_text::parse(text)?;
    match functions.swap_remove(method) {
        Some(signature) => Ok(signature),
        None => {
            let hint = Hint::for_name(method, functions.keys().map(String::as_str));
            Err(CorePlanError::NotDeclared { method: method.to_owned(), hint })
        }
    }
}

/// Whether values of the type have parts in memory even when they are flat.
pub(super) fn has_memory(ty: &WitType) -> bool {
    match ty {
        WitType::String | WitType::List(_) => true,
        WitType::Option(some) => has_memory(some),
        WitType::Tuple(types) => types.iter().any(has_memory),
        WitType::Result { ok, err } => ok.iter().chain(err).any(|ty| has_memory(ty)),
        WitType::Record(fields) => fields.iter().any(|field| has_memory(&field.ty)),
        WitType::Variant(cases) => cases.iter().filter_map(|case| case.ty.as_ref()).any(has_memory),
        _ => false,
    }
}

fn function<T>(instance: &Instance, store: &mut StoreContextMut<'_, T>, name: &str) -> Result<Func, AbiError> {
    instance.get_func(store, name).ok_or_else(|| no_export(name, "a function"))
}

pub(super) fn no_export(name: &str, what: &'static str) -> AbiError {
    AbiError::NoExport { name: name.to_owned(), what }
}

/// Fills the holes of the blocks and writes them to their places.
pub(super) fn write<T>(
    blocks: Vec<Block>,
    places: &[u32],
    memory: Memory,
    store: &mut StoreContextMut<'_, T>,
) -> Result<(), AbiError> {
    for (mut block, place) in blocks.into_iter().zip(places) {
        if let Content::Made(content) = &mut block.content {
            for (offset, target) in &block.pointers {
                content[*offset..*offset + 4].copy_from_slice(&places[*target].to_le_bytes());
            }
        }
        let bytes = block.content.as_slice();
        let data = memory.data_mut(&mut *store);
        let size = data.len() as u64;
        let start = *place as usize;
        match data.get_mut(start..start.saturating_add(bytes.len())) {
            Some(target) => target.copy_from_slice(bytes),
            None if bytes.is_empty() => {}
            None => {
                let (offset, length) = (u64::from(*place), bytes.len() as u64);
                return Err(AbiError::OutOfBounds { offset, length, memory: size, ty: "an argument".to_owned() });
            }
        }
    }
    Ok(())
}

impl Word {
    pub(super) fn to_val(self, places: &[u32]) -> Val {
        match self {
            Word::I32(bits) => Val::I32(bits as i32),
            Word::I64(bits) => Val::I64(bits as i64),
            Word::F32(bits) => Val::F32(bits),
            Word::F64(bits) => Val::F64(bits),
            Word::Pointer { block, wide: false } => Val::I32(places[block] as i32),
            Word::Pointer { block, wide: true } => Val::I64(i64::from(places[block])),
        }
    }

    pub(super) fn of_val(val: &Val) -> Word {
        match val {
            Val::I32(bits) => Word::I32(*bits as u32),
            Val::I64(bits) => Word::I64(*bits as u64),
            Val::F32(bits) => Word::F32(*bits),
            Val::F64(bits) => Word::F64(*bits),
            // The plan was made for numbers; an instance of another module gives zeros, not a panic.
            _ => Word::I32(0),
        }
    }
}

impl Flat {
    fn of(ty: &ValType) -> Option<Flat> {
        match ty {
            ValType::I32 => Some(Flat::I32),
            ValType::I64 => Some(Flat::I64),
            ValType::F32 => Some(Flat::F32),
            ValType::F64 => Some(Flat::F64),
            _ => None,
        }
    }
}

impl fmt::Display for Flat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flat::I32 => "i32",
            Flat::I64 => "i64",
            Flat::F32 => "f32",
            Flat::F64 => "f64",
        })
    }
}

/// Core types, with none for those that are no numbers.
pub(super) fn flats(types: impl Iterator<Item = ValType>) -> Vec<Option<Flat>> {
    types.map(|ty| Flat::of(&ty)).collect()
}

/// A core type as errors show it: `(i32 i32) -> (i64)`.
pub(super) fn core_type(params: &[Option<Flat>], results: &[Option<Flat>]) -> String {
    let name = |ty: &Option<Flat>| ty.map_or("other".to_owned(), |ty| ty.to_string());
    let list = |types: &[Option<Flat>]| types.iter().map(name).collect::<Vec<_>>().join(" ");
    format!("({}) -> ({})", list(params), list(results))
}
