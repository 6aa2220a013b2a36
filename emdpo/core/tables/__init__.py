"""From a file of any accepted form to the canonical table, with every complaint located."""
