"""The identity wing: photos of a person into class tokens (PhotoMaker V1 and V2). Knows no host, no node and no other wing."""
