"""Selects the training rows of a trial from the pool: what a study varies. See docs/selection.md.

    pool -> correctness -> degenerate -> tiers -> duplicates -> contamination -> teacher -> difficulty
         -> quality -> each problem's solutions -> order, strata, shares -> size, tokens -> perturbation
         -> rows.parquet

Features, grades, flags and pass rates are expensive to compute. They are artifacts of their own, built once
for all cells: `Evidence`.
"""
