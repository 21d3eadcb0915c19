//! [`Budget`]: how much memory an import may take, so that a few bytes of a file never claim many of the host.

use crate::Error;

/// Bytes that are left.
pub(super) struct Budget(usize);

/// Features, names of categories and classes that a file may have.
pub(super) const MAX_NAMES: usize = 1 << 18;

impl Budget {
    /// For a file of this many bytes: six times as much, and 32 MB. What a reader holds besides, such as one tree's
    /// own arrays, comes on top.
    pub(super) fn of(file_bytes: usize) -> Self {
        Self(file_bytes.saturating_mul(6).saturating_add(32 << 20))
    }

    /// # Errors
    ///
    /// `InvalidModel` if there is not so much left. No library writes a file so terse.
    pub(super) fn take<T>(&mut self, count: usize) -> Result<(), Error> {
        let bytes = count.saturating_mul(size_of::<T>());
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            Error::model("the file describes more than its size can account for; is it damaged?")
        })?;
        Ok(())
    }
}
