//! The hub of the Multi-Cluster Platform, as the operator's machine reaches it: what it knows of a
//! cluster, and how a cluster is registered with it. What runs at the hub and in the cluster is
//! another package, `slipway-agent`.

use std::fmt;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::Api;
use slipway_agent::api::{Adapter, ClusterRegistration, ClusterRegistrationSpec};
use slipway_agent::credential::Endpoint;
use slipway_agent::{install, registration};

use crate::cluster::{Cluster, Registration};
use crate::diagnostic::{Error, Kind, Result};
use crate::resource::{self, AtHub, Prerequisite, Running};
use crate::secret::Secret;

mod clusters;
mod guest;
mod reach;

pub use clusters::{Known, clusters, status, table};
pub use guest::Guest;
pub use kube::Client;
pub use reach::{error, reach};
pub use slipway_agent::registration::Left;

/// How long the agent may take to join, once it has its credential.
const JOINING: Duration = Duration::from_secs(180);

/// One cluster and its hub.
#[derive(Clone)]
pub struct Hub {
    client: Client,
    endpoint: Endpoint,
    name: String,
    spec: ClusterRegistrationSpec,
    labels: Vec<(String, String)>,
    replace: bool,
}

impl Hub {
    /// The hub of `cluster`, which `registration` names; the cluster's CA is `ca` (PEM).
    ///
    /// # Errors
    /// [`Kind::Inventory`] for files that cannot be read, [`Kind::Connection`] for a hub that cannot
    /// be reached.
    pub async fn of(cluster: &Cluster, registration: &Registration, ca: &[u8]) -> Result<Self> {
        let (client, endpoint) = reach(&registration.hub).await?;
        reach::from_inside(&endpoint.server, cluster)?;
        let spec = spec(cluster, registration, ca)?;
        let labels = registration.labels.clone().into_iter().collect();
        let (name, replace) = (registration.name.clone(), registration.replace);
        Ok(Self { client, endpoint, name, spec, labels, replace })
    }

    /// What the hub knows of the cluster.
    ///
    /// # Errors
    /// [`Kind::Connection`] when it does not answer, [`Kind::Preflight`] when it is no hub.
    pub async fn look(&self) -> Result<AtHub> {
        let api = Api::<ClusterRegistration>::all(self.client.clone());
        let found = api.get_opt(&self.name).await.map_err(|e| self.refused(e))?;
        let Some(found) = found else {
            // A server that does not know the kind answers the same. One that does says now what it
            // would refuse in the end.
            let any = api.list(&kube::api::ListParams::default().limit(1)).await;
            any.map_err(|e| self.refused(e))?;
            let wanted = ClusterRegistration::new(&self.name, self.spec.clone());
            let dry = kube::api::PostParams { dry_run: true, ..kube::api::PostParams::default() };
            let tried = api.create(&dry, &wanted).await;
            return tried.map(|_| AtHub::default()).map_err(|e| self.refused(e));
        };
        let meant = ClusterRegistrationSpec {
            cluster_id: found.spec.cluster_id.clone(),
            adapters: self.adapters(&found),
            ..self.spec.clone()
        };
        let labels = found.labels();
        Ok(AtHub {
            there: found.metadata.deletion_timestamp.is_none(),
            cluster_id: found.spec.cluster_id.clone(),
            current: found.spec == meant
                && self.labels.iter().all(|(key, value)| labels.get(key) == Some(value)),
            joined: registration::has_joined(&found),
            ready: registration::is_ready(&found),
        })
    }

    /// The agent, as a list of objects for the cluster; without its credential.
    ///
    /// # Errors
    /// A mistake of slipway's.
    pub fn agent(&self, image: &str) -> Result<String> {
        let mut objects = agent(&self.name, &self.endpoint, &self.spec, None, image)?;
        objects.retain(|object| !is_secret(object));
        let metadata = |object| serde_json::Value::as_object_mut(object);
        for fields in
            objects.iter_mut().filter_map(|one| one.get_mut("metadata").and_then(metadata))
        {
            let labels = fields.entry("labels").or_insert_with(|| serde_json::json!({}));
            if let Some(labels) = labels.as_object_mut() {
                labels.insert("app".to_owned(), "mcp-agent".into());
            }
        }
        Ok(list(&objects))
    }

    /// The resource that registers the cluster; `known` is what [`Hub::look`] gave.
    #[must_use]
    pub fn registration(&self, known: AtHub) -> resource::Registration {
        resource::Registration {
            name: self.name.clone(),
            server: self.endpoint.server.clone(),
            ca: self.endpoint.ca.clone(),
            replace: self.replace,
            known,
            hub: Arc::new(self.clone()),
        }
    }

    /// The adapters that are meant, in the order in which they are found: the inventory's, and those that
    /// somebody else wrote at the hub.
    fn adapters(&self, found: &ClusterRegistration) -> Vec<Adapter> {
        let ours = found
            .managed_fields()
            .iter()
            .filter(|one| one.manager.as_deref() == Some(install::MANAGER));
        let ours: Vec<_> = ours
            .filter_map(|one| one.fields_v1.as_ref()?.0.pointer("/f:spec/f:adapters")?.as_object())
            .collect();
        let wrote = |one: &Adapter| {
            let key = format!(r#"k:{{"type":"{}"}}"#, one.kind.name());
            ours.iter().any(|fields| fields.contains_key(&key))
        };
        let wanted = |kind| self.spec.adapters.iter().find(|one| one.kind == kind);
        let kept = found.spec.adapters.iter().filter_map(|one| match wanted(one.kind) {
            Some(wanted) => Some(wanted.clone()),
            None => (!wrote(one)).then(|| one.clone()),
        });
        let there = |kind| found.spec.adapters.iter().any(|one| one.kind == kind);
        let new = self.spec.adapters.iter().filter(|one| !there(one.kind)).cloned();
        kept.chain(new).collect()
    }

    fn refused(&self, cause: kube::Error) -> Error {
        let what = format!("asking the hub {} of {}", self.endpoint.server, self.name);
        reach::unless_no_hub(&self.endpoint.server, what, cause)
    }
}

/// The spec of the registration of `cluster`; the inventory's own values win over detected ones.
fn spec(
    cluster: &Cluster,
    registration: &Registration,
    ca: &[u8],
) -> Result<ClusterRegistrationSpec> {
    let capabilities = registration.capabilities.iter().map(String::as_str);
    let mut spec = serde_json::json!({
        "apiEndpoint": format!("https://{}", cluster.endpoint.authority()),
        "caData": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, ca),
        "syncInterval": format!("{}s", registration.every.as_secs()),
        "mode": registration.mode,
        "accepted": true,
        "capabilities": iter::once("Report").chain(capabilities).collect::<Vec<_>>(),
    });
    if let Some(fields) = spec.as_object_mut() {
        fields.extend(registration.more.clone());
    }
    serde_json::from_value(spec).map_err(|e| {
        Error::new(Kind::Inventory, format!("the ClusterRegistration cannot be read: {e}"))
    })
}

/// The agent of the cluster `name`, as objects for it.
fn agent(
    name: &str,
    hub: &Endpoint,
    spec: &ClusterRegistrationSpec,
    token: Option<&zeroize::Zeroizing<String>>,
    image: &str,
) -> Result<Vec<serde_json::Value>> {
    let (credential, capabilities) = (&spec.credential, &spec.capabilities);
    let member = install::Member { cluster: name, hub, token, credential, capabilities, image };
    values(&install::member_objects(&member).map_err(error)?)
}

/// Everything that makes a cluster a hub, as a list of objects; the controller runs `image`.
///
/// # Errors
/// A mistake of slipway's.
pub fn objects(image: &str) -> Result<String> {
    let mut objects = values(&slipway_agent::api::crds())?;
    objects.extend(values(&install::objects(image).map_err(error)?)?);
    Ok(list(&objects))
}

/// Makes the API server behind `client` a hub, whose controller runs `image`.
///
/// # Errors
/// When the server refuses.
pub async fn install(client: &Client, image: &str) -> Result<()> {
    install::hub(client, image).await.map_err(error)
}

/// Takes the cluster out of the hub; gives what is left of it in the cluster itself, which only
/// `force` leaves.
///
/// # Errors
/// When the agent does not clean up within `limit` and there is no `force`.
pub async fn unregister(
    client: &Client,
    name: &str,
    limit: Duration,
    force: bool,
) -> Result<registration::Left> {
    registration::unregister(client, name, limit, force).await.map_err(error)
}

fn is_secret(object: &serde_json::Value) -> bool {
    object.get("kind").is_some_and(|kind| kind == "Secret")
}

fn list(objects: &[serde_json::Value]) -> String {
    serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

fn values<T: serde::Serialize>(objects: &[T]) -> Result<Vec<serde_json::Value>> {
    let values = objects.iter().map(serde_json::to_value).collect::<Result<_, _>>();
    values.map_err(|e| Error::new(Kind::Bug, format!("an object cannot be written: {e}")))
}

/// A request to the hub that precedes a command in the cluster.
struct HubCall {
    hub: Hub,
    request: Request,
}

#[derive(Debug)]
enum Request {
    Register { cluster_id: String, new_credential: bool },
    Ready,
}

impl fmt::Debug for HubCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}", self.request, self.hub.endpoint.server)
    }
}

impl resource::Hub for Hub {
    fn register(&self, cluster_id: &str, new_credential: bool) -> Arc<dyn Prerequisite> {
        let request = Request::Register { cluster_id: cluster_id.to_owned(), new_credential };
        Arc::new(HubCall { hub: self.clone(), request })
    }

    fn ready(&self) -> Arc<dyn Prerequisite> {
        Arc::new(HubCall { hub: self.clone(), request: Request::Ready })
    }
}

impl Prerequisite for HubCall {
    fn run(&self) -> Running<'_> {
        Box::pin(async move {
            let hub = &self.hub;
            match &self.request {
                Request::Register { cluster_id, new_credential } => {
                    hub.register(cluster_id, *new_credential).await
                }
                Request::Ready => {
                    let ready = registration::ready(&hub.client, &hub.name, JOINING).await;
                    ready.map(|_| Secret::new(Vec::new())).map_err(error)
                }
            }
        })
    }
}

impl Hub {
    /// Registers the cluster. With `new_credential`, its agent's Secret comes back, as JSON, with a credential
    /// that is good for one certificate, within an hour.
    async fn register(&self, cluster_id: &str, new_credential: bool) -> Result<Secret<Vec<u8>>> {
        let spec = ClusterRegistrationSpec {
            cluster_id: Some(cluster_id.to_owned()),
            ..self.spec.clone()
        };
        let labels: Vec<(&str, &str)> =
            self.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let prepared =
            registration::prepare(&self.client, &self.name, &spec, &labels, self.replace).await;
        prepared.map_err(error)?;
        if !new_credential {
            return Ok(Secret::new(Vec::new()));
        }
        let bootstrap = registration::bootstrap(&self.client, &self.name).await.map_err(error)?;
        let objects = agent(&self.name, &self.endpoint, &self.spec, Some(&bootstrap.token), "")?;
        let secret = objects.into_iter().find(is_secret);
        let bytes = secret.map(|secret| secret.to_string().into_bytes()).unwrap_or_default();
        Ok(Secret::new(bytes))
    }
}
