"""`limo-ablate view`: studies and their reports in a browser, live, while they run. Reads, and never writes.

docs/view.md. Every page and answer is made from what the ledger and the studies' folders hold.
"""
