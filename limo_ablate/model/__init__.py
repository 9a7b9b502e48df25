"""Base models, supervised fine-tuning and generation."""
