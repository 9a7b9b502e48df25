"""Base models of the miniature: tiny Qwen2 models pre-trained on a generated corpus; docs/miniature.md."""
