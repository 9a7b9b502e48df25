"""Files that a training saves next to its weights."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from limo_ablate.model.train.base import write_reference
from limo_ablate.model.train.checkpoint import BEST, CHECKPOINTS
from limo_ablate.model.train.curve import SCHEMA, Recorder
from limo_ablate.model.train.load import load_tokenizer
from limo_ablate.model.train.model import saved_reference
from limo_ablate.model.train.tokens import FACTS

if TYPE_CHECKING:
    from limo_ablate.model.train.job import TrainingJob

CURVE, RECORD = "curve.parquet", "train.json"


def save_companion_files(recorder: Recorder, job: TrainingJob) -> None:
    """Saves tokenizer, reference.json, curve and train.json next to the weights, and removes checkpoints."""
    folder = Path(job.folder)
    load_tokenizer(job.model).save_pretrained(folder)
    write_reference(folder, saved_reference(job))
    curve = pl.DataFrame(recorder.progress.curve, schema=SCHEMA)
    curve.write_parquet(folder / CURVE)
    facts = json.loads((Path(job.tokens) / FACTS).read_text())
    said = {"notes": facts["notes"]} if "notes" in facts else {}
    record = {"rows_over_length": facts["rows_over_length"], **said, **training_record(recorder, curve)}
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    for scratch in (CHECKPOINTS, BEST):
        shutil.rmtree(folder / scratch, ignore_errors=True)


def training_record(recorder: Recorder, curve: pl.DataFrame) -> dict[str, Any]:
    """Fields of train.json about the training itself.

    Loss and accuracy are means over the last epoch's response tokens; tokens per second include prompts, and
    seconds include everything between the steps.
    """
    progress, plan, dev = recorder.progress, recorder.plan, recorder.dev
    last = curve.with_columns(trained=pl.col("tokens").diff().fill_null(pl.col("tokens"))).tail(
        plan.steps_per_epoch
    )
    means = last.select(
        (pl.col("loss", "token_accuracy") * pl.col("trained")).sum() / pl.col("trained").sum()
    ).row(0, named=True)
    passed = np.concatenate(list(islice(plan.batches(), progress.step)))
    return {
        "rows": len(plan.rows),
        "steps": progress.step,
        "epochs": curve["epoch"][-1],
        "tokens": progress.tokens,
        **means,
        **(dev.record(progress.curve) if dev else {}),
        "micro_batch_tokens": plan.train.micro_batch_tokens,
        **recorder.speed.rates(passed, progress.seconds),
        "peak_memory": curve["peak_memory"].max(),
        "seconds": progress.seconds,
    }
