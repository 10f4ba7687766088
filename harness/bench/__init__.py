"""This core beside what people would write instead: one run, one core, side by side."""
