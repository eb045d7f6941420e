//! Admits a cluster that slipway did not make: its registration is there, its agent is not.

use kube::ResourceExt as _;
use kube::api::Api;
use slipway_agent::api::ClusterRegistration;
use slipway_agent::credential::{Endpoint, IssuedToken};
use slipway_agent::registration;

use super::{agent, error, list, reach};
use crate::cluster;
use crate::diagnostic::{Error, Kind, Result};

/// A cluster whose agent may come.
pub struct Guest {
    registration: ClusterRegistration,
    endpoint: Endpoint,
    bootstrap: IssuedToken,
    /// When its credential stops being good.
    pub expires: jiff::Timestamp,
}

impl Guest {
    /// Makes what the agent of the registered cluster `name` joins with.
    ///
    /// # Errors
    /// [`Kind::Preflight`] where there is no such registration, or it is not accepted, or its agent
    /// has joined already; else as the hub refuses.
    pub async fn invite(hub: &cluster::Hub, name: &str) -> Result<Self> {
        let (client, endpoint) = reach(hub).await?;
        let api = Api::<ClusterRegistration>::all(client.clone());
        let found = api.get_opt(name).await;
        let found = found.map_err(|e| reach::api(format!("reading the registration {name}"), e))?;
        let refused = |message, hint| Err(Error::new(Kind::Preflight, message).hint(hint));
        let Some(found) = found else {
            let message = format!("the hub has no ClusterRegistration `{name}`");
            return refused(message, "write one; docs/registration.md shows how");
        };
        if !found.spec.accepted {
            let message = format!("`{name}` is not accepted: its agent would get no certificate");
            return refused(message, "set `spec.accepted: true` in its ClusterRegistration");
        }
        if registration::has_joined(&found) {
            let message =
                format!("the agent of `{name}` has joined and renews its own certificate");
            return refused(
                message,
                "to admit another, delete the registration and create it again",
            );
        }
        let labels: Vec<(&str, &str)> =
            found.labels().iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let prepared = registration::prepare(&client, name, &found.spec, &labels, false).await;
        let registration = prepared.map_err(error)?;
        let bootstrap = registration::bootstrap(&client, name).await.map_err(error)?;
        let expires = bootstrap.expires;
        Ok(Self { registration, endpoint, bootstrap, expires })
    }

    /// The credential itself.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.bootstrap.token
    }

    /// The whole agent with its credential, as a list of objects; it runs `image`.
    ///
    /// # Errors
    /// A mistake of slipway's.
    pub fn manifests(&self, image: &str) -> Result<String> {
        let (name, spec) = (self.registration.name_any(), &self.registration.spec);
        let token = Some(&self.bootstrap.token);
        Ok(list(&agent(&name, &self.endpoint, spec, token, image)?))
    }
}
