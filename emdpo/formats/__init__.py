"""Other people's files: public data sets and tools' formats in, and what other tools read out."""
