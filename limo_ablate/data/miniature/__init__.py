"""LIMO's question in miniature: generated problems and worked solutions. See docs/miniature.md."""
