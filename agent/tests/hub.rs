//! A hub and a member of real components: definitions, joining, life and death, security, manifests,
//! placement; a hub that is away, and one that signs nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::print_stdout)]

mod support;

mod hub {
    mod crds;
    mod fleet;
    mod joining;
    mod leaving;
    mod lives;
    mod manifests;
    mod neighbours;
    mod outage;
    mod placing;
    mod security;
}
