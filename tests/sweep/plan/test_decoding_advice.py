"""What `plan` recommends where decoding does not fit into a GPU."""

import pytest

from limo_ablate.sweep.plan.fit import fits
from limo_ablate.trial.compose import compose

UNTUNED = ["data=limo", "eval=limo_v3", "select.size=0"]


@pytest.mark.parametrize(
    ("overrides", "memory", "advice"),
    [
        (["model=qwen2_5_7b", "hardware=gpu1"], 80e9, None),
        (
            ["model=qwen2_5_7b", "hardware=gpu1", "eval.batch_size=512"], 24e9,
            "It would decode with eval.batch_size=16, or with eval.engine=vllm eval.tensor_parallel=1",
        ),
        (
            ["model=qwen2_5_72b", "hardware=gpu1"], 80e9,
            "It would decode with eval.engine=vllm eval.tensor_parallel=4 on 4 GPUs of a machine",
        ),
        (
            ["model=qwen2_5_72b", "hardware=fsdp2"], 80e9,
            "It would decode with eval.engine=vllm eval.tensor_parallel=4",
        ),
        (["model=qwen2_5_72b", "hardware=gpu1"], 8e9, "No eval.batch_size and no eval.tensor_parallel fits"),
        (["model=qwen2_5_7b", "hardware=cpu"], 80e9, None),
    ],
)  # fmt: skip
def test_a_batch_and_a_number_of_gpus_that_fit(
    overrides: list[str], memory: float, advice: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limo_ablate.model.train.memory_check.free_main_memory", lambda: int(1e12))
    (fit,) = fits([compose([*UNTUNED, *overrides])], memory)
    assert fit.advice == advice
