"""The same rows and the same model through our loop, TRL's SFTTrainer and a plain padded loop.

Each trainer returns the times at which its steps ended and the tokens of each, prompts included. Nothing
is saved; preparation of data sets is not timed. TRL is imported by its own trainer only.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from limo_ablate.core.hardware import HardwareConfig  # noqa: E402
from limo_ablate.model.train.base import Reference  # noqa: E402
from limo_ablate.model.train.config import LoraConfig, TrainConfig  # noqa: E402
from limo_ablate.model.train.plan import Plan  # noqa: E402
from limo_ablate.model.train.token_rows import IDS, TokenRows, read_tokens  # noqa: E402
from limo_ablate.model.train.tokens import FACTS  # noqa: E402

LEARNING_RATE = 1e-4
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Setting:
    """A training to be timed."""

    folder: Path
    """Has `model/` in the hub's format, and `tokens/`."""
    steps: int
    batch: int
    pass_tokens: int
    """Tokens a forward pass may have; ours packs rows up to it, TRL makes blocks of it when it packs."""
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["no", "bf16"] = "no"
    gradient_checkpointing: bool = False
    lora_rank: int = 0
    """Of adapters on all linear layers of a block, with alpha twice as large; 0: all weights are trained."""

    @property
    def hardware(self) -> HardwareConfig:
        return HardwareConfig(
            name="benchmark", device=self.device, processes=1, strategy="single", precision=self.precision,
            threads=torch.get_num_threads(),
        )  # fmt: skip

    @property
    def train(self) -> TrainConfig:
        return TrainConfig(
            epochs=None, steps=self.steps, tokens=None, learning_rate=LEARNING_RATE, schedule="constant",
            warmup_ratio=0.0, weight_decay=0.0, betas=(0.9, 0.999), grad_clip=1.0,
            global_batch_size=self.batch, micro_batch_tokens=self.pass_tokens, max_length=1 << 20,
            system_prompt=None, gradient_checkpointing=self.gradient_checkpointing, checkpoint_seconds=1e9,
            lora=self._lora(), seed=0,
        )  # fmt: skip

    def _lora(self) -> LoraConfig | None:
        if not self.lora_rank:
            return None
        return LoraConfig(rank=self.lora_rank, alpha=2.0 * self.lora_rank, dropout=0.0, targets=LINEAR)

    def batches(self) -> list[Any]:
        """Row numbers of each step, as our loop has them."""
        rows = read_tokens(self.folder / "tokens")
        plan = Plan(rows.lengths, rows.responses, self.train, rows.problems)
        return list(islice(plan.batches(), self.steps))


@dataclass(frozen=True)
class Steps:
    ended: list[float]
    """When each step had ended, by `now`; the first is not known."""
    tokens: list[int]

    def rate(self, warm: int) -> float:
        """Tokens a second after the first `warm` steps."""
        return sum(self.tokens[warm:]) / (self.ended[-1] - self.ended[warm - 1])


def write_rows(folder: Path, rows: TokenRows) -> None:
    """`rows` as a tokens artifact has them."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    save_file({key: np.ascontiguousarray(value) for key, value in vars(rows).items()}, folder / IDS)
    facts = {"rows": len(rows.lengths), "rows_over_length": 0, "tokens": len(rows.ids)}
    (folder / FACTS).write_text(json.dumps(facts))


class _Over(Exception):
    """After the last step: nothing is to be saved."""


def ours(setting: Setting, out: Path) -> Steps:
    from limo_ablate.model.train.job import TrainingJob
    from limo_ablate.model.train.loop import fine_tune

    out.mkdir(parents=True)
    job = TrainingJob(
        tokens=str(setting.folder / "tokens"), model=str(setting.folder / "model"),
        reference=Reference(dtype="float32", attention="sdpa"), train=setting.train,
        hardware=setting.hardware, folder=str(out),
    )  # fmt: skip
    # A step is told of when the next one has ended, the last one at once.
    ended = [0.0]

    def on_step(row: dict[str, Any]) -> None:
        if row["step"] == setting.steps:
            raise _Over
        ended.append(now(setting.device))

    with suppress(_Over):
        fine_tune(job, on_step)
    lengths = read_tokens(setting.folder / "tokens").lengths
    return Steps(ended, [int(lengths[batch].sum()) for batch in setting.batches()])


def plain(setting: Setting, out: Path) -> Steps:
    """Padded batches, transformers' own loss, a fused AdamW: what one writes in half an hour."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(setting.folder / "model", dtype=torch.float32)
    model.to(setting.device).train()
    if setting.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.0, fused=True)
    rows, steps = read_tokens(setting.folder / "tokens"), Steps([], [])
    for batch in setting.batches():
        parts = math.ceil(int(rows.lengths[batch].max()) * len(batch) / setting.pass_tokens)
        trained = int(rows.responses[batch].sum())
        for part in np.array_split(batch, min(parts, len(batch))):
            inputs = {key: value.to(setting.device) for key, value in padded(rows, part).items()}
            with torch.autocast(setting.device, torch.bfloat16, enabled=setting.precision == "bf16"):
                loss = model(**inputs, use_cache=False, num_items_in_batch=trained).loss
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        steps.ended.append(now(setting.device))
        steps.tokens.append(int(rows.lengths[batch].sum()))
    return steps


def padded(rows: TokenRows, batch: Any) -> dict[str, torch.Tensor]:
    longest = int(rows.lengths[batch].max())
    ids, mask = np.zeros((len(batch), longest), np.int64), np.zeros((len(batch), longest), np.int64)
    labels = np.full((len(batch), longest), -100)
    for place, number in enumerate(batch):
        row = rows.row(number)
        ids[place, : len(row)], mask[place, : len(row)] = row, 1
        labels[place, rows.prompts[number] : len(row)] = row[rows.prompts[number] :]
    arrays = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return {key: torch.from_numpy(value) for key, value in arrays.items()}


def trl(setting: Setting, out: Path, **options: Any) -> Steps:
    """TRL's SFTTrainer on ids and labels made before; `options` are keys of SFTConfig."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from limo_ablate.model.train.load import load_tokenizer

    rows, steps = read_tokens(setting.folder / "tokens"), Steps([], [])
    order = np.concatenate(setting.batches())
    data = []
    for number in order:
        ids, prompt = rows.row(number).tolist(), int(rows.prompts[number])
        data.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]})
    settings = {
        "max_steps": setting.steps,
        "per_device_train_batch_size": setting.batch,
        "train_sampling_strategy": "sequential",
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "optim": "adamw_torch_fused",
        "bf16": setting.precision == "bf16",
        "gradient_checkpointing": setting.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "use_cpu": setting.device == "cpu",
        "dataloader_pin_memory": setting.device == "cuda",
        "max_length": None,
        "model_init_kwargs": {"dtype": "float32"},
    }
    quiet = {"logging_strategy": "no", "save_strategy": "no", "report_to": "none", "disable_tqdm": True}
    peft = None
    if setting.lora_rank:
        from peft import LoraConfig as PeftLora

        peft = PeftLora(r=setting.lora_rank, lora_alpha=2 * setting.lora_rank, target_modules=list(LINEAR))
    config = SFTConfig(output_dir=str(out), **quiet, **{**settings, **options})

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            steps.ended.append(now(setting.device))

    trainer = SFTTrainer(
        str(setting.folder / "model"), config, train_dataset=Dataset.from_list(data),
        processing_class=load_tokenizer(setting.folder / "model"), callbacks=[Clock()],
        peft_config=peft,
    )  # fmt: skip
    trainer.data_collator = _counted(trainer.data_collator, steps.tokens)
    trainer.train()
    return Steps(steps.ended, steps.tokens[: setting.steps])


def _counted(
    collate: Callable[[list[Any]], dict[str, torch.Tensor]], tokens: list[int]
) -> Callable[..., Any]:
    """The collator, which notes each batch's tokens without padding."""

    def collated(examples: list[Any]) -> Any:
        tokens.append(sum(len(example["input_ids"]) for example in examples))
        return collate(examples)

    return collated


def now(device: str) -> float:
    """Seconds: of processor time on a CPU, so that what else runs on the machine counts less."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()
