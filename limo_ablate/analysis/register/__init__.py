"""Registration: what a study will test, written down before it runs, and what became different since.

docs/registration.md. Imports no torch.
"""
