//! A hub and a member of real components: definitions, joining, heartbeats, leaving, security, manifests,
//! placement, adapters; a hub that is away, and one that signs nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::print_stdout)]

mod support;

mod hub {
    mod adapters;
    mod crds;
    mod fleet;
    mod joining;
    mod leaving;
    mod lives;
    mod manifests;
    mod outage;
    mod placing;
    mod security;
}
