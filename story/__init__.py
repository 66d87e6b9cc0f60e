"""The story wing: the script grammar, scripts out of prose and out of a model's answer, and the styles. Knows no host, no node and no other wing."""
