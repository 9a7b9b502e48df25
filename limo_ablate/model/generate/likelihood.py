"""Log-likelihoods of given texts under a model: no completions, one forward pass over all tokens.

The model, its packed rows and its attention are those of training; logits are computed in chunks.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import TrialFailure
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.progress import report_progress
from limo_ablate.core.text import counted
from limo_ablate.model.config import TemplateConfig
from limo_ablate.model.train.chat import AS_IT_IS, ChatEncoder
from limo_ablate.model.train.failure import is_out_of_memory
from limo_ablate.model.train.load import load_model, load_tokenizer
from limo_ablate.model.train.model_config import context_length, model_config
from limo_ablate.model.train.oom import release_memory
from limo_ablate.model.train.packing import pack
from limo_ablate.model.train.response import Responses
from limo_ablate.model.train.token_rows import TokenRows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from limo_ablate.model.train.loss import WithLoss

TABLE = "likelihood.parquet"
DONE = "done.jsonl"
"""In an unfinished artifact: a line for each problem that is done."""
TOKENS = 16_384
"""Tokens of a forward pass; half as many each time memory runs out."""
Pair: TypeAlias = tuple[Sequence[int], Sequence[int]]
"""Ids of a context, and of the text after it that is scored."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scored:
    log_likelihood: float
    """Sum of the log-probabilities of a text's tokens, in nats."""
    greedy: bool
    """Whether each of its tokens is the most likely one."""


@dataclass
class Scorer:
    """Scores texts with a model, which is loaded when it is first needed."""

    folder: str
    hardware: HardwareConfig
    _tokens: int = field(default=TOKENS, init=False)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        return load_tokenizer(self.folder)

    @cached_property
    def context(self) -> int:
        return context_length(model_config(self.folder))

    @cached_property
    def _model(self) -> WithLoss:
        import torch

        from limo_ablate.model.train.attention import attend_row_wise
        from limo_ablate.model.train.loss import WithLoss

        torch.set_num_threads(self.hardware.threads)
        model = load_model(
            self.folder,
            dtype="bfloat16" if self.hardware.precision == "bf16" else "float32",
            attention="sdpa",
            device=self.hardware.device,
        )
        attend_row_wise(model)
        return WithLoss(model)

    def score(self, pairs: Sequence[Pair]) -> Iterator[tuple[int, Scored]]:
        """Yields (number of the pair, its score), the longest first. Each has a context of at least a token.

        Raises TrialFailure where memory does not suffice for a single one.
        """
        lengths = [len(context) + len(text) for context, text in pairs]
        left = set(range(len(pairs)))
        while left:
            numbers = sorted(left)
            bins = pack([lengths[number] for number in numbers], self._tokens, 1)
            try:
                for places in bins:
                    part = [numbers[place] for place in places]
                    yield from zip(part, self._pass([pairs[number] for number in part]), strict=True)
                    left -= {*part}
                    report_progress("likelihood", len(pairs) - len(left), len(pairs))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                alone, reason = len(part) == 1, str(error).splitlines()[0]
            if left:
                self._reduce(reason, alone=alone)

    def _reduce(self, reason: str, *, alone: bool) -> None:
        if alone:
            raise TrialFailure(
                f"out of memory: not even one text can be scored: {reason}. Use a device with more memory, "
                "or eval.likelihood=[]"
            )
        release_memory()
        self._tokens //= 2
        logger.warning("out of memory (%s); continuing with %d tokens a pass", reason, self._tokens)

    def _pass(self, pairs: Sequence[Pair]) -> list[Scored]:
        import torch

        from limo_ablate.model.train.batch import collate

        prompts = np.array([len(context) for context, _ in pairs])
        offsets = np.cumsum([0, *(len(context) + len(text) for context, text in pairs)])
        ids = np.concatenate([np.array([*context, *text], np.int32) for context, text in pairs])
        rows = TokenRows(ids, offsets, prompts, np.arange(len(pairs)))
        with torch.inference_mode():
            part = collate(rows, np.arange(len(pairs)), torch.device(self.hardware.device))
            values, hits = self._model.each(part)
        ends = np.cumsum(rows.responses)[:-1]
        sums = [float(own.sum()) for own in np.split(values.double().cpu().numpy(), ends)]
        if not np.isfinite(sums).all():
            raise TrialFailure(
                "eval.likelihood: the model gives a gold solution no finite log-likelihood; its weights or "
                "activations are not finite"
            )
        greedy = [bool(own.all()) for own in np.split(hits.cpu().numpy(), ends)]
        return [Scored(*one) for one in zip(sums, greedy, strict=True)]


def likelihood(
    store: Store,
    solutions: Artifact,
    model: Artifact,
    scorer: Scorer,
    system_prompt: str | None,
    template: TemplateConfig = AS_IT_IS,
) -> Artifact:
    """`likelihood.parquet`: problem, log_likelihood? (nats, of the whole gold solution), solution_tokens.

    The solution follows the prompt that completions are generated from, and ends the turn, as in training. It
    is null where the two are longer than the model's context.
    """
    hardware = scorer.hardware
    inputs = {
        "solutions": solutions,
        "model": model,
        "system_prompt": system_prompt,
        "hardware": {"device": hardware.device, "precision": hardware.precision},
        "threads": hardware.threads_in_key,
        **template.as_input(),
    }

    def make(folder: Path) -> None:
        rows = pl.read_parquet(solutions.path / "solutions.parquet")
        responses = Responses(ChatEncoder(scorer.tokenizer, template), system_prompt)
        pairs = list(responses.encode(rows["text"].to_list(), rows["solution"].to_list()))
        responses.tell()
        found = _resumed(folder / DONE, pairs, scorer)
        rows.select(
            "problem",
            log_likelihood=pl.Series([found.get(number) for number in range(len(pairs))], dtype=pl.Float64),
            solution_tokens=pl.Series([len(text) for _, text in pairs], dtype=pl.Int64),
        ).write_parquet(folder / TABLE)
        (folder / DONE).unlink()

    return store.build("likelihood", inputs, make, resume=True)


def _resumed(file: Path, pairs: Sequence[Pair], scorer: Scorer) -> dict[int, float]:
    """Number of each pair that fits into the context -> its log-likelihood. `file` keeps those of an
    interrupted attempt."""
    with file.open("a+b") as opened:
        opened.seek(0)
        lines = opened.read().split(b"\n")
        found = dict(json.loads(line) for line in lines[:-1])
        opened.truncate(opened.tell() - len(lines[-1]))  # a line that a kill has cut short
        fits = [n for n, (prompt, text) in enumerate(pairs) if len(prompt) + len(text) <= scorer.context]
        if len(fits) < len(pairs):
            logger.warning(
                "likelihood: %s longer than the model's context with the prompt, and not measured",
                counted(len(pairs) - len(fits), "gold solution"),
            )
        left = [number for number in fits if number not in found]
        for place, scored in scorer.score([pairs[number] for number in left]):
            found[left[place]] = scored.log_likelihood
            opened.write(json.dumps([left[place], scored.log_likelihood]).encode() + b"\n")
            opened.flush()
    return found
