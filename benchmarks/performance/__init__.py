"""Speed of the project: one table, each line a ratio of two things measured side by side in one run."""
