"""Consistent self-attention: which tokens are sampled, when, and what each panel attends to."""
