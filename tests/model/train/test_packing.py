from hypothesis import example, given
from hypothesis import strategies as st

from limo_ablate.model.train.packing import pack


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60),
    limit=st.integers(1, 120),
    processes=st.integers(1, 9),
)
@example(lengths=[7], limit=3, processes=4)
@example(lengths=[6, 6, 4, 4, 4], limit=12, processes=1)
def test_every_row_once_and_no_pass_too_long(lengths: list[int], limit: int, processes: int) -> None:
    bins = pack(lengths, limit, processes)
    assert sorted(place for places in bins for place in places) == list(range(len(lengths)))
    assert len(bins) % processes == 0
    loads = [sum(lengths[place] for place in places) for places in bins]
    assert all(load <= limit or len(places) == 1 for load, places in zip(loads, bins, strict=True))
    assert loads == sorted(loads, reverse=True)
    assert bins == pack(lengths, limit, processes)


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=8), limit=st.integers(50, 120))
def test_at_most_one_pass_more_than_the_fewest(lengths: list[int], limit: int) -> None:
    """Best-fit decreasing is that good for so few rows: 11/9 of the fewest, and 6/9 (Dosa 2007)."""
    best = {frozenset(): (0, 0)}  # of the rows that are in: passes that are full, tokens in the open one
    for _ in lengths:
        grown: dict[frozenset[int], tuple[int, int]] = {}
        for done, (full, load) in best.items():
            for place in set(range(len(lengths))) - done:
                length = lengths[place]
                state = (full, load + length) if load + length <= limit else (full + 1, length)
                key = done | {place}
                grown[key] = min(grown.get(key, state), state)
        best = grown
    ((full, _),) = best.values()
    assert full + 1 <= len(pack(lengths, limit, 1)) <= full + 2


def test_best_fit_decreasing_by_hand() -> None:
    """Twelve tokens a pass: 7 + 5, 6 + 6, 4 + 4 + 3; first-fit in the rows' order would need four."""
    assert pack([4, 6, 5, 7, 4, 6, 3], 12, 1) == [[3, 2], [1, 5], [0, 4, 6]]


def test_passes_are_filled_evenly() -> None:
    """Best-fit alone would fill two passes with 12 and 2 tokens."""
    assert pack([4, 4, 4, 2], 12, 1) == [[0, 2], [1, 3]]


def test_where_even_filling_overflows_best_fit_is_kept() -> None:
    """4 + 4 + 4 and 6 + 6 fit twelve tokens; dealt out evenly, a third pass would be needed."""
    assert pack([6, 6, 4, 4, 4], 12, 1) == [[0, 1], [2, 3, 4]]


def test_fewer_rows_than_processes_leave_empty_passes() -> None:
    assert pack([3, 5], 100, 4) == [[1], [0], [], []]


def test_a_long_row_goes_alone() -> None:
    assert pack([30, 4, 5], 10, 2) == [[0], [2, 1]]
