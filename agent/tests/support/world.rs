//! A hub with its controller, a member's API server, and agents with the rights that they are
//! installed with; shared by all tests of one file, each with clusters of its own.

use std::sync::OnceLock;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use slipway_agent::api::{
    Capability, ClusterRegistration, ClusterRegistrationSpec, ConditionStatus, find,
};
use slipway_agent::credential::Proof;
use slipway_agent::install::{self, HUB_NAMESPACE, Member};
use slipway_agent::{hub, member, registration};
use tokio::task::JoinHandle;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use zeroize::Zeroizing;

use super::eventually;
use super::plane::Plane;

/// What a hub needs of kube-controller-manager.
pub const CONTROLLERS: &str = "serviceaccount-controller,serviceaccount-token-controller,\
    namespace-controller,garbage-collector-controller,root-ca-certificate-publisher-controller,\
    clusterrole-aggregation-controller,certificatesigningrequest-signing-controller,\
    certificatesigningrequest-approving-controller,certificatesigningrequest-cleaner-controller";

/// How long anything that has no limit of its own may take, on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(2);

pub struct World {
    pub hub: Plane,
    pub member: Plane,
}

/// The hub and the member that the tests of one file share.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        // A thread of its own: tests have runtimes that end before others do.
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let (hub, member) = tokio::join!(
                    Plane::start("hub", Some(CONTROLLERS)),
                    Plane::start("member", Some(CONTROLLERS)),
                );
                install::hub(&hub.admin(), "slipway-agent:test").await.unwrap();
                let _controller = controller(&hub, Duration::from_mins(1)).await;
                sender.send(World { hub, member }).unwrap();
                std::future::pending::<()>().await;
            });
        });
        receiver.recv().expect("the hub and the member start")
    })
}

/// The hub's controller, with the rights that it is installed with.
pub async fn controller(hub: &Plane, issue_limit: Duration) -> JoinHandle<()> {
    let client = hub.with_token(&token(&hub.admin(), HUB_NAMESPACE, "mcp-hub").await);
    let options = hub::Options {
        identity: format!("test-{}", rand::random::<u32>()),
        namespace: HUB_NAMESPACE.to_owned(),
        listen: None,
        issue_limit,
    };
    tokio::spawn(async move {
        loop {
            // As its Deployment does.
            let ended = hub::run(client.clone(), options.clone()).await;
            tracing::warn!(?ended, "the controller ended");
        }
    })
}

/// A token of any account, once there is one.
pub async fn token(admin: &Client, namespace: &str, account: &str) -> String {
    let api = Api::<ServiceAccount>::namespaced(admin.clone(), namespace);
    let asked = TokenRequest {
        spec: TokenRequestSpec { expiration_seconds: Some(7200), ..TokenRequestSpec::default() },
        ..TokenRequest::default()
    };
    let made = eventually(&format!("a token of {account}"), PATIENCE, || async {
        api.create_token_request(account, &PostParams::default(), &asked).await.ok()
    })
    .await;
    made.status.unwrap().token
}

/// What a cluster registers with, in these tests.
pub async fn spec(member: &Client) -> ClusterRegistrationSpec {
    let namespaces = Api::<Namespace>::all(member.clone());
    let id = eventually("kube-system", PATIENCE, || async {
        namespaces.get_opt("kube-system").await.ok()??.metadata.uid
    })
    .await;
    ClusterRegistrationSpec {
        api_endpoint: "https://api.example.com:6443".to_owned(),
        sync_interval: Some("5s".to_owned()),
        cluster_id: Some(id),
        accepted: true,
        capabilities: vec![Capability::Report, Capability::ApplyManifests],
        ..ClusterRegistrationSpec::default()
    }
}

/// An agent in the member, with rights of its own namespace `mcp-agent-NAME`.
pub struct Agent {
    client: Client,
    options: member::Options,
    task: Option<JoinHandle<()>>,
}

impl Agent {
    /// Installs an agent for `cluster`, without starting it.
    pub async fn install(
        hub: &Plane,
        member: &Plane,
        cluster: &str,
        spec: &ClusterRegistrationSpec,
    ) -> Self {
        let admin = member.admin();
        let bootstrap = registration::bootstrap(&hub.admin(), cluster).await.unwrap();
        let objects = install::member_objects(&Member {
            cluster,
            hub: &hub.endpoint,
            token: Some(&bootstrap.token),
            credential: &spec.credential,
            capabilities: &spec.capabilities,
            image: "slipway-agent:test",
        });
        // Several agents share this API server: each has names of its own.
        let own = format!("mcp-agent-{cluster}");
        let objects: Vec<DynamicObject> = objects
            .unwrap()
            .iter()
            .map(|object| {
                let text = serde_json::to_string(object).unwrap();
                serde_json::from_str(&text.replace("mcp-agent", &own)).unwrap()
            })
            .collect();
        install::within_namespace(&admin, &objects).await.unwrap();
        let client = member.with_token(&token(&admin, &own, &own).await);
        let mut config = kube::Config::new(member.endpoint.server.parse().unwrap());
        let ca = x509_parser::pem::parse_x509_pem(&member.endpoint.ca).unwrap().1.contents;
        config.root_cert = Some(vec![ca]);
        let options = member::Options {
            namespace: own,
            api_server: member::ApiServer::of(&config),
            ..member::Options::new(cluster, "test-agent")
        };
        Self { client, options, task: None }
    }

    /// Registers `cluster` and installs its agent.
    pub async fn register(
        hub: &Plane,
        member: &Plane,
        cluster: &str,
        spec: &ClusterRegistrationSpec,
    ) -> Self {
        registration::prepare(&hub.admin(), cluster, spec, &[], false).await.unwrap();
        Self::install(hub, member, cluster, spec).await
    }

    /// A cluster of the shared member that has joined the shared hub.
    pub async fn joined(cluster: &str, spec: &ClusterRegistrationSpec) -> Self {
        let World { hub, member } = world();
        let mut agent = Self::register(hub, member, cluster, spec).await;
        agent.start();
        registration::ready(&hub.admin(), cluster, PATIENCE).await.unwrap();
        agent
    }

    /// A client of the shared hub with this agent's own certificate.
    pub async fn at_the_hub(&self) -> Client {
        let secrets = Api::<Secret>::namespaced(world().member.admin(), self.namespace());
        let data = secrets.get("mcp-hub").await.unwrap().data.unwrap();
        let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
        let (certificate, key) = (text("tls.crt"), Zeroizing::new(text("tls.key")));
        world().hub.client(&Proof::Certificate { certificate, key })
    }

    pub fn options(&mut self) -> &mut member::Options {
        &mut self.options
    }

    pub fn start(&mut self) {
        let (client, options) = (self.client.clone(), self.options.clone());
        self.task = Some(tokio::spawn(async move { member::run(client, options).await.unwrap() }));
    }

    /// Ends the agent as `kill -9` would.
    pub fn kill(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    /// Waits until the agent ends by itself.
    pub async fn ended(&mut self) {
        let task = self.task.take().expect("a running agent");
        tokio::time::timeout(PATIENCE, task).await.expect("the agent ends").expect("without panic");
    }

    pub fn namespace(&self) -> &str {
        &self.options.namespace
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Shows what happens, where `RUST_LOG` asks for it.
pub fn log() {
    let filter = std::env::var("RUST_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let log = tracing_subscriber::fmt::layer().with_test_writer();
    let _ = tracing_subscriber::registry().with(log).with(filter.unwrap_or_default()).try_init();
}

/// The status of a condition of a registration.
pub async fn condition(hub: &Client, cluster: &str, kind: &str) -> Option<ConditionStatus> {
    let found = Api::<ClusterRegistration>::all(hub.clone()).get_opt(cluster).await.ok()??;
    find(&found.status?.conditions, kind).map(|condition| condition.status)
}

/// Waits until a condition has this status.
pub async fn becomes(
    hub: &Client,
    cluster: &str,
    kind: &str,
    status: ConditionStatus,
    limit: Duration,
) {
    eventually(&format!("{kind} of {cluster} is {status:?}"), limit, || async {
        (condition(hub, cluster, kind).await == Some(status)).then_some(())
    })
    .await;
}
