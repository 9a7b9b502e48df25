"""Token ids and supervised fine-tuning."""
