"""Charts of the figures that a study declares, and published results beside them."""
