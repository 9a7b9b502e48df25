"""Items too short for an n-gram, prompts and templates that all texts share, and scripts of all kinds."""

import random
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.select.config import ContaminationConfig
from limo_ablate.data.select.contamination import PAIRS_PER_PROBLEM, flags, gate_notes
from limo_ablate.data.select.words import Words
from limo_ablate.trial.compose import compose

GATE: ContaminationConfig = compose(["select/contamination=report"]).select.contamination
PROMPT = (
    "You sort the letters that reach a town hall. Read the letter below and name the office that answers it, "
    "in one word, without any explanation.\n\n"
)
VERBS = ("mend", "paint", "open", "close", "heat", "clean", "move", "insure", "rent", "photograph")
THINGS = ("bridge", "school", "fountain", "library", "road", "lamp", "bench", "garden", "kennel", "stage")


def letter(number: int) -> str:
    """Sixty different short texts."""
    return f"When will you {VERBS[number % 10]} the old {THINGS[number // 10]} near my house number {number}?"


def saved(store: Store, stage: str, name: str, texts: list[str]) -> Artifact:
    frame = pl.DataFrame({"id": [f"{name}{i}" for i in range(len(texts))], "text": texts})
    return store.build(
        stage, {"texts": texts}, lambda folder: frame.write_parquet(folder / "problems.parquet")
    )


def flagged(
    folder: Path, pool: list[str], items: list[str], config: ContaminationConfig = GATE
) -> tuple[pl.DataFrame, list[str]]:
    store = Store(folder)
    found = flags(
        store, config, saved(store, "pool", "p", pool), {"exam": saved(store, "benchmark", "e", items)}
    )
    return pl.read_parquet(found.path / "flags.parquet"), gate_notes(found.path)


def test_short_items_are_found_inside_other_texts(tmp_path: Path) -> None:
    items = ["Evaluate $\\log_3 81$.", "What is 2+2?", "求函数的极限值等于多少元素", "Где хранится акт?"]
    pool = [f"{text} Think first, and then put your answer at the end of the last line." for text in items]
    rows, notes = flagged(tmp_path, pool, items)
    assert rows.select("problem", "item", "method", "n").rows() == [
        ("p0", "e0", "whole", 4), ("p2", "e2", "whole", 13), ("p3", "e3", "whole", 3),
    ]  # fmt: skip
    assert rows["evidence"][0] == "evaluate log 3 81"
    assert notes == [
        "exam 1: items under 3 words or 12 letters and digits: only whole texts with the same words are found"
    ]


def test_a_common_prompt_flags_nothing_and_is_named(tmp_path: Path) -> None:
    pool = [PROMPT + letter(number) for number in range(30)]
    exam = [PROMPT + letter(number) for number in range(30, 60)]
    rows, notes = flagged(tmp_path, pool, exam)
    assert rows.is_empty()
    assert len(notes) == 1
    assert notes[0].startswith('boilerplate, which is not compared: "you sort the letters')
    assert "(100% of exam, 100% of the pool)" in notes[0]
    rows, _ = flagged(tmp_path, [*pool, exam[4], PROMPT + "Dear town. " + letter(37) + " Thank you"], exam)
    assert set(rows.select("problem", "item").rows()) == {("p30", "e4"), ("p31", "e7")}
    assert {"whole", "exact"} <= set(rows["method"])


def test_without_the_search_for_boilerplate_all_are_flagged(tmp_path: Path) -> None:
    texts = [PROMPT + letter(number) for number in range(60)]
    rows, notes = flagged(tmp_path, texts[:30], texts[30:], replace(GATE, boilerplate=None))
    assert rows["problem"].n_unique() == rows["item"].n_unique() == 30
    assert not any("boilerplate" in note for note in notes)


def test_an_item_that_the_pool_repeats_in_many_forms_is_no_boilerplate(tmp_path: Path) -> None:
    """A fifth of the pool is one item, reworded at its ends."""
    item = "A tank that holds ninety litres is filled by two pipes, one of which takes twice as long"
    pool = [f"{verb} this: {item}, so {thing}?" for verb, thing in zip(VERBS, THINGS, strict=True)]
    pool += [letter(number) for number in range(40)]
    rows, _ = flagged(tmp_path, pool, [item + ". How long?", *(letter(number) for number in range(50, 60))])
    assert set(rows["problem"]) == {f"p{number}" for number in range(10)}
    assert set(rows["item"]) == {"e0"}


def test_the_same_item_many_times_is_no_boilerplate(tmp_path: Path) -> None:
    exam = [letter(number) + " Please answer before the end of the year, in short." for number in range(3)]
    rows, _ = flagged(tmp_path, [f"Well: {exam[1]}", *exam[:1] * 20], exam * 32)
    assert rows.filter(method="ngram")["problem"].n_unique() == 21


def test_the_list_of_pairs_is_bounded_and_the_sets_are_whole(tmp_path: Path) -> None:
    """Both sides are one template, which is not taken for boilerplate: 200 x 60 pairs."""
    rng = random.Random(0)

    def order() -> str:
        a, b, c = (rng.randrange(2, 999) for _ in range(3))
        return (
            f"A shop sells {a} boxes of apples and {b} boxes of pears in a week and gives {c} of them back "
            "to the farm. How many boxes are left in the shop at the end?"
        )

    pool, exam = ([order() for _ in range(count)] for count in (200, 60))
    config = replace(GATE, boilerplate=None, minhash=None)
    rows, notes = flagged(tmp_path, pool, exam, config)
    assert rows.filter(method="masked").height == 200 * PAIRS_PER_PROBLEM + 60 - PAIRS_PER_PROBLEM
    assert rows["problem"].n_unique() == 200
    assert rows["item"].n_unique() == 60
    assert any(note.startswith("7,960 pairs are not listed") for note in notes)
    rows, _ = flagged(tmp_path, pool, exam)
    assert rows.is_empty()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Сколько будет 3 коробки?", "сколько будет 3 коробки"),
        ("كَمْ عَدَدُ الكُتُبِ؟", "كَمْ عَدَدُ الكُتُبِ"),
        ("कितने आम हैं?", "कितने आम हैं"),
        ("りんごはいくつ？", "り ん ご は い く つ"),
        ("มีส้มกี่ผล", "มี ส้ ม กี่ ผ ล"),
        ("有多少本书？", "有 多 少 本 书"),
        (
            "cafe\N{COMBINING ACUTE ACCENT} x² \N{LATIN SMALL LIGATURE FI}n co\N{SOFT HYPHEN}op",
            "café x 2 fin coop",
        ),
    ],
)
def test_words_of_all_scripts(text: str, words: str) -> None:
    split = Words.split(pl.Series([text]), "separate")
    assert split.joined() == [words]


@pytest.mark.parametrize(
    "item",
    [
        "Сколько рублей стоят три коробки яблок?",
        "كم عدد الكتب التي اشترتها مريم اليوم؟",
        "राम ने बाज़ार से कितने आम खरीदे?",
        "太郎はりんごを全部でいくつ買いましたか？",
        "มานีซื้อส้มทั้งหมดกี่ผลจากตลาด",
        "小明今天一共买了多少本数学书？",
    ],
)
def test_items_of_all_scripts_are_found(tmp_path: Path, item: str) -> None:
    rows, notes = flagged(tmp_path, [f"Q: {item} (1)", letter(3)], [item])
    assert rows.select("problem", "item").unique().rows() == [("p0", "e0")]
    assert {"whole", "ngram"} & set(rows["method"])
    assert notes == []


def test_texts_without_words_are_counted(tmp_path: Path) -> None:
    _, notes = flagged(tmp_path, ["∀∃?", "→", letter(1)], ["∑", letter(1)])
    assert "pool 2, exam 1: texts without letters or digits, which nothing can find" in notes


def test_a_share_is_between_0_and_1() -> None:
    with pytest.raises(UserError, match=r"boilerplate=1\.5: must be a share above 0 and at most 1, or null"):
        replace(GATE, boilerplate=1.5)


def test_all_of_a_wrapped_exam_is_found(tmp_path: Path, shared: Path) -> None:
    """MATH-500 and an instruction sentence, as Light-R1 has it; it was 369 of 500 with 20-grams."""
    path = shared / "round2/lightr1_math.parquet"
    if not path.exists():
        pytest.skip("the second round's inputs are not in ../shared/data")
    wrapped = [prompt[0]["content"] for prompt in pl.read_parquet(path)["prompt"].to_list()]
    math = pl.read_ndjson(shared / "limo-eval/math/test.jsonl")["problem"].to_list()
    rows, _ = flagged(tmp_path, wrapped, math)
    assert rows["problem"].n_unique() == rows["item"].n_unique() == 500


def test_messages_under_one_prompt_are_not_flagged(tmp_path: Path, shared: Path) -> None:
    names = [
        shared / f"round2/banking_{name}.jsonl" for name in ("prompt_pool", "prompt_exam", "wrapped_pool")
    ]
    if not names[0].exists():
        pytest.skip("the second round's inputs are not in ../shared/data")
    pool, exam, wrapped = (pl.read_ndjson(path)["problem"].to_list() for path in names)
    rows, notes = flagged(tmp_path, pool, exam)
    assert set(rows["method"]) == {"whole"}  # a message of the exam, whole inside a longer one
    assert rows["problem"].n_unique() == 7
    assert "you are a support agent of a bank" in notes[0]
    rows, _ = flagged(tmp_path, wrapped, [text.split("\n\n")[1] for text in exam])
    assert rows["problem"].n_unique() == 300
