"""docs/extending.md's parts that are copies: the example package's files, and the tables of the choices.

python -m tests.extending.build_page        # writes them into the page anew
"""

import re

from limo_ablate.core.registry import Registry
from limo_ablate.data.grade.graders import GRADERS
from limo_ablate.data.pool.config import LOADERS
from limo_ablate.data.pool.schemas import SCHEMAS
from limo_ablate.data.select.config import PERTURBATIONS, RULES
from limo_ablate.model.generate.config import ENGINES
from limo_ablate.model.train.config import SCHEDULES
from limo_ablate.report.sections import SECTIONS
from limo_ablate.study.choices import DESIGNS, PRUNERS, SAMPLERS
from limo_ablate.study.imported.logs import FORMATS
from limo_ablate.trial.config import TRACKERS
from limo_ablate.trial.launch_config import LAUNCHERS
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "extending.md"
PACKAGE = ROOT / "tests" / "extending" / "example_package"
CHOICES: dict[str, Registry] = {
    "`eval.engine`": ENGINES,
    "`eval.benchmarks.NAME.grader`": GRADERS,
    "`select.order`, `select.best`": RULES,
    "`data.source`": LOADERS,
    "`launch.executor`": LAUNCHERS,
    "`track.kind`": TRACKERS,
    "sections of the report": SECTIONS,
    "schema of rows, as `data=auto` finds it": SCHEMAS,
    "`select.perturb`": PERTURBATIONS,
    "`train.schedule`": SCHEDULES,
    "a block's `design`": DESIGNS,
    "a block's `sampler`": SAMPLERS,
    "a pruner's `rule`": PRUNERS,
    "`format` of imported logs": FORMATS,
}
"""What is chosen -> its registry; the first seven are open to other packages."""
FILE = re.compile(r"```(\w+)\n# (\S+)\n(.*?)```", re.DOTALL)
TABLES = re.compile(r"(<!-- choices -->\n).*?(<!-- end -->)", re.DOTALL)


def tables() -> str:
    """All choices with their built-in entries."""
    parts = []
    for key, registry in CHOICES.items():
        group = f"Entry points: `{registry.group}`." if registry.group else "Closed to other packages."
        parts.append(f"**{key}**. {group}\n\n{registry.table(registry.what)}\n")
    return "\n".join(parts)


def page(text: str) -> str:
    """The page with its copies anew."""
    text = FILE.sub(lambda m: f"```{m[1]}\n# {m[2]}\n{(PACKAGE / m[2]).read_text()}```", text)
    return TABLES.sub(lambda m: f"{m[1]}\n{tables()}\n{m[2]}", text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
