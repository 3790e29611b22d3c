"""A step that several processes share: how it is divided, its gradients, and checkpoints of shares."""
