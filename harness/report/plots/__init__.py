"""The plots of a report, drawn into files by matplotlib's Agg and SVG, which need no window.

Matplotlib reads MPLBACKEND when it is imported, and fails on a name that it does not know, such as one inherited from
another program's environment. These figures need no backend, so it is imported without that variable. What the
variable names is set afterwards if it exists, so that a notebook still shows figures inline.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

if "matplotlib" not in sys.modules:
    _given = os.environ.pop("MPLBACKEND", None)
    import matplotlib as mpl

    if _given is not None:
        os.environ["MPLBACKEND"] = _given
        with suppress(ValueError):
            mpl.rcParams["backend"] = _given
