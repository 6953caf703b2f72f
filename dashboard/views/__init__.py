"""One module per navigation entry; each view reads the request, makes one call and draws the answer."""
