"""Studies that run where they are defined, and stored studies as frames, figures and cards."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # tqdm, which Optuna imports too, warns without ipywidgets; text bars need none
    import tqdm.auto  # noqa: F401
