"""The motion wing: from keyframes to the semantic features of the frames between them. Knows no host, no node and no other wing."""
