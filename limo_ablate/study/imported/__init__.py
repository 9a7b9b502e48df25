"""Studies made of logs that other evaluation tools have written (docs/import.md)."""
