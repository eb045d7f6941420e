//! What a session reaches: machines, and the cluster's hub.

use std::future::Future;
use std::sync::Arc;

use crate::bundle::Bundle;
use crate::cluster::{Cluster, Node};
use crate::diagnostic::Result;
use crate::host::{SshHost, Transport, Trust};
use crate::hub::Hub;
use crate::pki::Pki;
use crate::steps::Registered;

/// What a session reaches. The simulation has its own.
pub trait Network: Send + Sync + 'static {
    /// A machine that was reached.
    type Host: Transport + 'static;

    /// Connects to `node`.
    ///
    /// # Errors
    /// When it cannot be reached, or is not who it should be.
    fn connect(&self, node: &Node) -> impl Future<Output = Result<Self::Host>> + Send;

    /// What registers the cluster with its hub, and what that knows of it now; `None` where the
    /// inventory names no hub.
    ///
    /// # Errors
    /// When the hub cannot be reached, or refuses.
    fn registration(
        &self,
        cluster: &Cluster,
        bundle: &Bundle,
        pki: &Pki,
    ) -> impl Future<Output = Result<Option<Registered>>> + Send;
}

/// SSH, and the hub's API.
pub struct Real {
    /// Decides about host keys that are not known.
    pub trust: Arc<dyn Trust>,
}

impl Network for Real {
    type Host = SshHost;

    async fn connect(&self, node: &Node) -> Result<SshHost> {
        SshHost::connect(&node.ssh, &node.name, self.trust.as_ref()).await
    }

    async fn registration(
        &self,
        cluster: &Cluster,
        bundle: &Bundle,
        pki: &Pki,
    ) -> Result<Option<Registered>> {
        let Some(registration) = &cluster.registration else { return Ok(None) };
        let hub = Hub::of(cluster, registration, pki.ca_pem()).await?;
        let known = hub.look().await?;
        let agent = hub.agent(&bundle.image("slipway-agent")?.reference)?;
        Ok(Some(Registered { agent, with: hub.registration(known) }))
    }
}
