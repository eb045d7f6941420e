//! What Kubernetes itself knows: how it writes durations and quantities, which names, labels and taints
//! are its own, and what a kubelet may be told. The one place where such values are read and judged.

pub mod arguments;
pub mod duration;
pub mod kubelet;
pub mod names;
pub mod quantity;
