"""The methods of the field on the same rankings, features and reference.

Each is written from its paper's equations, and reads the frozen features of `core.features`: no
torch here, but in `adapters`, where some are fitted on a language model. What all share is `base`;
their names are in `registry`.
"""
