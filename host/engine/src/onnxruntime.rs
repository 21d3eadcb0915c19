//! [`OnnxRuntime`]: a second engine, from a shared library that is found at run time.
//!
//! The flow: `library` opens the file and checks its version. `Session::load` (`session`) refuses what the native
//! engine refuses at its boundary, hands over the file's bytes (`file`: as they are, or without their ZipMaps), and
//! each run passes tensors in place and copies the answers (`value`).

#[cfg(not(feature = "onnxruntime"))]
mod absent;
#[cfg(feature = "onnxruntime")]
mod file;
#[cfg(feature = "onnxruntime")]
mod library;
#[cfg(feature = "onnxruntime")]
mod session;
#[cfg(feature = "onnxruntime")]
mod value;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::Error;
#[cfg(not(feature = "onnxruntime"))]
use absent::Library;
#[cfg(not(feature = "onnxruntime"))]
pub(crate) use absent::Session;
#[cfg(feature = "onnxruntime")]
use library::Library;
#[cfg(feature = "onnxruntime")]
pub(crate) use session::Session;

/// ONNX Runtime's shared library, opened. A clone is the same library; it is never unloaded.
#[derive(Clone)]
pub struct OnnxRuntime {
    library: Arc<Library>,
}

impl OnnxRuntime {
    /// Opens the file `library`, such as `libonnxruntime.so.1.31.1`: ONNX Runtime 1.17 or newer. It is native code that
    /// runs in this process. A path without a folder is one in the working directory; the system's folders of libraries
    /// are not searched.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a file that is missing, no shared library, no ONNX Runtime or an older one, and everywhere if
    /// this crate was built without the feature `onnxruntime`.
    pub fn open(library: &Path) -> Result<Self, Error> {
        Ok(Self { library: Arc::new(Library::open(library)?) })
    }

    /// As the library says it, such as `1.31.1`.
    pub fn version(&self) -> &str {
        self.library.version()
    }
}

impl fmt::Debug for OnnxRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxRuntime").field("version", &self.version()).finish_non_exhaustive()
    }
}
