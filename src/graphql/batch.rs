//! When the batches of loaders run: in the task of their request, each time its resolvers wait.
//!
//! A loader that waits for a while before it asks the database sees some of its keys and misses
//! others, by chance; a loaded machine then runs more statements than an idle one. Here nothing is
//! left to chance: resolvers run until none of them can go on, and only then does every loader take
//! the keys that it was given. The next batches begin when all of these have ended, so that the next
//! level again is one batch for each loader. And no request waits for a timer.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::Hash;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use futures_util::task::AtomicWaker;

use crate::db::Reader;
use crate::error::Error;

/// The most keys of a batch: SQLite binds at most 32,766 values.
const KEYS: usize = 2_000;

/// What was found for the keys of a batch; a key without a value is left out.
pub(super) type Loaded<K, V> = Result<HashMap<K, V>, Arc<Error>>;

/// Finds in one go what many resolvers ask for.
pub(super) trait Loader<K> {
    /// What is found for a key.
    type Value: Clone + Send + 'static;

    /// Finds the values of keys.
    fn load(&self, keys: &[K]) -> impl Future<Output = Loaded<K, Self::Value>> + Send;
}

/// The loaders of one request. They forget with it.
#[derive(Clone)]
pub(super) struct Loaders {
    reader: Reader,
    /// The batches that take keys, by the types of these.
    open: Arc<Mutex<HashMap<TypeId, Box<dyn Any + Send>>>>,
    /// What has not begun. In the end it says whom to wake.
    waiting: Arc<Mutex<Vec<BoxFuture<'static, Vec<Waker>>>>>,
}

/// Keys, each with the number of resolvers that wait for its value, and in the end the values.
struct Batch<K, V> {
    keys: HashMap<K, u32>,
    wakers: Vec<Waker>,
    outcome: Option<Loaded<K, V>>,
}

type Shared<K, V> = Arc<Mutex<Batch<K, V>>>;

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Loaders {
    /// Loaders that read as one caller.
    pub(super) fn new(reader: &Reader) -> Self {
        Self { reader: reader.clone(), open: Arc::default(), waiting: Arc::default() }
    }

    /// The value of a key, when the batch that takes it has ended.
    pub(super) fn load_one<K>(&self, key: K) -> LoadOne<K, <Reader as Loader<K>>::Value>
    where
        K: Clone + Eq + Hash + Send + Sync + Unpin + 'static,
        Reader: Loader<K>,
    {
        let open = lock(&self.open).get(&TypeId::of::<K>()).and_then(|batch| {
            let batch = batch.downcast_ref::<Shared<K, <Reader as Loader<K>>::Value>>()?;
            (lock(batch).keys.len() < KEYS).then(|| Arc::clone(batch))
        });
        let batch = open.unwrap_or_else(|| self.begin::<K>());
        *lock(&batch).keys.entry(key.clone()).or_default() += 1;
        LoadOne { key, batch }
    }

    /// Opens a batch. It takes no more keys when it runs.
    fn begin<K>(&self) -> Shared<K, <Reader as Loader<K>>::Value>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
        Reader: Loader<K>,
    {
        let batch =
            Arc::new(Mutex::new(Batch { keys: HashMap::new(), wakers: Vec::new(), outcome: None }));
        lock(&self.open).insert(TypeId::of::<K>(), Box::new(Arc::clone(&batch)));
        let (reader, open, own) = (self.reader.clone(), Arc::clone(&self.open), Arc::clone(&batch));
        lock(&self.waiting).push(Box::pin(async move {
            lock(&open).remove(&TypeId::of::<K>());
            let keys: Vec<K> = lock(&own).keys.keys().cloned().collect();
            let outcome = reader.load(&keys).await;
            let mut batch = lock(&own);
            batch.outcome = Some(outcome);
            std::mem::take(&mut batch.wakers)
        }));
        batch
    }

    /// Runs the resolvers of a request and, whenever they wait, its batches, all at a time.
    pub(super) async fn run<T>(self, resolvers: impl Future<Output = T>) -> T {
        let mut resolvers = pin!(resolvers);
        let (mut running, mut wakers) = (FuturesUnordered::new(), Vec::new());
        let call = Arc::new(Call { came: AtomicBool::new(true), task: AtomicWaker::new() });
        let waker = Waker::from(Arc::clone(&call));
        poll_fn(move |context| {
            call.task.register(context.waker());
            loop {
                while let Poll::Ready(Some(waiting)) = running.poll_next_unpin(context) {
                    wakers.extend(waiting);
                }
                // A level begins when all of the last one has ended: what a quick batch brought
                // would else ask for the same things as what a slow one brings, in two batches.
                if running.is_empty() {
                    wakers.drain(..).for_each(Waker::wake);
                }
                if call.came.swap(false, Ordering::AcqRel) {
                    let resolved = resolvers.as_mut().poll(&mut Context::from_waker(&waker));
                    if resolved.is_ready() {
                        return resolved;
                    }
                }
                if !running.is_empty() {
                    return Poll::Pending;
                }
                running.extend(std::mem::take(&mut *lock(&self.waiting)));
                if running.is_empty() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

/// A value under way.
pub(super) struct LoadOne<K, V> {
    key: K,
    batch: Shared<K, V>,
}

impl<K: Eq + Hash + Unpin, V: Clone> Future for LoadOne<K, V> {
    type Output = Result<Option<V>, Arc<Error>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut batch = lock(&self.batch);
        let Batch { keys, wakers, outcome } = &mut *batch;
        match outcome {
            None => {
                wakers.push(context.waker().clone());
                Poll::Pending
            }
            Some(Err(error)) => Poll::Ready(Err(Arc::clone(error))),
            Some(Ok(found)) => {
                // Whoever comes last takes the value itself.
                let waits = keys.get_mut(&self.key);
                let is_last = waits.is_none_or(|waits| {
                    *waits -= 1;
                    *waits == 0
                });
                Poll::Ready(Ok(if is_last {
                    found.remove(&self.key)
                } else {
                    found.get(&self.key).cloned()
                }))
            }
        }
    }
}

/// Whether the resolvers can go on. There are thousands of them and they are looked at all together,
/// so that this is not done for each row that a batch receives.
struct Call {
    came: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.came.store(true, Ordering::Release);
        self.task.wake();
    }
}
