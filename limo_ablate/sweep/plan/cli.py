"""The verb `plan`."""

from __future__ import annotations

import click

from limo_ablate.core.command import Verb, announce, json_option, print_json, words
from limo_ablate.core.errors import EXIT_USER_ERROR


class MachinesType(click.ParamType[list[int]]):
    """`2x8`: two machines of eight devices each."""

    name = "NxK"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        count, _, devices = value.partition("x")
        if not (count.isdecimal() and devices.isdecimal() and 0 < int(count) <= 10_000 and int(devices)):
            self.fail(f"{value!r}: write machines x devices of each, such as 2x8", param, ctx)
        return [int(devices)] * int(count)


@click.command(
    "plan",
    cls=Verb,
    examples=[
        "limo-ablate plan miniature",
        "limo-ablate plan limo_rq5 hardware=fsdp2 --gpu-memory 141 budget.gpu_hours=100",
        "limo-ablate plan limo_rq5 hardware=fsdp2 hardware.price=2.5 --machines 2x8",
    ],
)
@words("study")
@json_option
@click.option(
    "--gpu-memory",
    type=click.IntRange(min=1),
    metavar="GB",
    help="Gigabytes of a GPU that the study is to fit in.  [default: this machine's]",
)
@click.option(
    "--machines",
    type=MachinesType(),
    metavar="NxK",
    help="Number of machines, and of GPUs of each (of cores, for trials on CPUs).  [default: this machine]",
)
def plan(
    study: str, overrides: list[str], as_json: bool, gpu_memory: int | None, machines: list[int] | None
) -> int:
    """Trials by block, what is done, forecast hours and GPU-hours (docs/plan.md says how good the forecast
    is), what a budget leaves out, memory, effects that a fractional design confounds, and the smallest effect
    each contrast would detect, and what would keep trials from running (exit code 2). Overrides are those of
    `sweep`. Nothing runs; pools and benchmarks of local files are put into the store, to count their rows.
    """
    announce(f"planning the trials of {study}")
    from limo_ablate.study.design import load_study
    from limo_ablate.sweep.plan.plan import plan as plan_study
    from limo_ablate.sweep.plan.text import facts, text

    memory = None if gpu_memory is None else gpu_memory * 1e9
    made = plan_study(load_study(study, overrides), memory, overrides, machines)
    if as_json:
        print_json(facts(made))
    else:
        print(text(made))
    return EXIT_USER_ERROR if made.preflight.problems else 0
