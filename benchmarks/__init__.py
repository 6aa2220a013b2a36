"""Timings of emdpo against something else in the same run: `make bench`."""
