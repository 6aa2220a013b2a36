"""Tests of fits of adapters, with a trainer that trains nothing."""
