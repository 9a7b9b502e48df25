"""`limo-ablate view`: studies and their reports in a browser, live. Only reads; see docs/view.md."""
