"""One module per format that is read: records of a table in, judgements out."""
