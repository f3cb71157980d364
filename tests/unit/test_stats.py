from __future__ import annotations

import threading
import time

import pytest

from studio.stats import HELP, WINDOW, Stats, percentile


def lines(stats: Stats) -> list[str]:
    return stats.prometheus().splitlines()


def test_percentile_is_nearest_rank() -> None:
    assert percentile([], 0.5) == 0
    assert percentile([3], 0.99) == 3
    assert [percentile(range(100), f) for f in (0, 0.5, 0.95, 1)] == [0, 50, 95, 99]


def test_counters_and_gauges_by_label() -> None:
    stats = Stats()
    stats.count("studio_x_total", kind="a")
    stats.count("studio_x_total", 2, kind="a")
    stats.count("studio_x_total", kind="b")
    stats.gauge("studio_y", 5)
    stats.gauge("studio_y", 4)
    assert stats.value("studio_x_total", kind="a") == 3
    assert stats.value("studio_nothing") == 0
    assert {'studio_x_total{kind="a"} 3', 'studio_x_total{kind="b"} 1', "studio_y 4"} <= set(lines(stats))
    assert "# TYPE studio_x_total counter" in lines(stats) and "# TYPE studio_y gauge" in lines(stats)


def test_histogram_has_buckets_sum_and_recent_quantiles() -> None:
    stats = Stats()
    for ms in (0.5, 3, 3, 5000):
        stats.observe("studio_z_ms", ms, engine="e")
    text = lines(stats)
    assert 'studio_z_ms_bucket{engine="e",le="1"} 1' in text
    assert 'studio_z_ms_bucket{engine="e",le="4"} 3' in text
    assert 'studio_z_ms_bucket{engine="e",le="+Inf"} 4' in text
    assert 'studio_z_ms_count{engine="e"} 4' in text
    assert 'studio_z_ms_sum{engine="e"} 5006.5' in text
    assert 'studio_z_recent_ms{engine="e",quantile="0.5"} 3' in text
    assert stats.percentile_ms("studio_z_ms", 0.99, engine="e") == 5000
    assert stats.percentile_ms("studio_z_ms", 0.99) == 0


def test_recent_quantiles_forget() -> None:
    stats = Stats()
    for ms in [1000.0] * WINDOW + [1.0] * WINDOW:
        stats.observe("studio_z_ms", ms)
    assert stats.percentile_ms("studio_z_ms", 0.99) == 1


def test_stage_counts_cpu_time_of_its_thread_only() -> None:
    stats = Stats()
    with stats.stage("hear"):
        began = time.thread_time()
        while time.thread_time() - began < 0.005:
            pass
    with stats.stage("send"):
        other = threading.Thread(target=lambda: sum(range(10_000)))
        other.start()
        other.join()
    stats.spend("hear", 1.0)
    counted = dict(line.rsplit(" ", 1) for line in lines(stats) if line.startswith("studio_cpu_ms_total"))
    assert float(counted['studio_cpu_ms_total{stage="hear"}']) >= 6
    assert float(counted['studio_cpu_ms_total{stage="send"}']) < 5


def test_stage_counts_what_raises_too() -> None:
    stats = Stats()
    with pytest.raises(KeyError), stats.stage("hear"):
        raise KeyError
    assert any("hear" in line for line in lines(stats))


def test_help_lines_come_before_their_values() -> None:
    stats = Stats()
    stats.count("studio_refused_total")
    stats.describe("studio_y", "Why.")
    stats.gauge("studio_y", 1)
    text = lines(stats)
    at = text.index("studio_refused_total 1")
    assert text[at - 2 : at] == [
        f"# HELP studio_refused_total {HELP['studio_refused_total']}",
        "# TYPE studio_refused_total counter",
    ]
    assert "# HELP studio_y Why." in text


def test_labels_are_escaped() -> None:
    stats = Stats()
    stats.count("studio_x_total", what='a"b\\c\nd')
    assert r'studio_x_total{what="a\"b\\c\nd"} 1' in lines(stats)


def test_threads_lose_no_count() -> None:
    stats = Stats()

    def count() -> None:
        for _ in range(500):
            stats.count("studio_x_total")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stats.value("studio_x_total") == 2000
