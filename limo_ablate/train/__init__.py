"""Base models, token ids and supervised fine-tuning. Nothing heavy is imported before it is needed."""

from __future__ import annotations

from limo_ablate.train.base import base_model, model_path, parameter_count
from limo_ablate.train.launch import train
from limo_ablate.train.tokens import tokenize

__all__ = ["base_model", "model_path", "parameter_count", "tokenize", "train"]
