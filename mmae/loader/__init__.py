"""From a survey's Parquet row groups to torch batches: sampler, Ray Data stream, collate."""
