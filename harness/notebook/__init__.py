"""What a notebook needs: studies that run where they are defined, and their results as frames, figures and cards."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # tqdm, which Optuna loads too, asks for ipywidgets; a bar of plain text will do
    import tqdm.auto  # noqa: F401
