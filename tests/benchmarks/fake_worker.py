"""Workers that measure nothing: what a step costs is told by the configuration."""


def fake_worker(cost):
    """In place of `harness.Worker`. Args: cost: (configuration) -> seconds of a step, and thousands of bytes."""

    class FakeWorker:
        versions = {"python": "3"}

        def __init__(self, contender):
            self.contender, self.cost = contender, cost(contender.config)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def step(self):
            return {"seconds": self.cost, "cpu_seconds": self.cost, "memory": 1000 * self.cost}

    return FakeWorker
