"""A page that compares the stored evaluations of several runs."""
