"""The survey format: schema, Parquet store, splits, duplicates, simulation truth, leakage check."""
