"""The comic wing: page layout and lettering with Pillow. Knows no host, no node and no other wing."""
