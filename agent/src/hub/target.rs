//! Where an adapter writes: one system's API server, to which a cluster's objects are written, and from which
//! they are removed.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, Resource as _, ResourceExt as _};
use serde_json::json;

use super::MANAGER;
use crate::adapter::{Adapter, AdapterSecret, Companions, adapter, is_ours};
use crate::api::{AdapterKind, ClusterRegistration};
use crate::apply::ignore_missing;
use crate::credential::client;
use crate::error::{Error, message_of, printable, within};
use crate::install::HUB_NAMESPACE;

/// How long all calls of one write or removal may take together.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The reason where an API server does not serve the adapter's kind.
const NOT_INSTALLED: &str = "NotInstalled";

/// Why something could not be written or removed, for a condition.
#[derive(Debug)]
pub(super) struct Failure {
    /// One CamelCase word.
    pub(super) reason: &'static str,
    /// For a person; without secrets.
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The API server that an adapter writes to.
pub(super) struct Target {
    adapter: &'static dyn Adapter,
    client: Client,
    /// How it is reached, unless it is the hub.
    secret: Option<AdapterSecret>,
}

impl Target {
    /// Finds out how to reach the API server, and makes no call to it. `secret` is empty where the registration
    /// names no Secret.
    pub(super) async fn find(
        hub: &Client,
        kind: AdapterKind,
        secret: &str,
    ) -> Result<Self, Failure> {
        let adapter = adapter(kind);
        if adapter.hub_namespace().is_some() {
            return Ok(Self { adapter, client: hub.clone(), secret: None });
        }
        let unusable = |why: String| Failure::new("SecretUnusable", why);
        if secret.is_empty() {
            return Err(unusable(format!("{} needs a secretRef", kind.name())));
        }
        let title = format!("Secret {HUB_NAMESPACE}/{secret}");
        let found = Api::<Secret>::namespaced(hub.clone(), HUB_NAMESPACE).get_opt(secret).await;
        let found = found
            .map_err(|error| unusable(format!("{title}: {}", printable(&message_of(&error)))))?;
        let found = found.ok_or_else(|| unusable(format!("there is no {title}")))?;
        let secret = AdapterSecret::read(&found.data.unwrap_or_default());
        let secret = secret.map_err(|error| unusable(format!("{title}: {error}")))?;
        let client = client(&secret.endpoint, &secret.proof);
        let client = client
            .map_err(|error| unusable(format!("{title}: {}", secret.redact(&error.to_string()))))?;
        Ok(Self { adapter, client, secret: Some(secret) })
    }

    /// Writes the cluster's objects. Returns what was written, for the condition.
    pub(super) async fn write(
        &self,
        registration: &ClusterRegistration,
    ) -> Result<String, Failure> {
        limited(self.write_all(registration)).await
    }

    /// Deletes the cluster's objects, unless somebody else wrote them, and does not wait until they are gone:
    /// the system's own controllers may take their time.
    pub(super) async fn remove(&self, registration: &ClusterRegistration) -> Result<(), Failure> {
        limited(self.delete(registration)).await
    }

    async fn write_all(&self, registration: &ClusterRegistration) -> Result<String, Failure> {
        let (api, name) = (self.api(), registration.name_any());
        let mut wanted = self.adapter.object(registration);
        let title = format!("{} {name}", self.adapter.resource().kind);
        let companions = match &self.secret {
            Some(secret) => self.adapter.companions(registration, secret),
            None => Ok(None),
        };
        let companions =
            companions.map_err(|error| Failure::new("Incomplete", error.to_string()))?;
        match self.checked(&title, api.get_opt(&name).await)? {
            Some(found) if !is_ours(&found, registration) => {
                let why = format!(
                    "there is a {title} already, which is another cluster's or was not written by this hub"
                );
                return Err(Failure::new("NotOurs", why));
            }
            Some(found) if found.metadata.deletion_timestamp.is_some() => {
                return Err(Failure::new(
                    "BeingDeleted",
                    format!("{title} is being deleted there"),
                ));
            }
            _ => {}
        }
        let applied = api.patch(&name, &strictly(), &Patch::Apply(&wanted)).await;
        let applied = self.checked(&title, applied)?;
        if let Some(status) = self.adapter.status(registration) {
            wanted.metadata.labels = None;
            wanted.metadata.owner_references = None;
            wanted.data = json!({ "status": status });
            let written = api.patch_status(&name, &strictly(), &Patch::Apply(&wanted)).await;
            self.checked(&format!("the status of {title}"), written)?;
        }
        if let Some(companions) = companions {
            self.write_companions(&applied, companions).await?;
        }
        Ok(format!("written as {title}"))
    }

    /// Writes what belongs to an object. The object owns it, so that the server's garbage collector deletes it
    /// with the object.
    async fn write_companions(
        &self,
        object: &DynamicObject,
        companions: Companions,
    ) -> Result<(), Failure> {
        let own = companions.namespace.name_any();
        let namespaces = Api::<Namespace>::all(self.client.clone());
        let found = self.checked(&own, namespaces.get_opt(&own).await)?;
        if found.is_none() {
            match namespaces.create(&PostParams::default(), &companions.namespace).await {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                made => drop(self.checked(&format!("namespace {own}"), made)?),
            }
        }
        let owner = object.owner_ref(&self.adapter.resource());
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &own);
        for mut secret in companions.secrets {
            secret.metadata.owner_references = owner.clone().map(|owner| vec![owner]);
            let name = secret.name_any();
            let written = secrets.patch(&name, &strictly(), &Patch::Apply(&secret)).await;
            self.checked(&format!("Secret {own}/{name}"), written)?;
        }
        Ok(())
    }

    async fn delete(&self, registration: &ClusterRegistration) -> Result<(), Failure> {
        let (api, name) = (self.api(), registration.name_any());
        let title = format!("{} {name}", self.adapter.resource().kind);
        let found = match self.checked(&title, api.get_opt(&name).await) {
            // Without the kind there are no objects.
            Err(failure) if failure.reason == NOT_INSTALLED => None,
            other => other?,
        };
        let Some(found) = found.filter(|found| is_ours(found, registration)) else { return Ok(()) };
        let this = Preconditions { uid: found.uid(), ..Preconditions::default() };
        let params = DeleteParams::background().preconditions(this);
        self.checked(&title, ignore_missing(api.delete(&name, &params).await))
    }

    fn api(&self) -> Api<DynamicObject> {
        let (client, resource) = (self.client.clone(), self.adapter.resource());
        match self.adapter.hub_namespace() {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        }
    }

    /// What the API server answered, with a failure as a condition may say it: without secrets.
    fn checked<T>(&self, what: &str, answer: Result<T, kube::Error>) -> Result<T, Failure> {
        answer.map_err(|error| {
            let reason = match &error {
                // Objects that may be missing are asked for otherwise, so it is the kind that is.
                kube::Error::Api(status) if status.code == 404 => {
                    let kind = self.adapter.resource();
                    let why = format!("no {} of {} there: ", kind.kind, kind.api_version);
                    return Failure::new(NOT_INSTALLED, why + self.adapter.install_hint());
                }
                kube::Error::Api(status) if matches!(status.code, 401 | 403) => "Forbidden",
                kube::Error::Api(_) => "Refused",
                _ => "Unreachable",
            };
            let message = message_of(&error);
            let message = match &self.secret {
                Some(secret) => secret.redact(&message),
                None => message,
            };
            Failure::new(reason, format!("{what}: {}", printable(&message)))
        })
    }
}

/// Server-side apply with strict validation: unknown fields are refused, not dropped.
fn strictly() -> PatchParams {
    PatchParams::apply(MANAGER).force().validation_strict()
}

async fn limited<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let ended = within(TIMEOUT, "calling its API server", async { Ok::<_, Error>(work.await) });
    ended.await.unwrap_or_else(|late| Err(Failure::new("Unreachable", late.to_string())))
}
