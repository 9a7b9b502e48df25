"""A study in W&B: workspace, report, summary run, sweep files, uploads."""
