//! One neighbour: what it is to know of a cluster is written there, or taken back.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, Resource as _, ResourceExt as _};
use serde_json::json;

use super::MANAGER;
use crate::api::{AdapterKind, ClusterRegistration};
use crate::credential::client;
use crate::error::{Error, printable, words};
use crate::install::HUB_NAMESPACE;
use crate::neighbour::{Companions, Held, Neighbour, is_ours, neighbour};

/// How long one neighbour may take for all that it is asked at once.
const LIMIT: Duration = Duration::from_secs(20);

/// The reason where an API server does not serve a neighbour's kind.
const NOT_INSTALLED: &str = "NotInstalled";

/// Why a neighbour was not told, as a condition says it.
#[derive(Debug)]
pub(super) struct Failure {
    /// In one CamelCase word.
    pub(super) reason: &'static str,
    /// For a person; without secrets.
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The API server where a neighbour learns of clusters.
pub(super) struct Target {
    neighbour: &'static dyn Neighbour,
    client: Client,
    held: Option<Held>,
}

impl Target {
    /// Finds out how a neighbour is reached, without reaching it. `secret` is empty where no Secret is named.
    pub(super) async fn find(
        hub: &Client,
        kind: AdapterKind,
        secret: &str,
    ) -> Result<Self, Failure> {
        let neighbour = neighbour(kind);
        if neighbour.home().is_some() {
            return Ok(Self { neighbour, client: hub.clone(), held: None });
        }
        let unusable = |why: String| Failure::new("SecretUnusable", why);
        if secret.is_empty() {
            return Err(unusable(format!("{} needs a secretRef", kind.name())));
        }
        let title = format!("Secret {HUB_NAMESPACE}/{secret}");
        let found = Api::<Secret>::namespaced(hub.clone(), HUB_NAMESPACE).get_opt(secret).await;
        let found =
            found.map_err(|error| unusable(format!("{title}: {}", printable(&words(&error)))))?;
        let found = found.ok_or_else(|| unusable(format!("there is no {title}")))?;
        let held = Held::read(&found.data.unwrap_or_default());
        let held = held.map_err(|error| unusable(format!("{title}: {error}")))?;
        let client = client(&held.endpoint, &held.proof);
        let client = client
            .map_err(|error| unusable(format!("{title}: {}", held.hide(&error.to_string()))))?;
        Ok(Self { neighbour, client, held: Some(held) })
    }

    /// Makes the neighbour know the cluster. Returns what it was told.
    pub(super) async fn write(
        &self,
        registration: &ClusterRegistration,
    ) -> Result<String, Failure> {
        limited(self.write_all(registration)).await
    }

    /// Makes the neighbour forget the cluster. What somebody else wrote stays. It is enough that the
    /// neighbour knows: its own controllers may take their time.
    pub(super) async fn take_back(
        &self,
        registration: &ClusterRegistration,
    ) -> Result<(), Failure> {
        limited(self.delete(registration)).await
    }

    async fn write_all(&self, registration: &ClusterRegistration) -> Result<String, Failure> {
        let (api, name) = (self.api(), registration.name_any());
        let mut wanted = self.neighbour.object(registration);
        let title = format!("{} {name}", self.neighbour.resource().kind);
        let companions = match &self.held {
            Some(held) => self.neighbour.companions(registration, held),
            None => Ok(None),
        };
        let companions =
            companions.map_err(|error| Failure::new("Incomplete", error.to_string()))?;
        match self.told(&title, api.get_opt(&name).await)? {
            Some(found) if !is_ours(&found, registration) => {
                let why = format!(
                    "there is a {title} already that stands for another cluster or was not written here"
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
        let applied = self.told(&title, applied)?;
        if let Some(status) = self.neighbour.status(registration) {
            wanted.metadata.labels = None;
            wanted.metadata.owner_references = None;
            wanted.data = json!({ "status": status });
            let written = api.patch_status(&name, &strictly(), &Patch::Apply(&wanted)).await;
            self.told(&format!("the status of {title}"), written)?;
        }
        if let Some(companions) = companions {
            self.accompany(&applied, companions).await?;
        }
        Ok(format!("written as {title}"))
    }

    /// Writes what belongs to an object, so that the neighbour's garbage collector removes it with that.
    async fn accompany(
        &self,
        object: &DynamicObject,
        companions: Companions,
    ) -> Result<(), Failure> {
        let own = companions.namespace.name_any();
        let namespaces = Api::<Namespace>::all(self.client.clone());
        let found = self.told(&own, namespaces.get_opt(&own).await)?;
        if found.is_none() {
            match namespaces.create(&PostParams::default(), &companions.namespace).await {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                made => self.told(&format!("namespace {own}"), made).map(|_| ())?,
            }
        }
        let owner = object.owner_ref(&self.neighbour.resource());
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &own);
        for mut secret in companions.secrets {
            secret.metadata.owner_references = owner.clone().map(|owner| vec![owner]);
            let name = secret.name_any();
            let written = secrets.patch(&name, &strictly(), &Patch::Apply(&secret)).await;
            self.told(&format!("Secret {own}/{name}"), written)?;
        }
        Ok(())
    }

    async fn delete(&self, registration: &ClusterRegistration) -> Result<(), Failure> {
        let (api, name) = (self.api(), registration.name_any());
        let title = format!("{} {name}", self.neighbour.resource().kind);
        let found = match self.told(&title, api.get_opt(&name).await) {
            // Objects go with their kind.
            Err(failure) if failure.reason == NOT_INSTALLED => None,
            other => other?,
        };
        let Some(found) = found.filter(|found| is_ours(found, registration)) else { return Ok(()) };
        let this = Preconditions { uid: found.uid(), ..Preconditions::default() };
        match api.delete(&name, &DeleteParams::background().preconditions(this)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            deleted => self.told(&title, deleted).map(|_| ()),
        }
    }

    fn api(&self) -> Api<DynamicObject> {
        let (client, resource) = (self.client.clone(), self.neighbour.resource());
        match self.neighbour.home() {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        }
    }

    /// What the neighbour's API server answered; if no, as it may be told to others.
    fn told<T>(&self, what: &str, answer: Result<T, kube::Error>) -> Result<T, Failure> {
        answer.map_err(|error| {
            let reason = match &error {
                // Objects that are not there are no failures: it is the kind that is not.
                kube::Error::Api(status) if status.code == 404 => {
                    let kind = self.neighbour.resource();
                    let why = format!("no {} of {} there: ", kind.kind, kind.api_version);
                    return Failure::new(NOT_INSTALLED, why + self.neighbour.missing());
                }
                kube::Error::Api(status) if matches!(status.code, 401 | 403) => "Forbidden",
                kube::Error::Api(_) => "Refused",
                _ => "Unreachable",
            };
            let text = words(&error);
            let text = self.held.as_ref().map_or_else(|| text.clone(), |held| held.hide(&text));
            Failure::new(reason, format!("{what}: {}", printable(&text)))
        })
    }
}

/// Server-side apply by which a neighbour refuses what it does not know, rather than to forget it.
fn strictly() -> PatchParams {
    PatchParams::apply(MANAGER).force().validation_strict()
}

async fn limited<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(done) => done,
        Err(_) => {
            let late = Error::Timeout("an answer".to_owned(), LIMIT);
            Err(Failure::new("Unreachable", late.to_string()))
        }
    }
}
