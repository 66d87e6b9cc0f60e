"""The embedded demo: a procedural cartoon world, the trainer of its tiny models, and their weights."""
