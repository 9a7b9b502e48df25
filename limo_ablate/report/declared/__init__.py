"""The figures that a study declares, and the published points beside them."""
