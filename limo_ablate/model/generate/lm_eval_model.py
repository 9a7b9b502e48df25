"""Our engines and likelihoods behind lm-evaluation-harness's interface of a model.

Prompts are tokenised as its HFLM does, so that scores are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from limo_ablate.core.errors import UserError
from limo_ablate.model.config import TemplateConfig
from limo_ablate.model.train.chat import AS_IT_IS, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from limo_ablate.model.generate.likelihood import Pair, Scorer

log = logging.getLogger(__name__)

Complete = Callable[[Sequence[Any]], list[str]]
"""The completion of each request (an `Instance`), cut at its stop strings."""


def lm_eval_model(scorer: Scorer, complete: Complete, template: TemplateConfig = AS_IT_IS) -> Any:
    """An `lm_eval.api.model.LM`."""
    from lm_eval.api.model import TemplateLM
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    tokens = scorer.tokenizer

    class Model(TemplateLM):  # type: ignore[misc]
        tokenizer = tokens
        tokenizer_name = ""
        """Part of the key of a cache that is not used."""

        @property
        def eot_token_id(self) -> int:
            return int(tokens.eos_token_id)

        @property
        def prefix_token_id(self) -> int:
            return self.eot_token_id if tokens.bos_token_id is None else int(tokens.bos_token_id)

        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **others: Any) -> list[int]:
            if add_special_tokens is None:
                begun = string.startswith(str(tokens.decode(self.prefix_token_id)))
                return list(tokens.encode(string, **({"add_special_tokens": False} if begun else {})))
            return list(tokens.encode(string, add_special_tokens=add_special_tokens))

        def _loglikelihood_tokens(self, requests: Any, **others: Any) -> list[tuple[float, bool]]:
            pairs = [_fitting(context, text, scorer.context) for _, context, text in requests]
            scored = dict(scorer.score(pairs))
            return [(scored[n].log_likelihood, scored[n].greedy) for n in range(len(pairs))]

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
            totals = []
            for (string,) in [request.args for request in requests]:
                windows = get_rolling_token_windows(
                    token_list=self.tok_encode(string), prefix_token=self.prefix_token_id,
                    max_seq_len=scorer.context, context_len=1,
                )  # fmt: skip
                pairs = [(None, *make_disjoint_window(window)) for window in windows]
                totals.append(sum(value for value, _ in self._loglikelihood_tokens(pairs)))
            return totals

        def apply_chat_template(
            self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
        ) -> str:
            return _filled_in(tokens, template, chat_history, add_generation_prompt)

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            return complete(requests)

    return Model()


def _filled_in(
    tokenizer: PreTrainedTokenizerFast, template: TemplateConfig, turns: list[dict[str, str]], ask: bool
) -> str:
    """`ask`: whether the answer's turn begins at the end; else it goes on from the last turn. Leaves the
    system turn out where the template takes none, as lm-eval does."""
    settings = {"add_generation_prompt": ask, "continue_final_message": not ask}
    try:
        return render(tokenizer, [turns], template, **settings)[0]
    except UserError as error:
        users = [turn for turn in turns if turn["role"] != "system"]
        if len(users) == len(turns):
            raise
        log.warning("lm-eval's system turn is left out: %s", error)
        return render(tokenizer, [users], template, **settings)[0]


def _fitting(context: list[int], text: list[int], longest: int) -> Pair:
    """The pair with as much of the context's end as the model's context holds; the text's last token is only
    predicted."""
    if len(text) > longest:
        raise UserError(f"a continuation of {len(text)} tokens is longer than the model's {longest}")
    return context[max(0, len(context) + len(text) - longest - 1) :], text
