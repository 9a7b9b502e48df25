"""A small real copy of LIMO's question: generated problems and worked solutions. See docs/miniature.md."""
