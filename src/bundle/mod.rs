//! What a cluster is made of: binaries, images, packages and manifests, pinned by digest.
