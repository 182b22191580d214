//! Looks which interfaces and addresses this node has, so that plans are warned of what cannot be.

use crate::{
    clock::{BootClock, Clock},
    config::AgentConfig,
    kernel::io::address::{AddressError, Addresses},
    model::NodeNetwork,
    repeats::Repeats,
    tasks::Tasks,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// From one look to the next: what a person has changed by hand just before asking for a plan may be missing in it.
const EVERY: Duration = Duration::from_secs(2);

/// Looks until `shutdown`, and says what there is when it differs.
pub fn start(tasks: &Tasks, config: Arc<AgentConfig>, shutdown: &CancellationToken) -> watch::Receiver<Option<NodeNetwork>> {
    let (out, network) = watch::channel(None);
    tasks.spawn("network", shutdown, run(config, out, shutdown.child_token()));
    network
}

async fn run(config: Arc<AgentConfig>, out: watch::Sender<Option<NodeNetwork>>, shutdown: CancellationToken) {
    // Looking changes nothing, so it may be stopped anywhere.
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = look(&config, out) => {}
    }
}

async fn look(config: &AgentConfig, out: watch::Sender<Option<NodeNetwork>>) {
    let (mut failing, mut addresses) = (Repeats::default(), None);
    loop {
        match seen(&mut addresses).await {
            Ok(mut now) => {
                now.vips_on.clone_from(&config.interface);
                now.called.clone_from(&config.interfaces);
                out.send_if_modified(|last| {
                    let differs = last.as_ref() != Some(&now);
                    *last = Some(now);
                    differs
                });
            }
            // What was seen last stands.
            Err(error) => {
                if let Some(times) = failing.due(&(), &error.to_string(), BootClock.now()) {
                    tracing::warn!(error = %crate::base::errors::with_sources(&error), times, "cannot see this node's network");
                }
            }
        }
        sleep(EVERY).await;
    }
}

async fn seen(opened: &mut Option<Addresses>) -> Result<NodeNetwork, AddressError> {
    let addresses = match opened.take() {
        Some(addresses) => addresses,
        None => Addresses::open()?,
    };
    opened.insert(addresses).network().await
}
