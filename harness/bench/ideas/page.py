"""docs/ideas.md, made from the committed measurements and the catalogue alone."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.bench.ideas.catalogue import BASE, BEST, IDEAS, LISTED, PAPER, REFERENCE, settings_of
from harness.bench.ideas.cost import Cost
from harness.bench.ideas.gains import EVEN, Compared, Gain, by_seed, compared, mixing
from harness.bench.ideas.runs import BEST_SEEDS, CORPORA, SEEDS, Run
from harness.bench.ideas.table import adding, folder, read_rows
from harness.config import TrainConfig
from harness.files import write_atomically
from harness.report.tables.table import markdown
from harness.words import plural

COSTS = "cost.csv"


@dataclass(frozen=True)
class Line:
    """One idea in the table, with its figures on every corpus, in the order of the corpora."""

    idea: str
    group: str
    decision: str
    settings: str
    """What it changes in the base config, and the model if it is not the built-in one."""
    found: Sequence[Compared]
    times_base: str

    @property
    def pays(self) -> bool:
        """Whether the whole interval is above 0 on every corpus."""
        return all(each.alone.pays for each in self.found)

    @property
    def costs(self) -> bool:
        """Whether the whole interval is below 0 on every corpus."""
        return all(each.alone.costs for each in self.found)


def write_page() -> Path:
    """Write docs/ideas.md from the measurements at hand."""
    path = paths.home() / "docs" / "ideas.md"
    with adding():  # or another process could write an earlier state over a later one
        write_atomically(path, page(*measurements()))
    return path


def measurements() -> tuple[dict[str, list[Run]], list[Cost]]:
    """All rows in results/reference/ideas/: the runs by corpus, and the costs."""
    runs = {label: read_rows(folder() / f"{label}.csv", Run) for label in CORPORA}
    return runs, read_rows(folder() / COSTS, Cost)


def page(runs: Mapping[str, Sequence[Run]], costs: Sequence[Cost]) -> str:
    """The whole page.

    Args:
        runs: by corpus. A corpus without runs of the base is left out.
    """
    measured = {label: rows for label, rows in runs.items() if len(by_seed(rows, REFERENCE)) > 1}
    if not measured:
        return f"{_wrapped(_HEAD)}\n\nNothing has been measured yet.\n"
    lines = sorted(lines_of(measured, costs), key=lambda line: -line.found[0].alone.mean)
    waiting = [idea.name for idea in IDEAS if idea.name not in {line.idea for line in lines}]
    parts = [
        _wrapped(_HEAD),
        _wrapped(_READ),
        "\n".join(_base_line(label, rows) for label, rows in measured.items()),
        "## What pays",
        _table([line for line in lines if line.pays], list(measured)),
        "## What makes no clear difference",
        _table([line for line in lines if not line.pays and not line.costs], list(measured)),
        "## What costs",
        _table([line for line in lines if line.costs], list(measured)),
        *([_wrapped(f"Not measured yet: {'; '.join(waiting)}.")] if waiting else []),
        *_best(measured.get(CORPORA[0], [])),
        _TRAIN.format(base=_command(BASE, SEEDS[0]), first=SEEDS[0], seeds=", ".join(map(str, SEEDS))),
        _provenance(measured, costs),
    ]
    return "\n\n".join(parts) + "\n"


def lines_of(measured: Mapping[str, Sequence[Run]], costs: Sequence[Cost]) -> list[Line]:
    """Every idea that can be compared on every corpus."""
    times = {cost.key: f"{cost.times_base:.2f}" for cost in costs}
    lines = []
    for way in mixing([]):
        found = [mixing(rows)[way] for rows in measured.values()]
        decision = PAPER if way == EVEN else LISTED
        lines.append(Line(way, "mixing", decision, "(the base)", [each for each in found if each], "1.00"))
    for idea in IDEAS:
        found = [compared(rows, idea) for rows in measured.values()]
        if all(found):
            parts = [f"`{idea.settings}`"] if idea.settings else []
            parts += [f"(`{idea.build}`)"] if idea.build != "CharMLP" else []
            parts += [f"{idea.members} seeds of the base"] if idea.members > 1 else []
            known = [each for each in found if each]
            lines.append(Line(idea.name, idea.group, idea.decision, " ".join(parts), known, times.get(idea.key, "")))
    return lines


def _table(lines: Sequence[Line], corpora: Sequence[str]) -> str:
    if not lines:
        return "None."
    head = ["idea", "about"]
    for corpus in corpora:
        head += [f"{corpus}: gain", f"{corpus}: gain, mixed"]
    head += ["time", "parameters", "seeds", "decision", "settings"]
    right = [False, False, *([True] * (2 * len(corpora) + 3)), False, False]
    return markdown(head, [_cells(line) for line in lines], right)


def _best(rows: Sequence[Run]) -> list[str]:
    """The section about `BEST`, from the rows of one corpus; empty without any."""
    lines, commands = [], []
    for idea in BEST:
        runs = [run for run in rows if run.key == idea.key and run.seed in BEST_SEEDS]
        if len(runs) < 2:
            continue
        alone, mixed = ([getattr(run, loss) for run in runs] for loss in ("dev_nats", "mixed_nats"))
        train, seconds = (statistics.mean(run.train_nats for run in runs), [run.seconds for run in runs])
        losses = [f"{statistics.mean(found):.4f} ({statistics.stdev(found):.4f})" for found in (alone, mixed)]
        took = f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"
        size = f"{runs[0].parameters:,}"
        lines.append([idea.name, size, f"{runs[0].steps:,}", f"{train:.4f}", *losses, took, str(len(runs))])
        commands.append(f"{idea.name[0].upper()}{idea.name[1:]}:\n\n{_command(idea.config, BEST_SEEDS[0])}")
    if not lines:
        return []
    head = ["config", "parameters", "steps", "train", "dev (sd)", "dev, mixed (sd)", "seconds (range)", "seeds"]
    table = markdown(head, lines, [False, *([True] * 7)])
    return ["## Put together", _wrapped(_TOGETHER), table, *commands]


def _command(config: TrainConfig, seed: int) -> str:
    return f"```sh\nharness train --corpus {CORPORA[0]} seed={seed} {settings_of(config)}\n```"


def _cells(line: Line) -> list[str]:
    gains = []
    for each in line.found:
        gains += [_gain(each.alone, each.diverged), "" if each.mixed is None else _gain(each.mixed)]
    seeds = sorted({each.alone.seeds for each in line.found})
    sizes = (f"{line.found[0].parameters:,}", " or ".join(map(str, seeds)))
    return [line.idea, line.group, *gains, line.times_base, *sizes, line.decision, line.settings]


def _gain(gain: Gain, diverged: int = 0) -> str:
    ended = f"{diverged} diverged" if diverged else ""
    if math.isnan(gain.half_width):
        return ended
    return f"{gain.mean:+.4f} ± {gain.half_width:.4f}" + (f", {ended}" if ended else "")


def _wrapped(text: str) -> str:
    """Paragraphs in lines of at most 120 characters."""
    return "\n\n".join(textwrap.fill(part, 120, break_on_hyphens=False) for part in text.strip().split("\n\n"))


def _base_line(label: str, rows: Sequence[Run]) -> str:
    base = list(by_seed(rows, REFERENCE).values())
    train, dev, mixed, even = (
        statistics.mean(losses)
        for losses in zip(*((run.train_nats, run.dev_nats, run.mixed_nats, run.even_nats) for run in base), strict=True)
    )
    weight = statistics.mean(run.weight for run in base)
    line = (
        f"- `{label}` (fingerprint `{base[0].fingerprint}`): the base has train {train:.4f}, dev {dev:.4f} (standard "
        f"deviation {statistics.stdev(run.dev_nats for run in base):.4f} over {plural(len(base), 'seed')}); mixed with "
        f"the counted {base[0].order}-gram, dev {mixed:.4f} (fitted weight {weight:.2f}) or {even:.4f} (half and "
        f"half); {base[0].parameters:,} parameters."
    )
    return textwrap.indent(_wrapped(line), "  ")[2:]


def _provenance(measured: Mapping[str, Sequence[Run]], costs: Sequence[Cost]) -> str:
    keys = {idea.key for idea in (REFERENCE, *IDEAS, *BEST)}
    shown = [run for rows in measured.values() for run in rows if run.key in keys]
    dates = sorted(run.date for run in shown)
    facts = [
        f"{plural(len(shown), 'run')} from {dates[0]} to {dates[-1]}",
        f"code of commit {_all(run.commit for run in shown)}",
        _all(run.versions for run in shown),
        _all(run.machine for run in shown),
        "one thread",
    ]
    if costs:
        facts.append(f"times measured from {min(cost.date for cost in costs)} to {max(cost.date for cost in costs)}")
    return _wrapped(f"## Provenance\n\n{'; '.join(facts)}. {_FILES}")


def _all(values: Iterable[str]) -> str:
    return " and ".join(sorted(set(values)))


_HEAD = f"""# What pays and what does not

Each idea is one change to a base config that already has what was known to pay: {BASE.model.hidden_width} hidden units,
{BASE.model.context_length} characters of context, dropout {BASE.dropout:g}, AdamW with weight decay
{BASE.optimizer.weight_decay:g}, a cosine schedule, {BASE.budget.total_steps(BASE.batch_size):,} steps of
{BASE.batch_size:,} examples. A row without one of these shows what that one gains, by its loss. `harness bench ideas`
measured them all and wrote this page.
"""
_READ = f"""
A gain is how much lower the loss on the whole dev split is than the base's, in nats per character; above 0 is better.
It is the mean over {len(SEEDS)} paired seeds with its 95 % interval, of a paired t-test over the seeds: equal seeds
draw equal batches and, if the shapes are the same, equal first weights. *Mixed*: both are mixed with the best counted
n-gram, by weights fitted on dev. *Time* is that of a whole run in multiples of the base's, from short interleaved
bursts on one core.

An idea pays if its whole interval is above 0 on every corpus, and costs if it is below 0 on every corpus. Of forty
ideas without any effect, about one seems to pay on a single corpus by chance, and hardly any on both. Nothing else was
tuned to an idea: one that needs another learning rate may do better with it. The tables are sorted by the gain on the
first corpus.
"""
_TOGETHER = f"""
Configs for the built-in model on `{CORPORA[0]}`, found on train and dev; means over ten seeds with their standard
deviation. The first config was fixed before these seeds were used. The second was not: its first form had dev 2.0899 on
these same seeds, was then changed on other seeds (dropout 0.02, twice the steps), and was measured on these again, so
its figure may be a little too low. The rows of the first form are in the file too. Seconds are of training on one core,
the median over the seeds.
"""
_FILES = (
    "Every run is a row of [`results/reference/ideas/`](../results/reference/ideas), with its own provenance. `harness "
    "bench ideas` trains what is missing there, `harness bench ideas-cost` times it; both write this page again."
)
_TRAIN = """## Train one again

This trains the base. For a row of the built-in model, add its settings at the end:

{base}

This trains any row. The models in brackets are written as a user's own models for `build=`, in
[`harness/bench/ideas/`](../harness/bench/ideas):

```python
from harness import load
from harness.bench.ideas.catalogue import IDEAS
from harness.bench.ideas.runs import SEEDS, run_of

idea = {{idea.name: idea for idea in IDEAS}}["no dropout"]
print(run_of(idea, load("names"), SEEDS[0]))
```

The seeds are {seeds}."""
