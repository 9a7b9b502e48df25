"""Completions by a model behind an HTTP endpoint with OpenAI's chat completions."""
