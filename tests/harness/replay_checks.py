"""Compares one statement's record with what a real Druid answered, check by check.

The checks, each one point: submit (status of the submission, category of a refusal), state (final state and fault
code), shape (every key path of the real report stands in ours), stages (processors and shuffles in order), rows (read
by the first stage, counted out of the last), table (row count, times, columns, segments by shard spec), values (rows
of a SELECT).
"""

import collections
import json
import re


def body_of(answer):
    return answer.get("body") if isinstance(answer, dict) else None


def payload_of(case):
    report = body_of(case.get("report"))
    return report.get("multiStageQuery", {}).get("payload", {}) if isinstance(report, dict) else {}


def paths(value, prefix=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            key = "#" if re.fullmatch(r"\d+", key) else key
            yield f"{prefix}.{key}"
            yield from paths(inner, f"{prefix}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, prefix + "[]")


def closed(found):
    """Leave out what depends on the kind of query or fault."""
    return {p for p in found if not re.search(r"\.(?:query|context|errorReport)\.", p)}


def channel_rows(stage_counters, kind):
    return sum(
        sum(counter.get("rows") or [])
        for worker in stage_counters.values()
        for name, counter in worker.items()
        if re.match(kind, name)
    )


def pushed_rows(stage_counters):
    return sum(
        counter.get("rowsPushed", 0)
        for worker in stage_counters.values()
        for name, counter in worker.items()
        if name == "segmentGenerationProgress"
    )


def ends(payload):
    """(rows read by the first stage, rows out of the last) by the counters."""
    counters = payload.get("counters") or {}
    if not counters:
        return None
    first, last = counters[min(counters, key=int)], counters[max(counters, key=int)]
    return channel_rows(first, r"input\d+$"), channel_rows(last, r"output$") or pushed_rows(last)


def newest(answer):
    """The segments of the newest version of each interval; the answers also hold overshadowed ones."""
    body = body_of(answer)
    segments = [s for s in body if isinstance(s, dict)] if isinstance(body, list) else []
    last = {}
    for s in segments:
        last[s["interval"]] = max(last.get(s["interval"], ""), s["version"])
    return [s for s in segments if s["version"] == last[s["interval"]]]


def error_of(answer):
    body = body_of(answer)
    if not isinstance(body, dict):
        return None
    error = body.get("error", body)
    if isinstance(error, dict):
        return error.get("category") or error.get("errorCode")
    return body.get("category") or body.get("errorCode") or error


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return value


def rows_of(answer):
    body = body_of(answer)
    return [rounded(r) for r in body[3:]] if isinstance(body, list) else body


def same_rows(real, ours, ordered):
    if not isinstance(real, list) or not isinstance(ours, list):
        return isinstance(ours, dict) if isinstance(real, dict) else real == ours
    if not ordered:
        real, ours = (sorted(rows, key=lambda r: json.dumps(r, sort_keys=True)) for rows in (real, ours))
    return real == ours


def checks(real, ours):
    """Yields (name, wanted, got) for one case. `better` marks a case where Druid fell short: "answered" (it refused
    what makes sense) or "refused" (it failed late, at run time); either Druid's outcome or the better one passes."""
    better, status = real.get("better"), ours["submit"]["status"]
    done = payload_of(ours).get("status", {}).get("status") == "SUCCESS"
    if (better == "answered" and status == 202 and done) or (better == "refused" and status == 400):
        real = {**real, "submit": ours["submit"], "report": ours.get("report")}
        real.pop("count", None)
    refused = lambda c: error_of(c["submit"]) if (c["submit"]["status"] or 500) >= 400 else None
    yield "submit", (real["submit"]["status"], refused(real)), (ours["submit"]["status"], refused(ours))
    ordered = "ORDER BY" in real["sql"].upper()
    if real["kind"] == "select" and "native" in real:
        yield "values", True, same_rows(rows_of(real["native"]), rows_of(ours.get("native")), ordered)
    a, b = payload_of(real), payload_of(ours)
    if not a:
        return
    state = lambda p: (
        p.get("status", {}).get("status"),
        (p.get("status", {}).get("errorReport") or {}).get("error", {}).get("errorCode"),
    )
    yield "state", state(a), state(b)
    if real.get("druid") != 33:
        yield "shape", [], sorted(closed(set(paths(a))) - closed(set(paths(b))))[:8]
    kinds = lambda p: [
        (s["definition"]["processor"]["type"], (s["definition"].get("shuffleSpec") or {}).get("type"))
        for s in p.get("stages", [])
    ]
    yield "stages", kinds(a), kinds(b)
    if a.get("status", {}).get("status") == "SUCCESS" and a.get("counters"):
        yield "rows", ends(a), ends(b)
    if "results" in a:
        yield (
            "values",
            True,
            same_rows(rounded(a["results"].get("results")), rounded((b.get("results") or {}).get("results")), ordered),
        )
    if "count" in real and not real.get("stale"):
        shards = lambda c: collections.Counter(
            (s.get("shardSpec") or {}).get("type") for s in newest(c.get("segments"))
        )
        table = lambda c: (rows_of(c.get("count")), sorted(map(str, rows_of(c.get("columns")) or [])), shards(c))
        yield "table", table(real), table(ours)
