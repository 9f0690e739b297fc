"""Known sources: files of other surveys as they come, described by one YAML file each, and their readers."""
