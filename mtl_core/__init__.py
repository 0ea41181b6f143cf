"""Compare learned and fixed task weights for multi-task training."""

__version__ = "0.1.0"
