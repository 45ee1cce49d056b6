"""Networks: architectures in Keras 3, their registry, and the bundles they travel in."""
