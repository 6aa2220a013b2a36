"""The methods of the field on the same rankings, features and reference.

Each is written from its paper's equations, and reads the frozen features of `core.features`: no
torch here. What all share is `base`; their names are in `registry`.
"""
