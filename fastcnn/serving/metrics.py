"""Metrics for Prometheus: requests by status, and each model's counters."""
from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from fastcnn.analysis.stats import EXPORTED, LATENCY, METRICS
from fastcnn.serving.repository import Repository

SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0, 4.0, 8.0, 16.0)
OTHER = "-"                     # the label of requests for no model, or for one that there is not


class Metrics:
    """One registry a server; its text is an OpenMetrics page."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, repository: Repository):
        self.registry = CollectorRegistry()
        self.requests = Counter("fastcnn_http_requests", "Inference requests by HTTP status.", ["model", "status"], registry=self.registry)
        self.seconds = Histogram("fastcnn_http_request_seconds", "From the end of a request's headers to its answer.", ["model"],
                                 buckets=SECONDS, registry=self.registry)
        self.registry.register(ModelCollector(repository))                  # type: ignore[arg-type]

    def answered(self, model: str, status: int, seconds: float) -> None:
        self.requests.labels(model, str(status)).inc()
        self.seconds.labels(model).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class ModelCollector:
    """Model.stats() and the batcher's of every model, when they are asked for. Counts begin anew when a model is loaded again."""

    def __init__(self, repository: Repository):
        self.repository = repository

    def collect(self) -> Iterator[Metric]:
        live = dict(self.repository.live)
        stats = {name: entry.model.stats() for name, entry in live.items()}
        for metric, (kind, text, field) in METRICS.items():
            family = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(metric, text, labels=["model"])
            for name, of in stats.items():
                family.add_metric([name], getattr(of, field))
            yield family
        histogram = HistogramMetricFamily(*LATENCY, labels=["model"])
        for name, of in stats.items():
            counts = [*zip([repr(bound) for bound in EXPORTED], of.latencies.cumulative()), ("+Inf", of.latencies.runs)]
            histogram.add_metric([name], buckets=counts, sum_value=of.latencies.seconds)
        yield histogram
        waiting = GaugeMetricFamily("fastcnn_requests_waiting", "Requests in the queue.", labels=["model"])
        batches = CounterMetricFamily("fastcnn_batches", "Batches that requests were run in.", labels=["model"])
        for name, entry in live.items():
            waiting.add_metric([name], entry.batcher.waiting)
            batches.add_metric([name], entry.batcher.stats()["batches"])
        yield from (waiting, batches)

    def describe(self) -> list[Metric]:
        return []
