"""`limo-ablate select`: preview of a selection with counts, distributions, charts and a manifest."""
