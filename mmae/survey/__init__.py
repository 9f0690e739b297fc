"""What is on the sky: schema, readers, simulator, splits, and the stream of Parquet shards."""
