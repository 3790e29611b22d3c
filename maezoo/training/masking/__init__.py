"""The masks of a pretraining step, and what scores patches for two of the strategies."""
