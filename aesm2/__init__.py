"""AESM²: automatic expert selection for multi-scenario and multi-task ranking."""

from aesm2.checkpoint import Checkpoint, load
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.routing.trace import RoutingTrace
from aesm2.training.train import train

__all__ = ["Checkpoint", "Dataset", "InputError", "RoutingTrace", "load", "train"]
