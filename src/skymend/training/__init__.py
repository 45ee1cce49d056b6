"""Training: normalisers, samples, augmentation, losses, the loop, validation."""
