"""Registration: what a study will test, recorded before it runs, and how its results deviate from that.

docs/registration.md. Imports no torch.
"""
