//! [`Lazy`]: something that is opened when it is first needed.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::OnceCell;

/// Something that is opened when it is first needed. Where that fails, the next who needs it tries again.
pub struct Lazy<T: ?Sized> {
    opened: OnceCell<Arc<T>>,
    open: Box<dyn Fn() -> BoxFuture<'static, anyhow::Result<Arc<T>>> + Send + Sync>,
}

impl<T: ?Sized> Lazy<T> {
    pub fn new<F, O>(open: F) -> Self
    where
        F: Fn() -> O + Send + Sync + 'static,
        O: Future<Output = anyhow::Result<Arc<T>>> + Send + 'static,
    {
        Self { opened: OnceCell::new(), open: Box::new(move || Box::pin(open())) }
    }

    /// What is there already.
    pub fn ready(opened: Arc<T>) -> Self
    where
        T: Send + Sync + 'static,
    {
        Self::new(move || std::future::ready(Ok(opened.clone())))
    }

    /// The thing itself.
    ///
    /// # Errors
    /// It can't be opened now.
    pub async fn get(&self) -> anyhow::Result<Arc<T>> {
        self.opened.get_or_try_init(|| (self.open)()).await.cloned()
    }
}
