"""A genuine small copy of LIMO's question: problems, worked solutions, and base models pre-trained here.

Nothing heavy is imported before a base model is built or a tokenizer loaded. See docs/miniature.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from limo_ablate.config import ModelConfig
from limo_ablate.pool.miniature.recurrence import problems
from limo_ablate.pool.miniature.solutions import solutions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["build_base", "load_tokenizer", "problems", "solutions"]


def build_base(model: ModelConfig, folder: Path) -> None:
    """Makes and pre-trains the base model of `model.architecture` and `model.pretrain` in `folder`."""
    from limo_ablate.pool.miniature import pretrain

    pretrain.build_base(model, folder)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a base model, or of a model fine-tuned from one."""
    from limo_ablate.pool.miniature import tokenizer

    return tokenizer.load_tokenizer(folder)
