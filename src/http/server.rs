//! Listening, and stopping without cutting anybody off.

use super::router;
use crate::app::Shared;
use tokio::net::TcpListener;

/// Serves until the process is told to stop, then lets requests in flight finish.
///
/// # Errors
/// What listening says.
pub async fn serve(app: &Shared, listener: TcpListener) -> std::io::Result<()> {
    let stop = {
        let app = app.clone();
        async move {
            let _ = tokio::signal::ctrl_c().await;
            app.drain();
        }
    };
    axum::serve(listener, router(app)).with_graceful_shutdown(stop).await
}
