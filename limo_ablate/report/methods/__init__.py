"""How it was done, in words, and what to cite."""
