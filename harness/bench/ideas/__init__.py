"""What pays and what does not: single ideas beside one base config, measured over paired seeds (docs/ideas.md)."""
