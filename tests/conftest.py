"""Settings that hold for every test."""

import torch
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=False)
settings.load_profile("repeatable")

torch.set_num_threads(1)
