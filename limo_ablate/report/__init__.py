"""A study's results for readers: report, W&B dashboard, live view, comparisons, previews of selections."""
