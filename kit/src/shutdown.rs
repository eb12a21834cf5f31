//! From a signal to the end: the first asks for a graceful stop, the second ends the process at once.
//!
//! Listens to SIGTERM and SIGINT.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code when the lease was lost: something that was started may still be on its way, so the process must end.
pub const EXIT_LEASE_LOST: i32 = 75;
/// Exit code when a second signal came before everything was drained.
pub const EXIT_IMPATIENT: i32 = 130;

/// Cancels `stop` at the first signal and ends the process at the second.
pub fn on_signals(stop: &CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.is_cancelled() {
                tracing::warn!("asked to stop a second time: ending without draining");
                std::process::exit(EXIT_IMPATIENT);
            }
            tracing::info!("asked to stop: taking nothing new, draining");
            stop.cancel();
        }
    });
    Ok(())
}
