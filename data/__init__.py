"""Data on their way into a model: arrays, batches, tables from files, and the metrics of what comes out."""

from tapegrad.data.batches import Batches
from tapegrad.data.splitting import train_test_indices

__all__ = ["Batches", "train_test_indices"]


def __dir__() -> list[str]:
    return sorted(__all__)
