"""Data on their way into a model: arrays, batches, loaders, tables from files, and the metrics of what comes out."""

from tapegrad.data.batches import Batches
from tapegrad.data.installed import Dataset, load
from tapegrad.data.loader import DataLoader
from tapegrad.data.samplers import BalancedSampler, SubsetSampler, WeightedSampler
from tapegrad.data.splitting import train_test_indices
from tapegrad.data.tables_in_pieces import CsvRows, ParquetRows

__all__ = [
    "BalancedSampler", "Batches", "CsvRows", "DataLoader", "Dataset", "ParquetRows", "SubsetSampler", "WeightedSampler",
    "load", "train_test_indices",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)
