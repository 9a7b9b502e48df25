"""What fitted curves say of examples, and accuracy against what it cost."""
