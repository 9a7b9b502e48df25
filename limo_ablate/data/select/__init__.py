"""From the pool to the training rows of a cell: what the study varies. See docs/selection.md.

    pool -> correctness -> tiers -> duplicates -> contamination -> teacher -> difficulty -> quality
         -> each problem's solutions -> order, strata -> size, tokens -> perturbation -> rows.parquet

What is costly to know of a pool's rows (features, grades, flags, pass rates) are artifacts of their own, made
once for all cells: `Evidence`.
"""
