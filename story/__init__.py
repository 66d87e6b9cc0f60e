"""The story wing: the script grammar and the styles. Knows no host, no node and no other wing."""
