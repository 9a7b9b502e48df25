"""Configuration of a selection: which rows of the pool are trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, Literal

from limo_ablate.core.artifacts import DEFAULT_NOT_IN_KEY
from limo_ablate.core.errors import UserError
from limo_ablate.core.registry import Entry, Registry
from limo_ablate.core.typed import Suggested, nearest
from limo_ablate.data.pool.config import BenchmarkSetConfig

Tier = Literal["any", "L1", "L2", "L3", "L4", "L5", "skipped", "shuffled", "padded"]
RESERVED_COLUMNS = (
    "problem", "solution", "text", "response", "gold", "source", "level", "subject", "pass_rate", "note",
    "tier", "teacher", "tokens", "digest", "given", "length", "row", "status", "rule", "answer", "elaborated",
    "group", "first", "flag", "cluster", "stratum", "in_shares", "degenerate", "dialog",
)  # fmt: skip
"""Columns of a selection; lexicons must have other names."""
SHARES_SUM = 1e-6
"""How much shares may differ from 1 in sum."""
OWN_RULES = "limo_ablate.data.select.rules"
RULES: Registry[Any] = Registry(
    "selection rule",
    {
        "random": Entry(f"{OWN_RULES}:by_chance", "by chance, drawn by `select.seed`"),
        "pool": Entry(f"{OWN_RULES}:pool", "the pool's own order"),
        "longest": Entry(f"{OWN_RULES}:longest", "long solutions first"),
        "shortest": Entry(f"{OWN_RULES}:shortest", "short solutions first"),
        "score": Entry(f"{OWN_RULES}:score", "a high reasoning-chain score first"),
        "residual": Entry(f"{OWN_RULES}:residual", "a high score for its length first"),
        "column": Entry(f"{OWN_RULES}:column", "a high `data.fields.score` first"),
    },
    group="limo_ablate.selection_rules",
)
"""Selection rules; each is a `limo_ablate.data.select.rules.Rule`. A feature of the score is a rule too."""
OWN_CHANGES = "limo_ablate.data.select.perturb"
PERTURBATIONS: Registry[Any] = Registry(
    "perturbation",
    {
        "none": Entry(f"{OWN_CHANGES}:unchanged", "solutions as they are"),
        "shuffled_steps": Entry(
            f"{OWN_CHANGES}:shuffled_steps", "the steps in random order, the boxed answer still last"
        ),
        "keywords_stripped": Entry(f"{OWN_CHANGES}:keywords_stripped", "without the score's words"),
        "format_only": Entry(f"{OWN_CHANGES}:format_only", "the boxed answer alone"),
    },
)
"""Negative controls; each is a `limo_ablate.data.select.perturb.Perturbation` of a chosen solution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreConfig:
    """The reasoning-chain score (LIMO, section 3.2): features and weights are from the paper, the rest is
    ours."""

    name: str
    """Name of this version of word lists, scaling and edges; recorded in selections and manifests."""
    weights: dict[str, float]
    """Weights of `elaborated` (length) and of each lexicon."""
    lexicons: dict[str, str]
    """Feature -> words and phrases in any language, separated by commas; hits count per 100 of the length."""
    scaling: Literal["rank", "zscore", "minmax"]
    """How features are made comparable over all solutions."""
    edges: tuple[float, float, float, float]
    """Quantiles of the score at which tiers L2, L3, L4, L5 begin."""
    within: Literal["pool", "problem"]
    """Tiers by rank among all solutions, or among those of the same problem (for RQ1)."""

    def __post_init__(self) -> None:
        unknown = set(self.weights) ^ {"elaborated", *self.lexicons}
        if unknown:
            raise UserError(
                f"select.score: {', '.join(sorted(unknown))} must be in both weights and lexicons "
                "(elaborated, which has no words, in weights only)"
            )
        if taken := sorted(set(self.lexicons) & {*RULES.builtin, *RESERVED_COLUMNS}):
            raise UserError(f"select.score.lexicons.{taken[0]}: that name is taken; choose another")
        if not all(math.isfinite(weight) for weight in self.weights.values()):
            raise UserError(f"select.score.weights={self.weights}: every weight must be a number")
        rising = all(low <= high for low, high in pairwise(self.edges))
        if not (rising and self.edges[0] > 0 and self.edges[-1] < 1):
            raise UserError(
                f"select.score.edges={list(self.edges)}: must be four rising shares between 0 and 1"
            )
        for name, phrases in self.phrases().items():
            if not phrases:
                raise UserError(f"select.score.lexicons.{name}: no words; list them, separated by commas")

    def phrases(self) -> dict[str, tuple[str, ...]]:
        """Feature -> its words and phrases."""
        return {
            name: tuple(word for part in lexicon.split(",") if (word := part.strip()))
            for name, lexicon in self.lexicons.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MinHashConfig:
    threshold: float
    """Estimated Jaccard similarity of the word shingles from which two problems are near-duplicates, 0..1."""
    shingle: int
    """Number of words of a shingle."""
    permutations: int
    """Hash functions of a signature."""
    seed: int
    """Decides everything random in this section."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**64:
            raise UserError(f"minhash: seed={self.seed} must be 0 or more, and below 2^64")
        if not (0 < self.threshold <= 1 and self.shingle > 0 and self.permutations > 0):
            raise UserError(
                f"minhash: threshold={self.threshold} must be above 0 and at most 1, shingle={self.shingle} "
                f"and permutations={self.permutations} at least 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContaminationConfig:
    """The contamination gate between the pool and the benchmarks that the trial evaluates."""

    policy: Literal["none", "report", "drop", "error"]
    """`report` keeps flagged problems and also scores on clean benchmark items."""
    punctuation: Literal["separate", "delete"]
    """Whether anything but letters and digits separates words; or is deleted, where only white space
    separates words and an underscore is part of a word. Scripts without spaces: each character is a word."""
    exact: bool
    """Flag problems with the same words."""
    ngrams: tuple[int, ...]
    """Flag problems that share a run of that many words, for each of these lengths; and those that hold all
    words of an item that is shorter."""
    masked_ngrams: tuple[int, ...]
    """The same with every number replaced by a mark, which finds problems with other numbers."""
    minhash: MinHashConfig | None
    also: dict[str, BenchmarkSetConfig]
    """Benchmarks to compare with besides those that are evaluated."""
    boilerplate: float | None = field(default=0.1, metadata=DEFAULT_NOT_IN_KEY)
    """Runs of words in more than this share of a benchmark's items, or of the pool, are not compared: they
    are the prompt, or a template. null: all words are."""

    def __post_init__(self) -> None:
        if tasks := [name for name, benchmark in self.also.items() if benchmark.task]:
            raise UserError(
                f"select.contamination.also.{tasks[0]}: tasks of lm-eval are compared where eval.benchmarks "
                "has them; a file or a data set can be named here"
            )
        for key in ("ngrams", "masked_ngrams"):
            lengths = getattr(self, key)
            if any(n < 1 for n in lengths):
                raise UserError(f"select.contamination.{key}={list(lengths)}: lengths must be 1 or more")
        if self.boilerplate is not None and not 0 < self.boilerplate <= 1:
            raise UserError(
                f"select.contamination.boilerplate={self.boilerplate:g}: must be a share above 0 and at "
                "most 1, or null"
            )
        searching = self.exact or self.ngrams or self.masked_ngrams or self.minhash
        if self.policy != "none" and not searching:
            raise UserError(
                "select.contamination searches for nothing: set exact, ngrams, masked_ngrams or minhash, "
                "or select/contamination=none"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StratifyConfig:
    by: Literal["source", "level", "subject", "teacher", "difficulty", "cluster"]
    """`difficulty`: quintiles of `data.difficulty.measure`; `cluster`: near-duplicates by MinHash."""
    shares: Literal["proportional", "equal"]
    """Shares of the strata in the subset: as in the pool (for equal difficulty), or equal (s1's
    diversity)."""
    minhash: MinHashConfig | None = None
    """For `cluster`: when two problems are near-duplicates."""

    def __post_init__(self) -> None:
        if (self.by == "cluster") != (self.minhash is not None):
            raise UserError(
                f"select.stratify.by={self.by}: select.stratify.minhash (threshold, shingle, permutations, "
                "seed) is required for by=cluster and not allowed otherwise; see select=s1k_clusters"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectConfig:
    """Which rows of the pool are trained on: what the study varies; see docs/selection.md."""

    size: int | None
    """Number of training examples; null: all that pass the filters. Smaller sizes are subsets of larger
    ones."""
    tokens: int | Literal["match"] | None
    """Token budget, met within 0.5 %, with `size` by exactly that many rows. `match`: the tokens of the tier
    with the fewest at this size, so that arms that differ in tier have the same budget."""
    difficulty: float | str
    """A band of `data.difficulty.bands`, `any`, or a threshold (level at least, pass rate at most)."""
    quality: Tier
    """Tier of the solutions."""
    correctness: Literal["any", "correct", "wrong", "marked_correct", "marked_wrong"]
    """Keep only solutions that `data.grader` accepts (`correct`) or rejects (`wrong`), or that the data
    itself marks (`data.fields.correct`) as right or wrong."""
    degenerate: Literal["keep", "drop"] = field(default="keep", metadata=DEFAULT_NOT_IN_KEY)
    """What to do with solutions that repeat themselves, mix scripts or have empty reasoning."""
    teacher: str
    """Keep only this teacher's solutions; or `any`."""
    duplicates: Literal["keep", "drop"]
    """What to do with problems that have the same words as an earlier problem of the pool."""
    same_problems: bool
    """Keep only problems that have a solution in each of L1..L5. With order=random or pool, arms of the same
    size that differ in tier then have the same questions (RQ1)."""
    solutions: int
    """Largest number of solutions per problem; 0 selects questions only, for a teacher to solve."""
    best: Annotated[str, Suggested(RULES, "-")]
    """The rule by which a problem's solutions are chosen."""
    order: Annotated[str, Suggested(RULES, "-")]
    """The rule by which problems are chosen; `-` before a rule reverses it."""
    stratify: StratifyConfig | None
    shares: dict[str, float] | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """A mixture: the share of each part, which add up to 1, such as {ours: 0.7, theirs: 0.3}; of the rows or,
    with `tokens` and no `size`, of the tokens. Other rows are left out."""
    shares_by: Literal["source", "teacher", "level", "subject", "tier", "difficulty"] = field(
        default="source", metadata=DEFAULT_NOT_IN_KEY
    )
    """What the parts of a mixture are; `difficulty`: bands of `data.difficulty`."""
    perturb: Annotated[str, PERTURBATIONS]
    """Negative controls: a change to each chosen solution."""
    score: ScoreConfig
    contamination: ContaminationConfig
    seed: int
    """Decides everything random in this section."""

    def __post_init__(self) -> None:
        for key, rule in (("best", self.best), ("order", self.order)):
            self._check_rule(key, rule)
        if self.shares is not None:
            self._check_shares(self.shares)
        if self.tokens == "match" and self.size is None:
            raise UserError(
                "select.tokens=match needs select.size: the rows of the tier with the fewest tokens"
            )
        for key in ("size", "tokens", "solutions"):
            value = getattr(self, key)
            if isinstance(value, int) and value < (1 if key == "tokens" else 0):
                raise UserError(f"select.{key}={value}: must be {1 if key == 'tokens' else 0} or more")

    def _check_shares(self, shares: dict[str, float]) -> None:
        total = math.fsum(shares.values())
        if not all(0 <= share <= 1 for share in shares.values()) or abs(total - 1) > SHARES_SUM:
            raise UserError(f"select.shares={shares}: must be 0 to 1 and add up to 1, not {total:g}")
        if self.stratify is not None:
            raise UserError("select.shares and select.stratify exclude each other; set one of them to null")
        if self.tokens == "match" and self.shares_by == "tier":
            raise UserError(
                "select.tokens=match compares tiers, which select.shares_by=tier mixes; give a number"
            )

    def _check_rule(self, key: str, rule: str) -> None:
        name, features = rule.removeprefix("-"), self.score.weights
        if name not in RULES and name not in features:
            known = [*RULES, *features]
            raise UserError(
                f"select.{key}={rule}: not a rule{nearest(rule, known)} Rules: {', '.join(known)}, "
                "each also with - before it"
            )
        if name not in RULES.builtin and name in features and name in RULES:
            raise UserError(
                f"select.{key}={rule}: a feature of select.score and the rule {RULES.entry(name).about} have "
                f"the same name; rename select.score.lexicons.{name}"
            )
