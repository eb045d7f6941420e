//! An agent that is killed, and one that comes back.

use std::time::{Duration, Instant};

use slipway_agent::api::ConditionStatus;

use crate::support::world::{Agent, PATIENCE, becomes, log, spec, world};

#[tokio::test]
async fn three_missed_syncs_make_a_cluster_unknown_and_the_first_one_ready() {
    log();
    let world = world();
    let hub = world.hub.admin();
    let spec = spec(&world.member.admin()).await;
    let mut agent = Agent::joined("lives", &spec).await;
    let interval = Duration::from_secs(5);
    agent.kill();
    let killed = Instant::now();
    becomes(&hub, "lives", "Ready", ConditionStatus::Unknown, PATIENCE).await;
    let silent = killed.elapsed();
    // Its last sync was up to one interval before its end.
    assert!(silent > interval * 2 - Duration::from_secs(1), "after {silent:?} already");
    assert!(silent < interval * 3 + Duration::from_secs(10), "after {silent:?} only");
    agent.start();
    let back = Instant::now();
    becomes(&hub, "lives", "Ready", ConditionStatus::True, interval * 2).await;
    println!("unknown after {silent:?}, ready again after {:?}", back.elapsed());
}
