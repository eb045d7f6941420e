//! The file that a person writes: read strictly, checked whole, turned into a [`crate::cluster::Cluster`].
