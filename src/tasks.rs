//! Long-running tasks with names. A task that ends before it was told to is a fault, which names the task and says why it ended.

use futures_util::FutureExt;
use std::{
    any::Any,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A task ended before it was told to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the task `{task}` ended by itself: {why}")]
pub struct TaskFault {
    /// Its name.
    pub task: &'static str,
    /// What it returned, or the text of its panic.
    pub why: String,
}

/// A type that a task may return.
pub trait TaskEnd: Send + 'static {
    /// Why it ended, for a fault.
    fn why(self) -> String;
}

impl TaskEnd for () {
    fn why(self) -> String {
        "it returned".to_owned()
    }
}

impl<E: std::error::Error + Send + 'static> TaskEnd for Result<(), E> {
    fn why(self) -> String {
        match self {
            Ok(()) => ().why(),
            Err(error) => {
                let causes = std::iter::successors(error.source(), |cause| cause.source());
                causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
            }
        }
    }
}

/// A group of tasks. Clones are handles to the same group.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    running: Arc<Mutex<Vec<&'static str>>>,
    fault: watch::Sender<Option<TaskFault>>,
}

impl Default for Tasks {
    fn default() -> Self {
        let tracker = TaskTracker::new();
        // A closed tracker still accepts tasks, and [`Tasks::all_ended`] returns only if it is closed.
        tracker.close();
        Self { tracker, running: Arc::default(), fault: watch::channel(None).0 }
    }
}

impl Tasks {
    /// Runs `task`. If it ends before `until` is cancelled, that is a fault of the group, whatever it returns.
    pub fn spawn<O: TaskEnd>(
        &self,
        name: &'static str,
        until: &CancellationToken,
        task: impl Future<Output = O> + Send + 'static,
    ) -> JoinHandle<()> {
        let (group, until) = (self.clone(), until.clone());
        self.names().push(name);
        // Nothing of the task is used after a panic.
        let guarded = AssertUnwindSafe(task).catch_unwind();
        self.tracker.spawn(async move {
            let why = guarded.await.map_or_else(|panic| format!("it panicked: {}", panic_text(&*panic)), TaskEnd::why);
            group.ended(name, why, until.is_cancelled());
        })
    }

    /// Returns with the first fault; never if there is none. Cancel-safe: a fault stays.
    pub async fn failed(&self) -> TaskFault {
        let mut fault = self.fault.subscribe();
        match fault.wait_for(Option::is_some).await.map(|fault| fault.clone()) {
            Ok(Some(fault)) => fault,
            // `self` holds the sender, and what was waited for is there.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// The first fault, if there is one.
    pub fn fault(&self) -> Option<TaskFault> {
        self.fault.borrow().clone()
    }

    /// Returns when no task runs any more.
    pub async fn all_ended(&self) {
        self.tracker.wait().await;
    }

    /// The names of the tasks that still run, for a message.
    pub fn running(&self) -> String {
        self.names().join(", ")
    }

    fn ended(&self, task: &'static str, why: String, expected: bool) {
        {
            let mut names = self.names();
            if let Some(at) = names.iter().position(|name| *name == task) {
                names.swap_remove(at);
            }
        }
        if expected {
            return;
        }
        // Each fault is logged: the first one may be a consequence of another.
        tracing::error!(task, why, "a task ended that must not");
        self.fault.send_if_modified(|fault| {
            let first = fault.is_none();
            fault.get_or_insert(TaskFault { task, why });
            first
        });
    }

    fn names(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.running.lock().expect("no holder of this lock panics")
    }
}

/// The text of a panic, which is of one of two types.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it does not say why")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use tokio::sync::oneshot;

    async fn fault_of<O: TaskEnd>(task: impl Future<Output = O> + Send + 'static) -> String {
        let (tasks, until) = (Tasks::default(), CancellationToken::new());
        assert_eq!(tasks.fault(), None);
        tasks.spawn("judge", &until, task);
        let fault = tasks.failed().await;
        assert_eq!(tasks.fault(), Some(fault.clone()));
        fault.to_string()
    }

    #[tokio::test]
    async fn every_way_to_end_is_a_fault_that_names_the_task_and_says_why() {
        assert_eq!(fault_of(async {}).await, "the task `judge` ended by itself: it returned");
        assert_eq!(fault_of(async { Ok::<(), io::Error>(()) }).await, "the task `judge` ended by itself: it returned");
        let full = async { Err::<(), _>(io::Error::other("no space left")) };
        assert_eq!(fault_of(full).await, "the task `judge` ended by itself: no space left");
        let text = async { panic!("no leader") };
        assert_eq!(fault_of::<()>(text).await, "the task `judge` ended by itself: it panicked: no leader");
        let number = async { panic!("{} is not 2", 1) };
        assert_eq!(fault_of::<()>(number).await, "the task `judge` ended by itself: it panicked: 1 is not 2");
    }

    #[tokio::test]
    async fn the_first_fault_counts() {
        let (tasks, until) = (Tasks::default(), CancellationToken::new());
        tasks.spawn("first", &until, async {}).await.unwrap();
        tasks.spawn("second", &until, async {}).await.unwrap();
        assert_eq!(tasks.failed().await.task, "first");
    }

    #[tokio::test]
    async fn an_end_after_its_token_was_cancelled_is_none() {
        let (tasks, until) = (Tasks::default(), CancellationToken::new());
        for name in ["gossip", "reconcile"] {
            let told = until.clone();
            tasks.spawn(name, &until, async move { told.cancelled().await });
        }
        assert_eq!(tasks.running(), "gossip, reconcile");
        until.cancel();
        tasks.all_ended().await;
        assert_eq!((tasks.fault(), tasks.running()), (None, String::new()));
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_fault_that_comes_later() {
        let (tasks, until) = (Tasks::default(), CancellationToken::new());
        let (end, ends) = oneshot::channel::<()>();
        tasks.spawn("view", &until, async move { drop(ends.await) });
        let waits = tokio::spawn({
            let tasks = tasks.clone();
            async move { tasks.failed().await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(end);
        assert_eq!(waits.await.unwrap().task, "view");
    }
}
