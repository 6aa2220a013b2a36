"""Head to head: every method on the same rankings, told by rankings that none was fitted to."""
