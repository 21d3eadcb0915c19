//! [`Library`]: ONNX Runtime's C interface, found in a shared library; [`Model`]: a session of it.
//!
//! The interface is a table of functions whose order never changes and whose end grows with each release, so that a
//! library serves whoever asks for its version or an older one (`onnxruntime_c_api.h`, `OrtApiBase::GetApi`).
#![allow(unsafe_code, reason = "functions of another language")]

use std::ffi::{CStr, CString, c_char};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use ort_sys::{
    ExecutionMode, GraphOptimizationLevel, OrtAllocator, OrtAllocatorType, OrtApi, OrtApiBase, OrtEnv,
    OrtErrorCode, OrtLoggingLevel, OrtMemType, OrtMemoryInfo, OrtSession, OrtSessionOptions, OrtStatus,
    OrtStatusPtr,
};

use super::value::Value;
use crate::error::Cause;
use crate::{Error, Tensor};

/// The version of the table that is asked for: that of ONNX Runtime 1.17.
const VERSION: u32 = 17;

// A table of another version would be read past its end.
const _: () = assert!(ort_sys::ORT_API_VERSION == VERSION);

/// Entries of a session's configuration (`onnxruntime_session_options_config_keys.h`).
const CONFIGURATION: [(&CStr, &CStr); 3] = [
    // Else the bytes' own beginning decides whether they are ONNX, and other forms are not checked by `file`.
    (c"session.load_model_format", c"ONNX"),
    (c"session.intra_op.allow_spinning", c"0"),
    (c"session.inter_op.allow_spinning", c"0"),
];

pub(super) struct Library {
    pub(super) table: Table,
    /// Of tensors that lie in the caller's memory.
    pub(super) memory: Owned<OrtMemoryInfo>,
    /// Of tensors of strings. The library's own; lives as long as it does.
    pub(super) allocator: NonNull<OrtAllocator>,
    environment: Owned<OrtEnv>,
    version: String,
}

// SAFETY: what it holds is only read once it is made, and an environment may make sessions in several threads at one
// time.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let shown = path.display();
        // A name without a folder would be searched for in the system's.
        let file = if path.is_relative() { Path::new(".").join(path) } else { path.to_owned() };
        // SAFETY: loading runs the library's initialisers. Whoever names the file answers for it as for this program.
        let loaded = unsafe { libloading::Library::new(&file) };
        let loaded = loaded.map_err(|e| {
            Error::unsupported(format!("ONNX Runtime can't be loaded from {shown}"))
                .caused_by(&Failure::new(e.to_string()))
        })?;
        // It registers what runs when the process ends, so it stays.
        let loaded = ManuallyDrop::new(loaded);
        type Entry = unsafe extern "system" fn() -> *const OrtApiBase;
        // SAFETY: ONNX Runtime's header declares the one function of this name so.
        let entry = unsafe { loaded.get::<Entry>(c"OrtGetApiBase") };
        let entry = entry.map_err(|_| {
            Error::unsupported(format!("{shown} is no ONNX Runtime: it has no function OrtGetApiBase"))
        })?;
        // SAFETY: the base, its functions and the text that they give live as long as the library.
        let (version, api) = unsafe {
            let base = NonNull::new(entry().cast_mut())
                .ok_or_else(|| Error::unsupported(format!("{shown} is no ONNX Runtime: its base is null")))?;
            let version = CStr::from_ptr(((*base.as_ptr()).GetVersionString)());
            (version.to_string_lossy().into_owned(), ((*base.as_ptr()).GetApi)(VERSION))
        };
        let Some(api) = NonNull::new(api.cast_mut()) else {
            return Err(Error::unsupported(format!(
                "{shown}: expected ONNX Runtime 1.{VERSION} or newer, got {version}"
            )));
        };
        Self::set_up(Table { api }, version).map_err(|failure| {
            Error::unsupported(format!("{shown}: ONNX Runtime can't be set up")).caused_by(&failure)
        })
    }

    fn set_up(table: Table, version: String) -> Result<Self, Failure> {
        // What goes wrong comes back as a status; the library need not write it to stderr as well.
        let silent = OrtLoggingLevel::ORT_LOGGING_LEVEL_FATAL;
        // SAFETY: the functions of the table, as its header declares them, with places that outlive each call and the
        // release function that belongs to each object.
        unsafe {
            let api = table.api.as_ptr();
            let environment =
                table.owned((*api).ReleaseEnv, |out| ((*api).CreateEnv)(silent, c"ampoule".as_ptr(), out))?;
            table.checked(((*api).DisableTelemetryEvents)(environment.as_ptr()))?;
            let memory = table.owned((*api).ReleaseMemoryInfo, |out| {
                ((*api).CreateCpuMemoryInfo)(
                    OrtAllocatorType::OrtArenaAllocator,
                    OrtMemType::OrtMemTypeDefault,
                    out,
                )
            })?;
            let allocator = table.made(|out| ((*api).GetAllocatorWithDefaultOptions)(out))?;
            Ok(Self { table, memory, allocator, environment, version })
        }
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }
}

/// A loaded model; computes in the thread that calls it.
pub(super) struct Model {
    session: Owned<OrtSession>,
    inputs: Vec<CString>,
    outputs: Vec<CString>,
    /// Behind the session, which must be released first.
    library: Arc<Library>,
}

// SAFETY: a session may run in several threads at one time, and nothing else is done with it.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Model {
    /// Of the bytes of an ONNX file, whose inputs and outputs will be given and asked for in this order.
    pub(super) fn new(
        library: &Arc<Library>,
        bytes: &[u8],
        inputs: Vec<CString>,
        outputs: Vec<CString>,
    ) -> Result<Self, Failure> {
        let options = options(library.table)?;
        // SAFETY: the bytes are read during the call only.
        let session = unsafe {
            let api = library.table.api.as_ptr();
            let (environment, options) = (library.environment.as_ptr(), options.as_ptr());
            library.table.owned((*api).ReleaseSession, |out| {
                ((*api).CreateSessionFromArray)(environment, bytes.as_ptr().cast(), bytes.len(), options, out)
            })?
        };
        Ok(Self { session, inputs, outputs, library: library.clone() })
    }

    /// One tensor for each input; gives a value for each output. They may share the inputs' memory.
    pub(super) fn run<'a>(&'a self, inputs: &'a [Tensor]) -> Result<Vec<Value<'a>>, Failure> {
        if inputs.len() != self.inputs.len() {
            let (expected, got) = (self.inputs.len(), inputs.len());
            return Err(Failure::new(format!("expected {expected} inputs, got {got}")));
        }
        let values = inputs.iter().map(|tensor| Value::of(&self.library, tensor));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let values: Vec<_> = values.iter().map(|value| value.as_ptr().cast_const()).collect();
        let names = |names: &[CString]| -> Vec<*const c_char> { names.iter().map(|n| n.as_ptr()).collect() };
        let (given, asked) = (names(&self.inputs), names(&self.outputs));
        let mut outputs = vec![ptr::null_mut(); asked.len()];
        // SAFETY: each list is as long as the number behind it says, and lives until the call returns. A session may
        // run in several threads at one time; null stands for options that are the default's.
        let status = unsafe {
            ((*self.library.table.api.as_ptr()).Run)(
                self.session.as_ptr(),
                ptr::null(),
                given.as_ptr(),
                values.as_ptr(),
                values.len(),
                asked.as_ptr(),
                asked.len(),
                outputs.as_mut_ptr(),
            )
        };
        // Before the status, so that what is there is released.
        // SAFETY: null, or a value that is the caller's from here on.
        let outputs = outputs.into_iter().map(|value| unsafe { Value::from_raw(&self.library, value) });
        let outputs: Vec<Option<Value>> = outputs.collect();
        self.library.table.checked(status)?;
        let outputs: Option<Vec<Value>> = outputs.into_iter().collect();
        outputs.ok_or_else(|| Failure::new("an output has no value"))
    }
}

/// One thread, which is the caller's; all optimisations.
fn options(table: Table) -> Result<Owned<OrtSessionOptions>, Failure> {
    // SAFETY: the options are this function's alone, and texts are copied during each call.
    unsafe {
        let api = table.api.as_ptr();
        let options = table.owned((*api).ReleaseSessionOptions, |out| ((*api).CreateSessionOptions)(out))?;
        let it = options.as_ptr();
        table.checked(((*api).SetIntraOpNumThreads)(it, 1))?;
        table.checked(((*api).SetInterOpNumThreads)(it, 1))?;
        table.checked(((*api).SetSessionExecutionMode)(it, ExecutionMode::ORT_SEQUENTIAL))?;
        let all = GraphOptimizationLevel::ORT_ENABLE_ALL;
        table.checked(((*api).SetSessionGraphOptimizationLevel)(it, all))?;
        for (key, value) in CONFIGURATION {
            table.checked(((*api).AddSessionConfigEntry)(it, key.as_ptr(), value.as_ptr()))?;
        }
        Ok(options)
    }
}

/// The functions of the interface, of at least [`VERSION`].
#[derive(Clone, Copy)]
pub(super) struct Table {
    pub(super) api: NonNull<OrtApi>,
}

impl Table {
    /// Whether a call went well; otherwise what the library says, and the status is released.
    pub(super) fn checked(self, status: OrtStatusPtr) -> Result<(), Failure> {
        let status = status.0;
        if status.is_null() {
            return Ok(());
        }
        type Declared = unsafe extern "system" fn(*const OrtStatus) -> OrtErrorCode;
        // SAFETY: a status is its receiver's, is released once, and its text is copied before. The code is read as the
        // number that it is in C, since a newer library may have codes that the enum lacks.
        unsafe {
            let api = self.api.as_ptr();
            let code = std::mem::transmute::<Declared, unsafe extern "system" fn(*const OrtStatus) -> i32>(
                (*api).GetErrorCode,
            )(status);
            let message = CStr::from_ptr(((*api).GetErrorMessage)(status)).to_string_lossy().into_owned();
            ((*api).ReleaseStatus)(status);
            Err(Failure { code, message })
        }
    }

    /// What a call that went well wrote to its place.
    pub(super) fn made<T>(
        self,
        make: impl FnOnce(*mut *mut T) -> OrtStatusPtr,
    ) -> Result<NonNull<T>, Failure> {
        let mut made = ptr::null_mut();
        self.checked(make(&mut made))?;
        NonNull::new(made).ok_or_else(|| Failure::new("a call gave nothing"))
    }

    /// As [`Table::made`], released when it is dropped.
    ///
    /// # Safety
    ///
    /// `release` is the function for what `make` makes.
    pub(super) unsafe fn owned<T>(
        self,
        release: Release<T>,
        make: impl FnOnce(*mut *mut T) -> OrtStatusPtr,
    ) -> Result<Owned<T>, Failure> {
        Ok(Owned { it: self.made(make)?, release })
    }
}

type Release<T> = unsafe extern "system" fn(*mut T);

/// An object of the library's, released when it is dropped.
pub(super) struct Owned<T> {
    it: NonNull<T>,
    release: Release<T>,
}

impl<T> Owned<T> {
    /// # Safety
    ///
    /// `it` is the caller's, and `release` is the function for it.
    pub(super) unsafe fn new(it: NonNull<T>, release: Release<T>) -> Self {
        Self { it, release }
    }

    pub(super) fn as_ptr(&self) -> *mut T {
        self.it.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it was made once, is released by the function for its kind, and not used afterwards.
        unsafe { (self.release)(self.it.as_ptr()) }
    }
}

/// What a status says that is not "no error".
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Failure {
    /// An `OrtErrorCode`, or a newer library's.
    code: i32,
    message: String,
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { code: OrtErrorCode::ORT_FAIL as i32, message: message.into() }
    }

    /// Whether the library lacks what the model needs, rather than that the model is wrong.
    pub(super) fn is_missing(&self) -> bool {
        // An operator or opset that it doesn't know makes the model an invalid one to it.
        self.code == OrtErrorCode::ORT_NOT_IMPLEMENTED as i32
            || self.message.contains("No Op registered for")
            || self.message.contains("is not a registered function/op")
            || self.message.contains("official released onnx opset versions")
    }
}

impl Cause for Failure {
    fn shared(&self) -> Arc<dyn std::error::Error + Send + Sync> {
        Arc::new(self.clone())
    }
}
