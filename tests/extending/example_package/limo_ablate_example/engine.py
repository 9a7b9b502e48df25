"""eval.engine=guess: every problem gets the same answer, as a baseline that any model must beat."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.engine import Completed, EngineKind, Request

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

GUESSED = "\\boxed{4}"


class Guess:
    def __init__(self, tokenizer: "PreTrainedTokenizerFast") -> None:
        self.ids: list[int] = tokenizer.encode(GUESSED, add_special_tokens=False)

    def generate(self, requests: Sequence[Request]) -> Iterator[Completed]:
        """Each completion is on disk as soon as it is yielded; they may come in any order."""
        for request in requests:
            ids = self.ids[: request.sampling.max_tokens]
            yield Completed(request, ids, "stop" if ids == self.ids else "length")


def load(path: str, settings: EngineConfig, hardware: HardwareConfig) -> Guess:
    from limo_ablate.model.train.load import load_tokenizer  # heavy: imported when it is needed

    return Guess(load_tokenizer(path))


GUESS = EngineKind(load=load)
