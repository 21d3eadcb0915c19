//! Answers what a guest's standard library asks of a system inside the guest, so that its component imports none of it.
//!
//! A sandbox has no arguments, no environment, no terminal and no files. That it has none needn't be asked of the host: an
//! instance with fewer imports is made faster, and runs where a runtime gives a server's handler nothing of the kind
//! (`wasmtime serve`). The seed of hash maps, which is lacking there too, is made of random numbers, which aren't.

use std::borrow::Cow;

use wasm_encoder::reencode::{Error as ReencodeError, Reencode, utils};
use wasm_encoder::{
    CodeSection, CustomSection, EntityType, Function, FunctionSection, ImportSection, MemArg, Module,
    TypeSection, ValType,
};
use wasmparser::{FuncType, Parser, Payload, TypeRef};

use crate::guest_references;

/// The interfaces that are answered, without their versions.
const CLOSED: [&str; 8] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:filesystem/",
];

/// Makes a component of a core module that holds its world, as the linker leaves it with `--skip-wit-component`. What the
/// linker says of references (`--emit-relocs`) is kept in another form (`guest_references`).
///
/// # Errors
/// One sentence: the module is none, or holds no world.
pub fn component(module: &[u8]) -> Result<Vec<u8>, String> {
    let (mut closed, closing) =
        close(module).map_err(|cause| format!("the guest's module can't be read: {cause}"))?;
    let references = guest_references::references(module, |function| closing.place_of(function))?;
    if let Some(references) = &references {
        let name = Cow::Borrowed(guest_references::SECTION);
        closed.section(&CustomSection { name, data: Cow::Borrowed(references) });
    }
    let closed = closed.finish();
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&closed)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|cause| format!("the guest's module makes no component: {cause:#}"))
}

/// What gives the seed of hash maps, and what gives random numbers.
const SEED: (&str, &str) = ("wasi:random/insecure-seed", "insecure-seed");
const RANDOM: (&str, &str) = ("wasi:random/random", "get-random-u64");

/// What an answered function does.
#[derive(Clone, Copy)]
enum Stub {
    /// Writes so many zeros where its result goes: an empty list, or none of an option.
    Zeros(u64),
    /// Nothing: a handle that was never given is given back.
    Nothing,
    /// Writes two random numbers of 64 bits where its result goes.
    Seed,
    /// Ends the instance: it works on what was never given, or ends it.
    Trap,
}

impl Stub {
    fn of(interface: &str, function: &str) -> Option<Self> {
        let interface = interface.split('@').next().unwrap_or(interface);
        if (interface, function) == SEED {
            return Some(Self::Seed);
        }
        if !CLOSED.iter().any(|closed| interface.starts_with(closed)) {
            return None;
        }
        Some(match function {
            "get-environment" | "get-arguments" | "get-directories" => Self::Zeros(8),
            "initial-cwd" | "get-terminal-stdin" | "get-terminal-stdout" | "get-terminal-stderr" => {
                Self::Zeros(1)
            }
            drop if drop.starts_with("[resource-drop]") => Self::Nothing,
            _ => Self::Trap,
        })
    }

    /// `random` is the function that gives a random number.
    fn body(self, ty: &FuncType, random: u32) -> Function {
        let mut body = Function::new([]);
        let mut code = body.instructions();
        match self {
            Self::Zeros(bytes) if ty.params().len() == 1 && ty.results().is_empty() => {
                let at = MemArg { offset: 0, align: 0, memory_index: 0 };
                code.local_get(0);
                if bytes == 8 {
                    code.i64_const(0).i64_store(at);
                } else {
                    code.i32_const(0).i32_store8(at);
                }
            }
            Self::Seed => {
                for offset in [0, 8] {
                    let at = MemArg { offset, align: 0, memory_index: 0 };
                    code.local_get(0).call(random).i64_store(at);
                }
            }
            Self::Nothing if ty.results().is_empty() => {}
            Self::Zeros(_) | Self::Nothing | Self::Trap => {
                code.unreachable();
            }
        }
        code.end();
        body
    }
}

/// The module with functions of its own in place of the imports that are answered, behind all others.
fn close(module: &[u8]) -> Result<(Module, Closing), ReencodeError<wasmparser::BinaryReaderError>> {
    let mut types = Vec::new();
    let mut closing = Closing::default();
    let mut defined = 0;
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::TypeSection(section) => {
                types = section.into_iter_err_on_gc_types().collect::<Result<_, _>>()?;
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    if let TypeRef::Func(ty) = import.ty {
                        let stub = Stub::of(import.module, import.name);
                        if let (Some(Stub::Seed), Some((_, version))) = (stub, import.module.split_once('@'))
                        {
                            closing.random = Some(format!("{}@{version}", RANDOM.0));
                        }
                        closing.imports.push((stub, ty));
                    }
                }
            }
            Payload::FunctionSection(section) => defined = section.count(),
            _ => {}
        }
    }
    closing.place(defined);
    closing.types = types;
    let mut closed = Module::new();
    closing.parse_core_module(&mut closed, Parser::new(0), module)?;
    Ok((closed, closing))
}

#[derive(Default)]
struct Closing {
    types: Vec<FuncType>,
    /// The imported functions, with their types.
    imports: Vec<(Option<Stub>, u32)>,
    /// Where each of them is found now.
    places: Vec<u32>,
    /// How many of them are kept.
    kept: u32,
    /// The interface that random numbers are imported of, once more, behind those that are kept.
    random: Option<String>,
}

impl Closing {
    fn place(&mut self, defined: u32) {
        self.kept = self.imports.iter().filter(|(stub, _)| stub.is_none()).count() as u32;
        let (mut import, mut answered) = (0, self.imported() + defined);
        for (stub, _) in &self.imports {
            let next = if stub.is_some() { &mut answered } else { &mut import };
            self.places.push(*next);
            *next += 1;
        }
    }

    /// Where a function of the module is found now.
    fn place_of(&self, function: u32) -> u32 {
        let place = self.places.get(function as usize).copied();
        place.unwrap_or_else(|| function - self.imports.len() as u32 + self.imported())
    }

    /// How many functions are imported now.
    fn imported(&self) -> u32 {
        self.kept + u32::from(self.random.is_some())
    }

    fn answered(&self) -> impl Iterator<Item = (Stub, u32)> {
        self.imports.iter().filter_map(|(stub, ty)| stub.map(|stub| (stub, *ty)))
    }
}

impl Reencode for Closing {
    type Error = wasmparser::BinaryReaderError;

    fn function_index(&mut self, function: u32) -> Result<u32, ReencodeError<Self::Error>> {
        Ok(self.place_of(function))
    }

    fn parse_custom_section(
        &mut self,
        module: &mut Module,
        section: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), ReencodeError<Self::Error>> {
        if guest_references::is_for_linkers(section.name()) {
            return Ok(());
        }
        utils::parse_custom_section(self, module, section)
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), ReencodeError<Self::Error>> {
        utils::parse_type_section(self, types, section)?;
        types.ty().function([], [ValType::I64]);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), ReencodeError<Self::Error>> {
        for import in section.into_imports() {
            let import = import?;
            let answered =
                matches!(import.ty, TypeRef::Func(_)) && Stub::of(import.module, import.name).is_some();
            if !answered {
                let ty = self.entity_type(import.ty)?;
                imports.import(import.module, import.name, ty);
            }
        }
        if let Some(random) = &self.random {
            imports.import(random, RANDOM.1, EntityType::Function(self.types.len() as u32));
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), ReencodeError<Self::Error>> {
        utils::parse_function_section(self, functions, section)?;
        for (_, ty) in self.answered() {
            functions.function(ty);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Result<(), ReencodeError<Self::Error>> {
        utils::parse_code_section(self, code, section)?;
        for (stub, ty) in self.answered() {
            code.function(&stub.body(&self.types[ty as usize], self.kept));
        }
        Ok(())
    }
}
