"""The table and the bars, from the figures of all rounds."""

from statistics import median

from systems import FASTAPI, SYSTEMS

REQUESTS_BEFORE, REQUESTS_AFTER = 10_000, 200_000  # of the soak


def table(figures, reasons):
    """One line for each system; `reasons` says why one has no figures."""
    head = ["system", "req/s", "× FastAPI", "% of bare", "p50 ms", "p99 ms", "p50 ms, c=1", "start ms", "RSS MB", "peak MB"]
    rows, notes = [], {}
    for system in SYSTEMS:
        if system.name in reasons:
            notes[len(rows)] = reasons[system.name]
            rows.append([system.title] + [""] * (len(head) - 1))
        elif system.name in figures:
            one = Figures(figures, system.name)
            rows.append([
                system.title, f"{one['rate']:,.0f}", show(one.ratio("rate", FASTAPI) if system.model == "iris" else None, ".2f"),
                show(one.ratio("rate", f"bare-{system.model}", 100), ".0f"), f"{one['p50_ms']:.3f}", f"{one['p99_ms']:.3f}",
                f"{one['p50_one_ms']:.3f}", f"{one['start_ms']:,.1f}", f"{one['rss_mb']:.1f}", f"{one['peak_mb']:.1f}",
            ])
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    align = [str.ljust] + [str.rjust] * (len(head) - 1)

    def line(cells):
        return "  ".join(pad(cell, width) for pad, cell, width in zip(align, cells, widths)).rstrip()

    lines = [line(head), "  ".join("-" * width for width in widths)]
    for at, row in enumerate(rows):
        lines.append(f"{row[0].ljust(widths[0])}  {notes[at]}" if at in notes else line(row))
    return "\n".join(lines)


def bars(figures, soak):
    """What the project is held to: a dict with `bar`, `limit`, `figure` and `met` for each; None where not measured."""
    def measured(name, key):
        return Figures(figures, name)[key] if name in figures else None

    def ratio(name, other, scale=1):
        return Figures(figures, name).ratio("rate", other, scale) if name in figures else None

    found = [at_least("iris, against FastAPI", 20, ratio("ampoule-iris", FASTAPI), "×")]
    for model in ("iris", "mlp"):
        found.append(at_least(f"{model}, a fresh instance per call, against bare", 30,
                              ratio(f"ampoule-{model}", f"bare-{model}", 100), "%"))
        found.append(at_least(f"{model}, instances reused, against bare", 60,
                              ratio(f"ampoule-{model}-reuse", f"bare-{model}", 100), "%"))
    found += [
        at_most("iris, p50 with 16 connections", 0.3, measured("ampoule-iris", "p50_ms"), "ms"),
        at_most("iris, p50 with 1 connection", 0.3, measured("ampoule-iris", "p50_one_ms"), "ms"),
        at_most("iris, start", 20, measured("ampoule-iris", "start_ms"), "ms"),
    ]
    for system in (system for system in SYSTEMS if "ours" in system.tags):
        before, after = soak.get(system.name, (None, None))
        growth = None if before is None else after - before
        if system.model == "iris":
            found.append(at_most(f"{system.name}, RSS after {REQUESTS_BEFORE:,} requests", 30, before, "MB"))
        found.append(at_most(f"{system.name}, RSS growth over {REQUESTS_AFTER:,} more", 1, growth, "MB"))
    return found


def at_least(bar, limit, figure, unit):
    return {"bar": bar, "limit": f"≥ {limit} {unit}", "figure": figure, "unit": unit,
            "met": None if figure is None else figure >= limit}


def at_most(bar, limit, figure, unit):
    return {"bar": bar, "limit": f"≤ {limit} {unit}", "figure": figure, "unit": unit,
            "met": None if figure is None else figure <= limit}


def bar_lines(found):
    word = {True: "PASS", False: "MISS", None: "----"}
    return "\n".join(
        f"{word[bar['met']]}  {bar['bar']:<62} {bar['limit']:>8}   "
        + ("not measured" if bar["figure"] is None else f"{bar['figure']:.2f} {bar['unit']}")
        for bar in found
    )


class Figures:
    """The medians of one system over all rounds."""

    def __init__(self, all_figures, name):
        self.all, self.rounds = all_figures, all_figures[name]

    def __getitem__(self, key):
        return median(one[key] for one in self.rounds)

    def ratio(self, key, other, scale=1):
        """This system's median over `other`'s; None where that was not measured."""
        return scale * self[key] / Figures(self.all, other)[key] if other in self.all else None


def show(value, form):
    return "–" if value is None else format(value, form)
