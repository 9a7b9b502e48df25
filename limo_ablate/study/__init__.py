"""A study as it is declared in `sweeps/NAME.yaml`: designs, their points, and the trials they unfold to."""
